# SPDX-License-Identifier: Apache-2.0
"""Batches bytes and writes them to a file descriptor; what sinks that end in one have in common.

Owns partial and refused writes. Opening, naming and closing descriptors are the sinks'.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterable
from itertools import accumulate

from plaintap.errors import OutputError, reason
from plaintap.outputs.base import SinkClosed

BATCH_BYTES = 262_144
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def unwritten(writes: Iterable[bytes], written_bytes: int) -> int:
    """How many of `writes` did not go out whole, of which `written_bytes` did."""
    return sum(end > written_bytes for end in accumulate(map(len, writes)))


class FdWriter:
    """Writes to `fd`; `name` is for messages. `terminal` says that EIO means it was hung up."""

    def __init__(self, fd: int, *, name: str, terminal: bool = False) -> None:
        self.dropped_writes = 0
        self.dropped_bytes = 0
        self.failed = False
        self._fd = fd
        self._name = name
        self._gone = _GONE | {errno.EIO} if terminal else _GONE
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        # Not yet told.
        self._failure: OutputError | SinkClosed | None = None
        self._closed = False
        self._lines = True
        # A line was cut by a failed write; the next one must not be glued to it.
        self._torn = False

    def write(self, data: bytes) -> None:
        """See `outputs.base.Sink`."""
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= BATCH_BYTES:
            self._write_out()

    def flush(self) -> None:
        """See `outputs.base.Sink`."""
        self._write_out()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _write_out(self) -> None:
        writes, self._pending = self._pending, []
        self._pending_bytes = 0
        if not writes or self._closed:
            return
        batch = b"".join([b"\n", *writes] if self._torn else writes)
        view = memoryview(batch)
        written = 0
        try:
            while written < len(batch):
                written += self._write_some(view[written:])
        except OSError as error:
            if error.errno in self._gone:
                self._closed = True
                self._failure = SinkClosed(self._name)
                self._failure.__cause__ = error
            else:
                self._refused(error, writes, max(0, written - self._torn))
                self._torn = (self._lines and batch[written - 1] != ord("\n")) if written else self._torn
        else:
            self._torn = False

    def _write_some(self, view: memoryview) -> int:
        try:
            return os.write(self._fd, view)
        except BlockingIOError:
            # Someone made the terminal non-blocking; it is waited for like any other.
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll()
            return 0

    def _refused(self, error: OSError, writes: list[bytes], written_bytes: int) -> None:
        self.dropped_writes += unwritten(writes, written_bytes)
        self.dropped_bytes += sum(map(len, writes)) - written_bytes
        if self.failed:
            return
        self.failed = True
        hint = "free some space; what follows is counted as lost until there is" if error.errno in _FULL else None
        self._failure = OutputError(f"cannot write to {self._name}: {reason(error)}", hint=hint)
        self._failure.__cause__ = error
