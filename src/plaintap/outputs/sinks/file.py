# SPDX-License-Identifier: Apache-2.0
"""A file of lines, such as `--format json:FILE`: appended to, mode 0600, whole lines even on a full disk; or a pipe.

Files of a form that has an end, such as HAR, are harfile.py's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from plaintap.outputs.base import SinkClosed
from plaintap.outputs.framing import LINES, Framing
from plaintap.outputs.sinks.opening import append_whole, ends_with_newline, is_regular, open_to_append, wait_for_reader
from plaintap.outputs.sinks.writer import FdWriter


class FileSink(FdWriter):
    """Every write ends an event. A pipe without a reader is opened by the first write, which waits for one."""

    def __init__(self, path: str, *, form: str, unfit: Callable[[int], str], framing: Framing = LINES) -> None:
        """See `open_to_append` for `unfit`. Raises OutputError."""
        self._path = path
        self._form = form
        self._unfit = unfit
        self._framing = framing
        fd = self._open()
        super().__init__(fd, name=path, terminal=fd >= 0 and os.isatty(fd))
        self._regular = is_regular(fd)
        self._lines = not framing.binary
        # What an earlier run, or another program, did not end.
        self._torn = self._regular and not framing.binary and not ends_with_newline(fd)

    def _open(self) -> int:
        hint = f"--format {self._form}:FILE names another file"
        return open_to_append(self._path, task=f"write {self._form} to {self._path}", hint=hint, unfit=self._unfit)

    def close(self) -> None:
        """Flushes and closes; a reader that has gone by now is no news."""
        try:
            with contextlib.suppress(SinkClosed):
                self.flush()
        finally:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, self._closed = -1, True

    def _write_some(self, view: memoryview) -> int:
        """In a thread: a pipe may have no reader yet."""
        if self._fd < 0:
            self._fd = wait_for_reader(self._path)
        if self._regular:
            return append_whole(self._fd, bytes(view), self._framing)
        return super()._write_some(view)
