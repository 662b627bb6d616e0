# SPDX-License-Identifier: Apache-2.0
"""The file of a key log: appended to, mode 0600, and never half a line for who reads while it grows.

Owns opening - files, pipes with and without a reader, standard output - and where a line may lie. What a line looks
like is outputs/keylog.py's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from plaintap.errors import OutputError, reason
from plaintap.outputs.base import SinkClosed
from plaintap.outputs.keylog import read_lines
from plaintap.outputs.sinks.writer import FdWriter

STANDARD_OUTPUT = "-"
PAGE_BYTES = 4096
"""Also PIPE_BUF: what a pipe takes at once (pipe(7))."""
READ_BACK_BYTES = 8 << 20
"""Of the end of a file that is there already: some 8,000 handshakes, in 0.1 s."""
LOOKED_AT_BYTES = 1 << 16
"""Of a file that is there already, to tell whether it is a key log."""
_LINE = re.compile(rb"[A-Z][A-Z0-9_]* [0-9A-Fa-f]{16,} [0-9A-Fa-f]+\s*")
_TORN_LINE = re.compile(rb"[A-Z][A-Z0-9_]*( [0-9A-Fa-f]*){0,2}\s*")
"""As a crash leaves one, and the next run ends it."""
_PADDING = b"# padding "
_MODE = 0o600
_OTHERS = 0o077
_HINT = "-k FILE names another file, -k - standard output"


class KeyFile(FdWriter):
    """What is written are whole lines. A short write, as on a full disk, is taken back to the last whole one.

    The kernel copies into a file page by page and shows its new size after each, so that a reader could meet half of a
    line that crosses a page. None does: where the next one would, a comment fills the page.
    """

    def __init__(self, path: str) -> None:
        """Opens it; only a pipe without a reader is left to the first write, which waits. Raises OutputError."""
        self._path = path
        self._standard = path == STANDARD_OUTPUT
        self._created = not self._standard and not os.path.lexists(path)
        fd = 1 if self._standard else _open(path)
        name = "standard output" if self._standard else f"the key log {path}"
        super().__init__(fd, name=name, terminal=fd >= 0 and os.isatty(fd))
        self._regular = fd >= 0 and stat.S_ISREG(os.fstat(fd).st_mode)
        self._torn = self._regular and not self._standard and not _ends_with_newline(fd)

    @property
    def is_pipe(self) -> bool:
        """Whether it is a pipe of its own, whose reader may come late, or be stuck."""
        return self._fd < 0 or (not self._standard and stat.S_ISFIFO(os.fstat(self._fd).st_mode))

    @property
    def waits_for_reader(self) -> bool:
        """Whether it is a pipe that nobody has opened yet."""
        return self._fd < 0 and not self._closed

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Label and client random of the lines that are there, of a long file the last ones."""
        if not self._regular or self._standard:
            return
        try:
            end = os.fstat(self._fd).st_size
            data = os.pread(self._fd, READ_BACK_BYTES, max(0, end - READ_BACK_BYTES))
        except OSError:  # it may be written to, but not read
            return
        yield from read_lines(data)

    def remove_if_unused(self) -> None:
        """Takes back a file that was made here and has nothing in it; after `close` too."""
        with contextlib.suppress(OSError):
            there = os.lstat(self._path)
            if self._created and stat.S_ISREG(there.st_mode) and not there.st_size:
                Path(self._path).unlink()

    def close(self) -> None:
        """Flushes and closes; a reader that has gone by now is no news."""
        with contextlib.suppress(SinkClosed):
            self.flush()
        if not self._standard and self._fd >= 0:
            os.close(self._fd)
        self._fd, self._closed = -1, True

    def _write_some(self, view: memoryview) -> int:
        """As many whole lines as go at once. In a thread: a pipe may have no reader yet."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        data = bytes(view[:PAGE_BYTES])
        if not self._regular:
            return super()._write_some(view[: data.rfind(b"\n") + 1 or PAGE_BYTES])
        room = PAGE_BYTES - os.lseek(self._fd, 0, os.SEEK_END) % PAGE_BYTES
        fits = data.rfind(b"\n", 0, room) + 1
        if not fits:
            self._append((_PADDING + b"#" * room)[: room - 1] + b"\n")
            fits = data.rfind(b"\n") + 1 or len(data)
        return self._append(data[:fits])

    def _append(self, lines: bytes) -> int:
        """How much of it stays: all, or the lines that went whole."""
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._fd, lines[written:])
        except OSError:
            whole = lines.rfind(b"\n", 0, written) + 1
            self._take_back(written - whole)
            if not whole:
                raise
            return whole
        return written

    def _take_back(self, size_bytes: int) -> None:
        """Only while nobody else has written behind it."""
        end = os.lseek(self._fd, 0, os.SEEK_CUR)
        if size_bytes and os.fstat(self._fd).st_size == end:
            os.ftruncate(self._fd, end - size_bytes)


def _open(path: str) -> int:
    """A descriptor that waits when it is full; -1 for a pipe that nobody reads yet."""
    try:
        fd = _open_at_once(path)
    except OSError as error:
        raise OutputError(f"cannot write keys to {path}: {reason(error)}", hint=_HINT) from error
    if fd < 0:
        return fd
    why = _why_not(fd) or _make_ours(fd)
    if why:
        os.close(fd)
        raise OutputError(f"cannot write keys to {path}: {why}", hint=_HINT)
    return fd


def _make_ours(fd: int) -> str:
    """Closes it to others, and lets it wait; why not, where that fails."""
    try:
        os.set_blocking(fd, True)
        _keep_from_others(fd)
    except OSError as error:
        return reason(error)
    return ""


def _why_not(fd: int) -> str:
    """What speaks against this file, which may have been put there by somebody who wants the keys, or be a slip."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return ""
    if str(status.st_uid) not in (str(os.geteuid()), os.environ.get("SUDO_UID")):
        return f"it belongs to user {status.st_uid}"
    if status.st_nlink != 1:
        return "it has another name as well"
    if any(_is_same(status, standard) for standard in (1, 2)):
        return "that is where standard output or standard error goes"
    return "" if _is_keylog(fd) else "it holds something that is no key log"


