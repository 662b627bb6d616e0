# SPDX-License-Identifier: Apache-2.0
"""Recordings through the whole pipeline: what is shown, counted and answered."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from record_bytes import Handshake, Speaker, ipv4_socket, recording
from tls13_vectors import OFFSETS, RFC8448

from plaintap.config import CommonConfig, ReplayConfig
from plaintap.errors import RecordingError
from plaintap.events import READ, WRITE
from plaintap.messages import Totals
from plaintap.session import replay

GET = b"GET /orders HTTP/1.1\r\nHost: api.test\r\n\r\n"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"id":7}'


@dataclass
class Listener:
    """A reporter that keeps what it is told."""

    notices: list[str] = field(default_factory=list)
    totals: Totals | None = None

    def ready(
        self, *, processes: int, tls_processes: int, libraries: list[str], seconds: float, keys_to: str = ""
    ) -> None:
        raise AssertionError("a replay attaches nothing")

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def debug(self, text: str) -> None:
        """Not kept."""

    def summary(self, totals: Totals) -> None:
        self.totals = totals


@dataclass
class Shown:
    code: int
    text: str
    totals: Totals
    notices: list[str]


Show = Callable[..., Shown]


@pytest.fixture
def show(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Show:
    def run(data: bytes, **options: object) -> Shown:
        path = tmp_path / "a.ptap"
        path.write_bytes(data)
        listener = Listener()
        common = CommonConfig(color="never", **options)  # type: ignore[arg-type]
        code = replay(ReplayConfig(path=str(path), common=common), reporter=listener)
        assert listener.totals
        return Shown(code, capfd.readouterr().out, listener.totals, listener.notices)

    return run


@pytest.fixture
def curl() -> Speaker:
    return Speaker(socket=ipv4_socket(local_port=40000, remote_port=443))


def test_an_exchange_is_one_line(show: Show, curl: Speaker) -> None:
    shown = show(recording(curl.data(WRITE, GET), curl.data(READ, OK, after_ns=34_000_000), curl.end()))
    (line,) = shown.text.splitlines()
    expected = r"\S+  curl\[77\] +→  GET  https://api\.test/orders +200  json +8 B +34 ms +127\.0\.0\.1:443"
    assert re.fullmatch(expected, line.rstrip())
    assert (shown.code, shown.totals.exchanges, shown.totals.connections, shown.totals.processes) == (0, 1, 1, 1)
    assert shown.totals.bytes == len(GET + OK)
    assert shown.totals.losses == {}


def test_times_are_those_of_the_recording(show: Show, curl: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    records = curl.data(WRITE, GET), curl.data(READ, OK)
    shown = show(recording(*records, clock_offset_ns=3_600_000_000_000))
    assert shown.text.startswith("01:00:01.001")


def test_a_loss_is_shown_where_it_was_and_counted(show: Show, curl: Speaker) -> None:
    head = OK.replace(b"Content-Length: 8", b"Content-Length: 108")[:-8]
    records = [curl.data(WRITE, GET), curl.data(READ, head)]
    curl.lose(READ, 100)
    records += [curl.data(READ, b'{"id":7}'), curl.end()]
    shown = show(recording(*records), strict=True)
    assert shown.code == 1
    assert shown.totals.lost_bytes == 100
    assert "lost 100 bytes" in shown.text


def test_a_loss_at_the_very_end_is_known_from_the_totals(show: Show, curl: Speaker) -> None:
    records = [curl.data(WRITE, GET)]
    curl.lose(READ, 77)
    shown = show(recording(*records, curl.end()))
    assert shown.totals.lost_bytes == 77
    assert "lost 77 bytes received" in shown.text
    assert shown.code == 0


def test_count_ends_it(show: Show, curl: Speaker) -> None:
    records = [curl.data(way, data) for _ in range(5) for way, data in ((WRITE, GET), (READ, OK))]
    shown = show(recording(*records), count=2)
    assert len(shown.text.splitlines()) == 2
    assert shown.totals.exchanges == 2


def test_nothing_shown_is_still_counted(show: Show, curl: Speaker) -> None:
    shown = show(recording(curl.data(WRITE, GET), curl.data(READ, OK), curl.end()), format="none")
    assert shown.text == ""
    assert (shown.totals.connections, shown.totals.processes, shown.totals.exchanges) == (1, 1, 1)


def test_verbose_names_the_library(show: Show, curl: Speaker) -> None:
    shown = show(recording(curl.data(WRITE, GET), curl.data(READ, OK), curl.end()), verbose=1)
    assert "libssl 3.0.22" in shown.text
    assert '"id": 7' in shown.text


@pytest.mark.parametrize("size", [0, 7])
def test_a_file_that_is_none(show: Show, size: int) -> None:
    with pytest.raises(RecordingError, match="is no recording"):
        show(b"something else"[:size])


def test_a_damaged_file_says_where(show: Show, curl: Speaker) -> None:
    with pytest.raises(RecordingError, match="is damaged: no record at byte"):
        show(recording(curl.data(WRITE, GET), b"x" * 40))


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_a_cut_file_is_good_up_to_the_cut(show: Show, curl: Speaker, cut: int) -> None:
    last = curl.data(WRITE, GET), curl.data(READ, OK), curl.data(WRITE, GET)
    whole = recording(*last)
    end = len(whole) - whole.rindex(last[-1]) - len(last[-1])
    shown = show(whole[: -end - cut], strict=True)
    assert shown.totals.exchanges == 1
    assert shown.totals.losses["unfinished_recording"] == 1
    assert shown.totals.losses["cut_recording_bytes"] == len(last[-1]) - cut
    assert shown.code == 1


@pytest.mark.parametrize(("trusted", "doubts"), [(True, 0), (None, 0), (False, 1)])
def test_a_layout_is_believed_as_it_was_when_it_was_recorded(
    show: Show, tmp_path: Path, *, trusted: bool | None, doubts: int
) -> None:
    """Of handshakes whose client randoms were in no ClientHello."""
    not_matched = 2
    records = [
        Handshake(bytes([number]) * 32, session=number, flags=not_matched).secrets(
            cipher=RFC8448.cipher, block=RFC8448.block()
        )
        for number in range(1, 5)
    ]
    keys = tmp_path / "keys.log"
    shown = show(recording(*records, layout=OFFSETS, trusted=trusted), model=("keylog",), keylogfile=str(keys))
    assert shown.totals.secret_sets == 4
    assert sum("its keys are doubtful" in notice for notice in shown.notices) == doubts
