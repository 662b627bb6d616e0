# SPDX-License-Identifier: Apache-2.0
"""The file of a key log: what was there, who may read it, where lines lie, full disks, pipes without a reader."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from full_disk import file_size_limited
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaintap.errors import OutputError
from plaintap.outputs.base import SinkClosed
from plaintap.outputs.sinks.keyfile import PAGE_BYTES, READ_BACK_BYTES, KeyFile
from plaintap.outputs.sinks.queued import QueuedSink

RANDOM = bytes(range(32))
WAIT_S = 30


def line(number: int, size: int = 48) -> bytes:
    """A line of a key log, some 180 bytes."""
    return b"CLIENT_RANDOM %064x %s\n" % (number, b"5a" * size)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.log"


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def written(path: Path, *writes: bytes) -> bytes:
    """The file after a sink of its own wrote that."""
    sink = KeyFile(str(path))
    for data in writes:
        sink.write(data)
        sink.flush()
    sink.close()
    assert (sink.dropped_writes, sink.dropped_bytes, sink.failed) == (0, 0, False)
    return path.read_bytes()


@pytest.mark.usefixtures("no_umask")
def test_a_new_file_is_its_owners_alone(path: Path) -> None:
    assert written(path, line(1), line(2)) == line(1) + line(2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o400, 0o700])
def test_the_mode_of_a_file_that_is_there_is_set_right(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)
    assert written(path, line(1)) == line(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_followed_to_what_is_a_key_log(path: Path) -> None:
    """As /dev/fd/63 is, of a shell's `-k >(command)`."""
    path.write_bytes(line(1))
    link = path.with_name("link")
    link.symlink_to(path)
    assert written(link, line(2)) == line(1) + line(2)


def test_padding_says_what_it_is(path: Path) -> None:
    path.write_bytes(b"#" * (PAGE_BYTES - 60) + b"\n")
    assert written(path, line(1)).endswith(b"\n# padding " + b"#" * 48 + b"\n" + line(1))


def test_only_an_empty_file_of_its_own_is_taken_back(path: Path) -> None:
    sink = KeyFile(str(path))
    sink.write(line(1))
    sink.close()
    sink.remove_if_unused()
    assert path.read_bytes() == line(1)
    path.write_bytes(b"")
    there = KeyFile(str(path))
    there.close()
    there.remove_if_unused()
    assert path.exists()
    sink.remove_if_unused()
    assert not path.exists()


def test_what_is_there_stays(path: Path) -> None:
    path.write_bytes(line(1))
    assert written(path, line(2)) == line(1) + line(2)
    assert written(path) == line(1) + line(2)


def test_a_line_somebody_else_left_unfinished_is_ended(path: Path) -> None:
    path.write_bytes(line(1)[:-1])
    assert written(path, line(2), line(3)) == line(1) + line(2) + line(3)
    path.write_bytes(line(9) + b"CLIENT_RAN")
    assert written(path, line(2)) == line(9) + b"CLIENT_RAN\n" + line(2)


def test_a_long_key_log_is_one(path: Path) -> None:
    content = b"".join(map(line, range(1, 2000))) + b"CLIENT_RAN\n" + line(2000)
    path.write_bytes(content)
    assert written(path) == content


def test_lines_that_are_there_are_known(path: Path) -> None:
    path.write_bytes(b"# mine\n\nRSA 00 11\n" + line(1) + b"CLIENT_RANDOM 12\r\n" + line(2)[:-1] + b"\r\n\n")
    sink = KeyFile(str(path))
    expected = [("CLIENT_RANDOM", number.to_bytes(32, "big")) for number in (1, 2)]
    assert list(sink.lines()) == expected
    sink.close()


def test_of_a_long_file_only_the_end_is_read(path: Path) -> None:
    with path.open("wb") as file:
        file.write(line(1))
        file.write(b"\n" * READ_BACK_BYTES + line(2))
    sink = KeyFile(str(path))
    assert list(sink.lines()) == [("CLIENT_RANDOM", (2).to_bytes(32, "big"))]
    sink.close()


