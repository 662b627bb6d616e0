# SPDX-License-Identifier: Apache-2.0
"""A file that is appended to. It holds what others meant to be secret, so a new one is the owner's only."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from plaintap.errors import OutputError, reason
from plaintap.outputs.base import SinkClosed
from plaintap.outputs.sinks.writer import FdWriter

_MODE = 0o600
_NOT_HERE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR})
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY


class FileSink(FdWriter):
    """Opens `path` (created with mode 0600; an existing file keeps its mode) or raises OutputError with a hint."""

    def __init__(self, path: Path) -> None:
        try:
            fd = os.open(path, _FLAGS, _MODE)
        except OSError as error:
            message = f"cannot open {path} for writing: {reason(error)}"
            raise OutputError(message, hint=_hint(path, error)) from error
        super().__init__(fd, name=str(path))
        self._open = True

    def close(self) -> None:
        """Flushes and closes; a second call does nothing."""
        if not self._open:
            return
        self._open = False
        try:
            with contextlib.suppress(SinkClosed):
                self.flush()
        finally:
            os.close(self._fd)


def _hint(path: Path, error: OSError) -> str | None:
    if isinstance(error, IsADirectoryError):
        return f"name a file in it, such as {path / 'plaintap.log'}"
    if isinstance(error, FileNotFoundError):
        return f"make its directory first: mkdir -p {path.parent}"
    if error.errno in _NOT_HERE:
        return "choose a place you may write to"
    return None
