# SPDX-License-Identifier: Apache-2.0
"""Standard output. A reader that goes away (`| head`, a closed terminal) ends the capture cleanly."""

from __future__ import annotations

import contextlib
import os
import threading

from plaintap.outputs.base import SinkClosed
from plaintap.outputs.sinks.writer import FdWriter

_STDOUT_FD = 1


class StdoutSink(FdWriter):
    """Writes to descriptor 1, or another standard one, past `sys.stdout`; never closes it."""

    _writing = threading.Lock()
    """Several captures of one process may share it."""

    def __init__(self, fd: int = _STDOUT_FD, *, name: str = "standard output") -> None:
        super().__init__(fd, name=name, terminal=os.isatty(fd))

    def _write_out(self) -> None:
        with self._writing:
            super()._write_out()

    def close(self) -> None:
        """Flushes; a reader that has gone by now is no news."""
        with contextlib.suppress(SinkClosed):
            self.flush()
