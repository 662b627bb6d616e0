# SPDX-License-Identifier: Apache-2.0
"""A file of lines: what was there, a full disk, a pipe."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from full_disk import file_size_limited

from plaintap.errors import OutputError
from plaintap.outputs.sinks.file import FileSink
from plaintap.outputs.sinks.queued import QueuedSink

WAIT_S = 30


def open_file(path: Path) -> FileSink:
    return FileSink(str(path), form="json", unfit=lambda _fd: "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines"


def test_lines_follow_lines(path: Path) -> None:
    path.write_bytes(b"old\ntorn")
    path.chmod(0o644)
    sink = open_file(path)
    sink.write(b"a\n")
    sink.flush()
    sink.write(b"b\n")
    sink.close()
    assert path.read_bytes() == b"old\ntorn\na\nb\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_the_caller_refuses(path: Path) -> None:
    path.write_bytes(b"x")
    with pytest.raises(OutputError, match=f"^cannot write json to {path}: no$"):
        FileSink(str(path), form="json", unfit=lambda _fd: "no")


def test_a_file_with_another_name_is_refused(path: Path) -> None:
    path.touch()
    path.with_name("other").hardlink_to(path)
    with pytest.raises(OutputError, match="it has another name as well"):
        open_file(path)


def test_a_full_disk_leaves_whole_lines(path: Path) -> None:
    sink = QueuedSink(open_file(path))
    for _ in range(3):
        sink.write(b"x" * 39 + b"\n")
    with file_size_limited(100):
        sink.drain()
    with pytest.raises(OutputError, match="file too large$"):
        sink.flush()
    sink.close()
    assert path.read_bytes() == (b"x" * 39 + b"\n") * 2
    assert (sink.dropped_writes, sink.dropped_bytes, sink.failed) == (1, 40, True)


def test_a_pipe_whose_reader_comes_late(path: Path) -> None:
    os.mkfifo(path)
    sink = QueuedSink(open_file(path), lossless=True)
    sink.write(b"a\n")
    sink.flush()
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    sink.close()
    reader.join(WAIT_S)
    assert read == [b"a\n"]
    assert not sink.failed
