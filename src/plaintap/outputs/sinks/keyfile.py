# SPDX-License-Identifier: Apache-2.0
"""The file of a key log: appended to, mode 0600, and never half a line for who reads while it grows.

Owns pipes with and without a reader, standard output, and where a line may lie. What a line looks like is
outputs/keylog.py's, opening a file opening.py's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from plaintap.outputs.base import SinkClosed
from plaintap.outputs.keylog import read_lines
from plaintap.outputs.sinks.opening import append_whole, ends_with_newline, is_regular, open_to_append, wait_for_reader
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
        task = f"write keys to {path}"
        fd = 1 if self._standard else open_to_append(path, task=task, hint=_HINT, unfit=_unfit)
        name = "standard output" if self._standard else f"the key log {path}"
        super().__init__(fd, name=name, terminal=fd >= 0 and os.isatty(fd))
        self._regular = is_regular(fd)
        self._torn = self._regular and not self._standard and not ends_with_newline(fd)
        self.is_shared = self._regular and not self._standard and not _lock(fd)
        """Whether another plaintap writes to the file now, which does not know what this one has written."""

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
            self._fd = wait_for_reader(self._path)
        data = bytes(view[:PAGE_BYTES])
        if not self._regular:
            return super()._write_some(view[: data.rfind(b"\n") + 1 or PAGE_BYTES])
        room = PAGE_BYTES - os.lseek(self._fd, 0, os.SEEK_END) % PAGE_BYTES
        fits = data.rfind(b"\n", 0, room) + 1
        if not fits:
            append_whole(self._fd, (_PADDING + b"#" * room)[: room - 1] + b"\n")
            fits = data.rfind(b"\n") + 1 or len(data)
        return append_whole(self._fd, data[:fits])


def _lock(fd: int) -> bool:
    """Until it is closed; False when somebody else has it. Only who asks for the lock notices: readers do not."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _unfit(fd: int) -> str:
    return "" if _is_keylog(fd) else "it holds something that is no key log"


def _is_keylog(fd: int) -> bool:
    """By its beginning: comments, lines of the form, what is left of one. One that cannot be read is believed."""
    try:
        lines = os.pread(fd, LOOKED_AT_BYTES, 0).split(b"\n")
    except OSError:
        return True
    said = [line for line in lines if line and not line.startswith(b"#")]
    return all(map(_TORN_LINE.fullmatch, said)) and (len(said) < 2 or any(map(_LINE.fullmatch, said)))