@pytest.fixture
def seen_writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What each system call wrote."""
    writes: list[bytes] = []
    write = os.write

    def spy(fd: int, data: bytes) -> int:
        count = write(fd, data)
        writes.append(bytes(data[:count]))
        return count

    monkeypatch.setattr(os, "write", spy)
    return writes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    sets=st.lists(st.lists(st.integers(32, 48), min_size=1, max_size=7), max_size=40),
    start=st.integers(0, 2 * PAGE_BYTES),
)
def test_a_reader_never_meets_half_a_line(
    tmp_path: Path, seen_writes: list[bytes], sets: list[list[int]], start: int
) -> None:
    """Every system call ends with a line, and no line crosses a page: those are the steps in which a file grows."""
    path = tmp_path / "keys.log"
    path.write_bytes((b"#" * start)[:-1] + b"\n" * bool(start))
    seen_writes.clear()
    batches = [b"".join(line(size, size) for size in sizes) for sizes in sets]
    content = written(path, *batches)[start:]
    assert all(data.endswith(b"\n") for data in seen_writes)
    assert b"".join(seen_writes) == content
    at = start
    for each in content.splitlines(keepends=True):
        assert at // PAGE_BYTES == (at + len(each) - 1) // PAGE_BYTES
        at += len(each)
    real = [each for each in content.splitlines(keepends=True) if not each.startswith(b"#") and each != b"\n"]
    assert real == b"".join(batches).splitlines(keepends=True)


def other_name(path: Path) -> None:
    path.touch()
    path.with_name("theirs").hardlink_to(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.mkdir, "is a directory"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        (
            lambda path: path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nMIIE\n"),
            "it holds something that is no key log",
        ),
        (lambda path: path.write_bytes(b"TODO\nADD FEED\n"), "it holds something that is no key log"),
        (lambda path: path.write_bytes(line(1) + b"and a note\n"), "it holds something that is no key log"),
        (lambda path: path.write_bytes(b"127.0.0.1 localhost\n"), "it holds something that is no key log"),
        (lambda path: path.write_bytes(b"PTAPREC1\1\2"), "it holds something that is no key log"),
        (other_name, "it has another name as well"),
    ],
)
def test_what_cannot_be_opened_is_one_error(path: Path, make: Callable[[Path], None], why: str) -> None:
    make(path)
    with pytest.raises(OutputError, match=f"^cannot write keys to {path}: {why}$") as caught:
        KeyFile(str(path))
    assert caught.value.hint == "-k FILE names another file, -k - standard output"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_file_that_may_not_be_written(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Root may write to any file that has a mode, so that the kernel's answer is made up here."""

    def refuse(_path: str, _flags: int, _mode: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match=f"^cannot write keys to {path}: {os.strerror(number).lower()}$"):
        KeyFile(str(path))


