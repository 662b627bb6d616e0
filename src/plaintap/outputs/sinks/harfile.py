# SPDX-License-Identifier: Apache-2.0
"""A file that is a whole HAR after every write: what comes overwrites the end of the list, and ends it anew.

Each batch is one system call, so that a tool killed at any other moment leaves a good file; one killed within it leaves
what outputs/har_repair.py restores. What an entry is, har.py says.
"""

from __future__ import annotations

import fcntl
import os
import stat

from plaintap.errors import OutputError, reason
from plaintap.outputs.har_document import END, head, is_ours, is_whole
from plaintap.outputs.sinks.opening import open_to_append
from plaintap.outputs.sinks.writer import FdWriter

_HINT = "--format har:FILE names another file"
_LOOKED_AT_BYTES = 4096


class HarFile(FdWriter):
    """What is written are entries, each on its line. A file of ours is continued, any other refused."""

    def __init__(self, path: str) -> None:
        """Opens it and writes an empty list, or finds the end of the one that is there. Raises OutputError."""
        self._task = f"write har to {path}"
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH110, PTH116 - one look
            raise OutputError(f"cannot {self._task}: it is no file, whose end could be written again", hint=_HINT)
        fd = open_to_append(path, task=self._task, hint=_HINT, unfit=_unfit)
        try:
            # By the same rules as any other file, but to be written at places.
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_APPEND)
            self._begin(fd, path)
        except BaseException:
            os.close(fd)
            raise
        super().__init__(fd, name=path)

    def _begin(self, fd: int, path: str) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"cannot {self._task}: another plaintap writes it", hint=_HINT) from None
        size = os.fstat(fd).st_size
        try:
            if not size:
                self._rest_at, self._first = 0, True
                _write_at(fd, head() + END, 0)
                size = len(head()) + len(END)
        except OSError as error:
            os.ftruncate(fd, 0)
            raise OutputError(f"cannot {self._task}: {reason(error)}", hint=_HINT) from error
        tail = os.pread(fd, _LOOKED_AT_BYTES, max(0, size - _LOOKED_AT_BYTES))
        if not is_whole(tail):
            hint = f"`plaintap har --repair {path}` restores it"
            raise OutputError(f"cannot {self._task}: its end is missing, as a crash leaves it", hint=hint)
        self._rest_at = size - len(END)
        self._first = tail[: -len(END)].endswith(b"[")

    def close(self) -> None:
        """Flushes and closes."""
        try:
            self.flush()
        finally:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, self._closed = -1, True

    def _write_some(self, view: memoryview) -> int:
        """All of it, or nothing: what did not fit is taken back, and the list ends where it did."""
        entries = bytes(view).rstrip(b"\n").replace(b"\n", b",\n")
        if not entries:
            return len(view)
        rest = (b"\n" if self._first else b",\n") + entries
        try:
            _write_at(self._fd, rest + END, self._rest_at)
        except OSError:
            # Its blocks are there already.
            _write_at(self._fd, END, self._rest_at)
            os.ftruncate(self._fd, self._rest_at + len(END))
            raise
        self._rest_at += len(rest)
        self._first = False
        return len(view)


def _write_at(fd: int, data: bytes, offset: int) -> None:
    """One call, but where the kernel itself stops halfway."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _unfit(fd: int) -> str:
    try:
        start = os.pread(fd, _LOOKED_AT_BYTES, 0)
    except OSError:
        return "it cannot be read, which continuing it needs"
    return "" if not start or is_ours(start) else "it holds something that is no HAR of plaintap"
