# SPDX-License-Identifier: Apache-2.0
"""A file of lines, such as `--format json:FILE`: appended to, mode 0600, whole lines even on a full disk; or a pipe.

Files of a form that has an end, such as HAR, are harfile.py's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from plaintap.outputs.base import SinkClosed
from plaintap.outputs.sinks.opening import append_lines, ends_with_newline, is_regular, open_to_append, wait_for_reader
from plaintap.outputs.sinks.writer import FdWriter


class FileSink(FdWriter):
    """Every write ends a line. A pipe without a reader is opened by the first write, which waits for one."""

    def __init__(self, path: str, *, form: str, unfit: Callable[[int], str]) -> None:
        """See `open_to_append` for `unfit`. Raises OutputError."""
        self._path = path
        hint = f"--format {form}:FILE names another file"
        fd = open_to_append(path, task=f"write {form} to {path}", hint=hint, unfit=unfit)
        super().__init__(fd, name=path, terminal=fd >= 0 and os.isatty(fd))
        self._regular = is_regular(fd)
        # What an earlier run, or another program, did not end.
        self._torn = self._regular and not ends_with_newline(fd)

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
        return append_lines(self._fd, bytes(view)) if self._regular else super()._write_some(view)
