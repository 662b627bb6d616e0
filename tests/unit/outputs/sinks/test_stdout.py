# SPDX-License-Identifier: Apache-2.0
"""The sink for standard output, on pipes and a terminal."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from plaintap.errors import OutputError
from plaintap.outputs.base import Sink, SinkClosed
from plaintap.outputs.sinks.stdout import StdoutSink


def test_one_write_per_batch_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    calls = []
    real = os.write

    def counted(fd: int, data: bytes) -> int:
        calls.append(len(data))
        return real(fd, data)

    monkeypatch.setattr(os, "write", counted)
    sink: Sink = StdoutSink(writer)
    sink.write(b"one\n")
    sink.write(b"two\n")
    assert calls == []
    sink.flush()
    sink.flush()
    assert calls == [8]
    assert os.read(reader, 100) == b"one\ntwo\n"
    sink.write(b"three\n")
    sink.close()
    sink.close()
    assert os.read(reader, 100) == b"three\n"
    os.close(writer)
    os.close(reader)


def test_large_batches_go_at_once_and_partial_writes_are_continued() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    sent = b"".join(b"%07d\n" % number for number in range(100_000))
    received = bytearray()

    def read_all() -> None:
        while chunk := os.read(reader, 65536):
            received.extend(chunk)

    thread = threading.Thread(target=read_all)
    thread.start()
    sink = StdoutSink(writer)
    for start in range(0, len(sent), 1000):
        sink.write(sent[start : start + 1000])
    sink.close()
    os.close(writer)
    thread.join()
    os.close(reader)
    assert bytes(received) == sent
    assert sink.dropped_bytes == 0


def test_reader_gone_ends_cleanly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = StdoutSink(writer)
    sink.write(b"x\n")
    with pytest.raises(SinkClosed):
        sink.flush()
    sink.write(b"y\n")
    sink.flush()
    sink.close()
    os.close(writer)
    assert (sink.dropped_writes, sink.failed) == (0, False)


def test_write_never_raises_and_all_that_was_not_written_is_counted() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    sink = StdoutSink(fd)
    line = b"x" * 149 + b"\n"
    for _ in range(4000):
        sink.write(line)
    with pytest.raises(OutputError):
        sink.flush()
    assert (sink.dropped_writes, sink.dropped_bytes, sink.failed) == (4000, 4000 * 150, True)
    os.close(fd)


def test_hung_up_terminal_ends_cleanly() -> None:
    main, terminal = os.openpty()
    sink = StdoutSink(terminal)
    os.close(main)
    sink.write(b"x\n")
    with pytest.raises(SinkClosed):
        sink.flush()
    os.close(terminal)


def test_full_device_is_an_error_once_then_counted() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    sink = StdoutSink(fd)
    sink.write(b"one\n")
    sink.write(b"two\n")
    with pytest.raises(OutputError, match=r"^cannot write to standard output: no space left on device$") as caught:
        sink.flush()
    assert caught.value.hint == "free some space; what follows is counted as lost until there is"
    sink.write(b"three\n")
    sink.flush()
    assert (sink.dropped_writes, sink.dropped_bytes) == (3, 14)
    os.close(fd)


def test_a_line_torn_by_a_failure_is_ended_first(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    answers: list[int | OSError] = [5, OSError(errno.ENOSPC, "No space left on device"), 100]

    def write(_fd: int, data: memoryview) -> int:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        written.append(bytes(data[:answer]))
        return min(answer, len(data))

    sink = StdoutSink(1)
    monkeypatch.setattr(os, "write", write)
    sink.write(b"one\n")
    sink.write(b"two\n")
    with pytest.raises(OutputError):
        sink.flush()
    sink.write(b"three\n")
    sink.flush()
    assert written == [b"one\nt", b"\nthree\n"]
    assert (sink.dropped_writes, sink.dropped_bytes) == (1, 3)


def test_closed_standard_output_is_an_error() -> None:
    reader, writer = os.pipe()
    sink = StdoutSink(writer)
    os.close(writer)
    os.close(reader)
    sink.write(b"x")
    with pytest.raises(OutputError, match="bad file descriptor"):
        sink.flush()
