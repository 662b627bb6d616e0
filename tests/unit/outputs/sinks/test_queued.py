# SPDX-License-Identifier: Apache-2.0
"""The queue before a sink: order, peers that do not read, full disks, readers that go, and the end."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plaintap.errors import OutputError
from plaintap.outputs.base import Sink, SinkClosed
from plaintap.outputs.sinks.queued import QueuedSink
from plaintap.outputs.sinks.stdout import StdoutSink

SOURCE = Path(__file__).parents[4] / "src"
PIPE_BYTES = 4096
WAIT_S = 30


class Gate:
    """A sink whose peer takes nothing until it is opened."""

    def __init__(self) -> None:
        self.dropped_writes = 0
        self.dropped_bytes = 0
        self.failed = False
        self.entered = threading.Event()
        self.open = threading.Event()
        self.closed = threading.Event()
        self.error: Exception | None = None
        self.got: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.entered.set()
        assert self.open.wait(WAIT_S)
        self.got.append(data)

    def flush(self) -> None:
        error, self.error = self.error, None
        if error:
            raise error

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A small one, which nobody reads but the test."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reader, writer
    for fd in (reader, writer):
        os.close(fd)


def read_all(reader: int, size_bytes: int) -> bytes:
    """Exactly so many."""
    got = b""
    while len(got) < size_bytes:
        got += os.read(reader, size_bytes - len(got))
    return got


def counts(sink: QueuedSink) -> tuple[int, int]:
    return sink.dropped_writes, sink.dropped_bytes


def test_what_is_written_arrives_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    queued = QueuedSink(StdoutSink(writer), lossless=True)
    sink: Sink = queued
    sent = [b"%07d\n" % number for number in range(100_000)]
    got = []
    thread = threading.Thread(target=lambda: got.append(read_all(reader, 800_000)))
    thread.start()
    for number, line in enumerate(sent):
        sink.write(line)
        if number % 1000 == 0:
            sink.flush()
    sink.close()
    sink.close()
    thread.join()
    assert got == [b"".join(sent)]
    assert (counts(queued), sink.failed) == ((0, 0), False)


def test_nothing_goes_before_flush_and_no_thread_is_needed_for_nothing(gate: Gate) -> None:
    sink = QueuedSink(gate)
    sink.flush()
    sink.close()
    assert gate.closed.is_set()
    assert gate.got == []
    assert sink._thread is None


def test_a_peer_that_does_not_read_costs_what_does_not_fit(gate: Gate) -> None:
    sink = QueuedSink(gate, limit_bytes=12)
    sink.write(b"in hand\n")
    sink.flush()
    assert gate.entered.wait(WAIT_S)
    for _ in range(3):
        sink.write(b"one\n")
        sink.write(b"two\n")
        sink.flush()
    assert counts(sink) == (4, 16)
    gate.open.set()
    sink.close()
    assert b"".join(gate.got) == b"in hand\none\ntwo\n"
    assert counts(sink) == (4, 16)
    assert not sink.failed


def test_a_batch_over_the_limit_goes_alone(gate: Gate) -> None:
    gate.open.set()
    sink = QueuedSink(gate, limit_bytes=4)
    sink.write(b"longer\n")
    sink.close()
    assert gate.got == [b"longer\n"]


def test_a_batch_over_the_limit_costs_none_beside_it(gate: Gate) -> None:
    sink = QueuedSink(gate, limit_bytes=12)
    for line in (
        b"in hand, of any length\n",
        b"before\n",
        b"longer than the limit\n",
        b"then\n",
        b"a second long one\n",
    ):
        sink.write(line)
        sink.flush()
        assert gate.entered.wait(WAIT_S)
    assert counts(sink) == (1, 18)
    gate.open.set()
    sink.close()
    assert b"".join(gate.got) == b"in hand, of any length\nbefore\nlonger than the limit\nthen\n"


@pytest.mark.parametrize("interrupt", ["hurry", "signal"])
def test_a_lossless_one_waits_until_it_is_interrupted(gate: Gate, interrupt: str) -> None:
    sink = QueuedSink(gate, limit_bytes=8, lossless=True, flush_timeout_s=0)

    sink.write(b"in hand\n")
    sink.flush()
    assert gate.entered.wait(WAIT_S)
    sink.write(b"queued.\n")
    sink.flush()
    main_thread = threading.get_ident()
    disturb = sink.hurry if interrupt == "hurry" else lambda: signal.pthread_kill(main_thread, signal.SIGINT)
    thread = threading.Thread(target=disturb)
    sink.write(b"waiting\n")
    try:
        thread.start()
        sink.flush()
        assert interrupt == "hurry"
    except KeyboardInterrupt:
        assert interrupt == "signal"
    thread.join()
    if interrupt == "signal" and not sink._hurried:
        sink.hurry()  # it came before the waiting
    sink.close()
    assert counts(sink) == (3, 24)


def test_a_lossless_one_is_patient_at_the_end(gate: Gate) -> None:
    sink = QueuedSink(gate, lossless=True, flush_timeout_s=0)
    sink.write(b"late\n")
    sink.flush()
    assert gate.entered.wait(WAIT_S)
    threading.Timer(0, gate.open.set).start()
    sink.drain()
    assert gate.got == [b"late\n"]


def test_closing_gives_up_on_a_dead_peer_and_counts_what_it_did_not_take(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    sink = QueuedSink(StdoutSink(writer), flush_timeout_s=0.05)
    for _ in range(100):
        sink.write(b"x" * 99 + b"\n")
    sink.close()
    assert counts(sink) == (100, 10_000)
    sink.write(b"after the end\n")
    sink.flush()
    assert counts(sink) == (101, 10_014)


def test_what_a_thread_does_late_counts_no_more(gate: Gate) -> None:
    sink = QueuedSink(gate, flush_timeout_s=0)
    sink.write(b"one\n")
    sink.flush()
    assert gate.entered.wait(WAIT_S)
    gate.error = OutputError("cannot write")
    sink.close()
    gate.open.set()
    assert gate.closed.wait(WAIT_S)
    sink.flush()
    assert (counts(sink), sink.failed) == ((1, 4), False)


def test_a_full_disk_is_told_once_and_counted_whole() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    sink = QueuedSink(StdoutSink(fd))
    for _ in range(4000):
        sink.write(b"x" * 149 + b"\n")
    with pytest.raises(OutputError, match=r"^cannot write to standard output: no space left on device$"):
        sink.close()
    assert (counts(sink), sink.failed) == ((4000, 600_000), True)
    sink.close()
    os.close(fd)


def test_a_reader_that_goes_ends_it_and_nothing_is_lost_to_it() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = QueuedSink(StdoutSink(writer), lossless=True)
    sink.write(b"one\n")
    sink.drain()
    with pytest.raises(SinkClosed):
        sink.flush()
    sink.write(b"two\n")
    sink.flush()
    sink.close()
    assert (counts(sink), sink.failed, sink.unread_writes) == ((0, 0), False, 2)
    os.close(writer)


def test_a_reader_gone_at_the_end_is_no_news() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = QueuedSink(StdoutSink(writer))
    sink.write(b"one\n")
    sink.close()
    os.close(writer)


class Broken(Gate):
    def write(self, data: bytes) -> None:
        raise ZeroDivisionError


def test_a_bug_in_a_sink_is_raised_to_the_caller() -> None:
    sink = QueuedSink(Broken())
    sink.write(b"one\n")
    with pytest.raises(ZeroDivisionError):
        sink.close()
    assert (counts(sink), sink.failed) == ((1, 4), True)


def test_a_process_ends_while_its_output_is_stuck(pipe: tuple[int, int]) -> None:
    """As in `plaintap | less`: nobody reads, and the thread hangs in a write for ever."""
    _, writer = pipe
    script = (
        "from plaintap.outputs.sinks.queued import QueuedSink\n"
        "from plaintap.outputs.sinks.stdout import StdoutSink\n"
        "sink = QueuedSink(StdoutSink(), flush_timeout_s=0.05)\n"
        "sink.write(b'x' * 1_000_000)\n"
        "sink.close()\n"
        "raise SystemExit(sink.dropped_bytes == 1_000_000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(SOURCE)},
        timeout=WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