def test_a_file_that_may_only_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there cannot be known, nor how it ends."""
    path.write_bytes(line(1)[:-1])
    real_open = os.open

    def refuse_reading(name: str, flags: int, mode: int) -> int:
        if flags & os.O_ACCMODE != os.O_WRONLY:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real_open(name, flags, mode)

    monkeypatch.setattr(os, "open", refuse_reading)
    sink = KeyFile(str(path))
    monkeypatch.undo()
    assert list(sink.lines()) == []
    sink.write(line(2))
    sink.close()
    assert path.read_bytes() == line(1) + line(2)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none" / "keys.log"
    with pytest.raises(OutputError, match=f"^cannot write keys to {path}: no such file or directory$"):
        KeyFile(str(path))


def test_nothing_is_left_open_by_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of somebody else's that everybody may read: its mode cannot be set."""
    path.touch(mode=0o644)

    def refuse(_fd: int, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    before = sorted(Path("/proc/self/fd").iterdir())
    path.chmod(0o644)
    with pytest.raises(OutputError, match="operation not permitted"):
        KeyFile(str(path))
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    path.chmod(0o200)  # nobody but its owner has any right to it
    KeyFile(str(path)).close()


def test_a_full_disk_is_told_once_and_counted() -> None:
    sink = KeyFile("/dev/full")
    sink.write(line(1))
    with pytest.raises(OutputError, match="^cannot write to the key log /dev/full: no space left on device$"):
        sink.flush()
    sink.write(line(2))
    sink.flush()
    sink.close()
    assert (sink.dropped_writes, sink.dropped_bytes, sink.failed) == (2, 2 * len(line(1)), True)


@pytest.mark.parametrize("room", [0, 1, 100, len(line(1)), len(line(1)) + 1, 2 * len(line(1)) - 1])
def test_a_short_write_leaves_no_half_line(path: Path, room: int) -> None:
    sink = KeyFile(str(path))
    sink.write(line(1))
    sink.flush()
    for number in (2, 3, 4):
        sink.write(line(number))
    with file_size_limited(len(line(1)) + room), pytest.raises(OutputError, match="file too large"):
        sink.flush()
    whole = room // len(line(1))
    assert path.read_bytes() == b"".join(map(line, range(1, 2 + whole)))
    assert (sink.dropped_writes, sink.dropped_bytes) == (3 - whole, (3 - whole) * len(line(1)))
    sink.write(line(5))
    sink.flush()
    sink.close()
    assert path.read_bytes() == b"".join(map(line, range(1, 2 + whole))) + line(5)


def test_what_others_appended_meanwhile_is_not_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = KeyFile(str(path))
    sink.write(line(1))
    sink.flush()
    write = os.write

    def and_another(fd: int, data: bytes) -> int:
        with file_size_limited(2 * len(line(1)) - 10):
            count = write(fd, data)
        with path.open("ab") as other:
            other.write(b"theirs\n")
        return count

    monkeypatch.setattr(os, "write", and_another)
    sink.write(line(2))
    with pytest.raises(OutputError):
        sink.flush()
    monkeypatch.undo()
    sink.close()
    assert path.read_bytes().endswith(b"theirs\n")


def test_a_pipe_with_a_reader(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = KeyFile(str(path))
    assert list(sink.lines()) == []
    sink.write(line(1) + line(2))
    sink.flush()
    assert os.read(reader, 4096) == line(1) + line(2)
    os.close(reader)
    sink.write(line(3))
    with pytest.raises(SinkClosed):
        sink.flush()
    sink.close()
    assert (sink.dropped_writes, sink.failed) == (0, False)


def test_a_pipe_gets_whole_lines_at_once(path: Path, seen_writes: list[bytes]) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = KeyFile(str(path))
    lines = [line(number) for number in range(100)]
    sink.write(b"".join(lines))
    sink.flush()
    sink.close()
    assert b"".join(seen_writes) == b"".join(lines)
    assert all(data.endswith(b"\n") and len(data) <= PAGE_BYTES for data in seen_writes)
    os.close(reader)


def test_a_pipe_without_a_reader_is_waited_for_in_the_thread(path: Path) -> None:
    os.mkfifo(path)
    queued = QueuedSink(KeyFile(str(path)), lossless=True)
    queued.write(line(1))
    queued.flush()
    queued.write(line(2))
    queued.flush()
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(path.read_bytes()))
    thread.start()
    queued.close()
    thread.join(WAIT_S)
    assert got == [line(1) + line(2)]
    assert (queued.dropped_writes, queued.failed) == (0, False)


def test_a_pipe_nobody_ever_reads_costs_what_was_for_it(path: Path) -> None:
    os.mkfifo(path)
    queued = QueuedSink(KeyFile(str(path)), flush_timeout_s=0.05)
    queued.write(line(1))
    queued.write(line(2))
    queued.close()
    assert (queued.dropped_writes, queued.failed) == (2, False)
    with path.open("rb"):  # the thread may go
        pass


def test_a_pipe_nobody_needed(path: Path) -> None:
    os.mkfifo(path)
    QueuedSink(KeyFile(str(path))).close()


def test_standard_output_is_left_open_and_as_it_is(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sink = KeyFile("-")
    assert list(sink.lines()) == []
    mode = os.fstat(1).st_mode
    sink.write(line(1))
    sink.close()
    assert os.fstat(1).st_mode == mode
    assert capfd.readouterr().out.encode() == line(1)
    assert not path.exists()


def test_another_that_writes_there_is_seen_while_it_does(path: Path) -> None:
    first = KeyFile(str(path))
    assert not first.is_shared
    second = KeyFile(str(path))
    assert second.is_shared
    # Neither is kept from writing, nor anybody from reading.
    for sink, number in ((first, 1), (second, 2)):
        sink.write(line(number))
        sink.flush()
    assert path.read_bytes() == line(1) + line(2)
    first.close()
    second.close()
    third = KeyFile(str(path))
    assert not third.is_shared
    third.close()


def test_a_pipe_may_have_many_writers(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sinks = [KeyFile(str(path)) for _ in range(2)]
    assert [sink.is_shared for sink in sinks] == [False, False]
    for sink in sinks:
        sink.close()
    os.close(reader)
