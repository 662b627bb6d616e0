# SPDX-License-Identifier: Apache-2.0
"""What a capture's records become: lines, counts, facts for who asks, and what happens when nobody takes the lines.

Keys are in test_keylog.py, whole recordings in test_replay.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from record_bytes import Speaker, ipv4_socket

from plaintap import _native
from plaintap.config import CommonConfig
from plaintap.errors import UsageError
from plaintap.events import READ, WRITE, Fact, Meta, SessionSeen, encode_meta
from plaintap.messages import Totals
from plaintap.session.pipeline import Pipeline
from plaintap.session.processes import Processes

GET = b"GET /orders HTTP/1.1\r\nHost: api.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Listener:
    """A reporter that keeps what it is told."""

    notices: list[str] = field(default_factory=list)

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
        raise AssertionError("nothing is attached here")

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def debug(self, text: str) -> None:
        """Not kept."""

    def summary(self, totals: Totals) -> None:
        raise AssertionError("a pipeline does not sum up")


class Bench:
    """A pipeline as a capture has it, and one connection."""

    def __init__(self, **options: object) -> None:
        self.listener = Listener()
        self.stopped = 0
        self.learnt: list[Fact] = []
        self.curl = Speaker(socket=ipv4_socket(local_port=40000, remote_port=443))
        self.pipeline = Pipeline(
            CommonConfig(color="never", **options),  # type: ignore[arg-type]
            clock_offset_ns=0,
            stop=self._stop,
            learn=self.learnt.append,
            reporter=self.listener,
            processes=Processes(),
        )
        self.pipeline.add_library(1, "libssl 3.0.22", tells_ends=True)
        self._decoder = _native.Decoder()

    def _stop(self) -> None:
        self.stopped += 1

    def feed(self, *records: bytes) -> None:
        """One batch."""
        self.pipeline.feed(self._decoder.decode(b"".join(records))[0])

    def exchange(self) -> None:
        self.feed(self.curl.data(WRITE, GET), self.curl.data(READ, OK))

    def close(self, kernel: dict[str, int] | None = None) -> Totals:
        return self.pipeline.close(kernel or {}, now_ns=5_000_000_000, duration_s=4)


@contextlib.contextmanager
def standard_output(fd: int) -> Iterator[None]:
    """`fd`, which is closed, in place of the test's."""
    before = os.dup(1)
    os.dup2(fd, 1)
    os.close(fd)
    try:
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)


def test_exchanges_are_shown_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    bench.exchange()
    bench.exchange()
    bench.feed(bench.curl.end())
    totals = bench.close()
    lines = capfd.readouterr().out.splitlines()
    assert [(method, url, status) for _, _, _, method, url, status, *_ in map(str.split, lines)] == [
        ("GET", "https://api.test/orders", "200")
    ] * 2
    assert (totals.exchanges, totals.connections, totals.processes) == (2, 1, 1)
    assert totals.bytes == 2 * len(GET + OK)
    assert (totals.losses, totals.secret_sets) == ({}, None)
    assert (bench.stopped, bench.listener.notices, bench.pipeline.failed) == (0, [], False)


def test_facts_are_told_to_who_learns_from_them() -> None:
    bench = Bench()
    told = Meta(library=2, name="BoringSSL")
    bench.feed(bench.curl.data(WRITE, GET), encode_meta(told, 1), bench.curl.data(READ, OK))
    bench.close()
    seen, meta = bench.learnt
    assert isinstance(seen, SessionSeen)
    assert (seen.session, seen.library, seen.comm) == (bench.curl.session, 1, "curl")
    assert meta == told


def test_it_stops_at_the_count_and_shows_no_more(capfd: pytest.CaptureFixture[str]) -> None:
    bench = Bench(count=2)
    bench.exchange()
    assert bench.stopped == 0
    bench.exchange()
    assert bench.stopped == 1
    bench.exchange()
    assert bench.close().exchanges == 2
    assert len(capfd.readouterr().out.splitlines()) == 2


def test_lines_are_there_before_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    bench.exchange()
    bench.pipeline._outputs._outputs[0].sink.drain()
    assert "api.test/orders" in capfd.readouterr().out
    bench.close()


def test_the_kernels_losses_are_joined_in() -> None:
    bench = Bench()
    bench.pipeline.losses["recording_failed"] = 1
    totals = bench.close({"ring_full_bytes": 100, "unread_bytes": 20, "watch_lost": 0, "ring_full": 3})
    assert totals.losses == {"ring_full_bytes": 100, "unread_bytes": 20, "ring_full": 3, "recording_failed": 1}
    assert totals.lost_bytes == 120
    assert totals.lost_anything


def test_a_reader_that_goes_ends_it() -> None:
    reader, writer = os.pipe()
    with standard_output(writer):
        os.close(reader)
        bench = Bench()
        bench.exchange()
        bench.pipeline._outputs._outputs[0].sink.drain()
        bench.pipeline.tick(3_000_000_000)  # at the latest here it is known
        bench.close()
    assert bench.stopped == 1
    assert (bench.listener.notices, bench.pipeline.failed) == ([], False)


def test_a_disk_that_is_full_is_said_once_and_counted() -> None:
    with standard_output(os.open("/dev/full", os.O_WRONLY)):
        bench = Bench()
        for _ in range(3):
            bench.exchange()
            bench.pipeline.tick(3_000_000_000)
        totals = bench.close()
    (notice,) = bench.listener.notices
    assert notice.endswith("no space left on device; what cannot be written is counted")
    assert totals.losses["sink_dropped"] >= 1
    assert bench.pipeline.failed
    assert bench.stopped == 0


def test_what_was_abandoned_is_let_go_of() -> None:
    bench = Bench()
    bench.exchange()
    bench.pipeline.abandon()
    bench.pipeline.abandon()


@pytest.mark.parametrize("options", [{"record": "same"}, {"model": ("text", "keylog"), "keylogfile": "same"}])
def test_messages_go_to_no_file_of_records_or_keys(
    options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="would both write same"):
        Bench(format="json:./same", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter": "hots=x"}, "--filter, column 1: unknown field 'hots'"),
        ({"format": "jsn"}, "--format: unknown format 'jsn'"),
        ({"protocol": "http3"}, "--protocol: expected a protocol, got 'http3'"),
    ],
)
def test_what_nobody_understands_is_a_usage_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Bench(**options)
    assert caught.value.message == message
    assert caught.value.hint


def test_a_filter_leaves_out_and_what_is_counted_is_what_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    bench = Bench(filter="path=/nothing")
    bench.exchange()
    assert bench.close().exchanges == 0
    assert capfd.readouterr().out == ""


def test_a_form_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(bench.pipeline._outputs._outputs[0], "show", lambda _messages: dict[str, str]()["secret"])
    bench.exchange()
    bench.exchange()
    totals = bench.close()
    assert totals.losses["output_failures"] >= 2
    (notice,) = bench.listener.notices
    assert notice.startswith("a form failed (KeyError at session/test_pipeline.py:")
    assert "secret" not in notice


def test_lines_show_what_is_in_the_messages_of_a_stream(capfd: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    events = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hello\n\n"
    bench.feed(bench.curl.data(WRITE, GET), bench.curl.data(READ, events))
    bench.close()
    assert "sse  hello " in capfd.readouterr().out