def _is_same(status: os.stat_result, fd: int) -> bool:
    try:
        other = os.fstat(fd)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (other.st_dev, other.st_ino)


def _is_keylog(fd: int) -> bool:
    """By its beginning: comments, lines of the form, what is left of one. One that cannot be read is believed."""
    try:
        lines = os.pread(fd, LOOKED_AT_BYTES, 0).split(b"\n")
    except OSError:
        return True
    said = [line for line in lines if line and not line.startswith(b"#")]
    return all(map(_TORN_LINE.fullmatch, said)) and (len(said) < 2 or any(map(_LINE.fullmatch, said)))


def _open_at_once(path: str) -> int:
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    # Links are followed: /dev/fd/63 is one, of `-k >(command)`. What they lead to is looked at when it is open.
    mode = Path(path).stat().st_mode if Path(path).exists() else stat.S_IFREG
    if stat.S_ISREG(mode):
        # For reading too where that may be: what is there is not written again.
        with contextlib.suppress(PermissionError):
            return os.open(path, os.O_RDWR | flags, _MODE)
    try:
        return os.open(path, os.O_WRONLY | flags, _MODE)
    except OSError as error:
        # Not opened for reading as well, which always succeeds: its reader's end would then be no end.
        if error.errno == errno.ENXIO and stat.S_ISFIFO(mode):
            return -1
        raise


def _keep_from_others(fd: int) -> None:
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode) or stat.S_IMODE(mode) == _MODE:
        return
    try:
        os.fchmod(fd, _MODE)
    except PermissionError:
        if mode & _OTHERS:
            raise


def _ends_with_newline(fd: int) -> bool:
    size = os.fstat(fd).st_size
    try:
        return not size or os.pread(fd, 1, size - 1) == b"\n"
    except OSError:  # it cannot be read; an empty line does no harm
        return False
