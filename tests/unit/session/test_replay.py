# SPDX-License-Identifier: Apache-2.0
"""Recordings through the whole pipeline: what is shown, counted and answered."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import pytest
from record_bytes import Handshake, Speaker, ipv4_socket, recording
from tls13_vectors import OFFSETS, RFC8448

from plaintap.config import CommonConfig, ReplayConfig
from plaintap.errors import RecordingError
from plaintap.events import READ, WRITE
from plaintap.messages import Totals
from plaintap.session import replay
from plaintap.session.pipeline import Pipeline

session_replay = import_module("plaintap.session.replay")
"""Whose name in its package is that of its function."""
GET = b"GET /orders HTTP/1.1\r\nHost: api.test\r\n\r\n"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"id":7}'


@dataclass
class Listener:
    """A reporter that keeps what it is told."""

    notices: list[str] = field(default_factory=list)
    totals: Totals | None = None

    def ready(
        self,
        *,
        processes: int,
        tls_processes: int,
        libraries: list[str],
        seconds: float,
        keys_to: str = "",
        packets_to: str = "",
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
        realtime = bool(options.pop("realtime", False))
        common = CommonConfig(color="never", **options)  # type: ignore[arg-type]
        code = replay(ReplayConfig(path=str(path), common=common, realtime=realtime), reporter=listener)
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


SECOND_NS = 1_000_000_000


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """When the pipeline was told the time."""
    told: list[int] = []
    monkeypatch.setattr(Pipeline, "tick", lambda _self, now_ns: told.append(now_ns))
    return told


@dataclass
class Clock:
    now_s: float = 100.0
    interrupted_at_s: float = float("inf")

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.interrupted_at_s:
            raise KeyboardInterrupt


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(session_replay, "time", made)
    return made


def test_time_passes_between_the_records_of_a_batch(show: Show, curl: Speaker, ticks: list[int]) -> None:
    records = [curl.data(WRITE, GET, after_ns=0), curl.data(READ, OK, after_ns=2_500_000_000), curl.end()]
    assert show(recording(*records)).totals.exchanges == 1
    assert [tick // SECOND_NS for tick in ticks] == [1, 2, 3]


def test_a_long_silence_is_as_good_as_an_end(show: Show, curl: Speaker, ticks: list[int]) -> None:
    year_ns = 365 * 86400 * SECOND_NS
    records = [curl.data(WRITE, GET), curl.data(READ, OK, after_ns=year_ns), curl.data(WRITE, GET), curl.end()]
    assert show(recording(*records)).totals.exchanges == 2
    assert 10 < len(ticks) <= session_replay.SILENT_TICKS_MAX + 1


def test_slowly_it_is_as_long_as_it_was_and_time_passes(
    show: Show, curl: Speaker, ticks: list[int], clock: Clock
) -> None:
    records = [curl.data(WRITE, GET), curl.data(READ, OK, after_ns=30 * SECOND_NS), curl.end()]
    assert show(recording(*records), realtime=True).totals.exchanges == 1
    assert 29.9 < clock.now_s - 100 < 31.1
    assert len(ticks) >= 29


def test_slowly_a_damaged_time_is_not_waited_for(show: Show, curl: Speaker, ticks: list[int], clock: Clock) -> None:
    records = [curl.data(WRITE, GET), curl.data(READ, OK, after_ns=10**17), curl.end()]
    assert show(recording(*records), realtime=True).totals.exchanges == 1
    assert clock.now_s - 100 <= session_replay.LONGEST_WAIT_S + 2
    assert len(ticks) <= session_replay.LONGEST_WAIT_S + 2


def test_slowly_an_interrupt_is_how_it_ends(show: Show, curl: Speaker, clock: Clock) -> None:
    clock.interrupted_at_s = 110
    records = [curl.data(WRITE, GET), curl.data(READ, OK), curl.data(WRITE, GET, after_ns=30 * SECOND_NS), curl.end()]
    shown = show(recording(*records), realtime=True)
    assert (shown.code, shown.totals.exchanges) == (0, 1)
    assert shown.notices == []


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
