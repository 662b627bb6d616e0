# SPDX-License-Identifier: Apache-2.0
"""Batches bytes and writes them to a file descriptor; what sinks that end in one have in common.

Owns partial and refused writes. Opening, naming and closing descriptors are the sinks'.
"""

from __future__ import annotations

import errno
import os
import select

from plaintap.errors import OutputError, reason
from plaintap.outputs.base import SinkClosed

_BATCH_BYTES = 262_144
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FdWriter:
    """Writes to `fd`; `name` is for messages. `terminal` says that EIO means it was hung up."""

    def __init__(self, fd: int, *, name: str, terminal: bool = False) -> None:
        self.dropped_writes = 0
        self.dropped_bytes = 0
        self._fd = fd
        self._name = name
        self._gone = _GONE | {errno.EIO} if terminal else _GONE
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._failed = False
        # A line was cut by a failed write; the next one must not be glued to it.
        self._torn = False

    def write(self, data: bytes) -> None:
        """See `outputs.base.Sink`."""
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """See `outputs.base.Sink`."""
        if not self._pending:
            return
        writes = len(self._pending)
        batch = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        if self._torn:
            batch = b"\n" + batch
        written = 0
        try:
            view = memoryview(batch)
            while written < len(batch):
                written += self._write_some(view[written:])
        except OSError as error:
            self._refused(error, batch, written, writes)
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

    def _refused(self, error: OSError, batch: bytes, written: int, writes: int) -> None:
        if error.errno in self._gone:
            raise SinkClosed(self._name) from error
        torn = self._torn
        if written:
            self._torn = batch[written - 1] != ord("\n")
        self.dropped_writes += writes
        self.dropped_bytes += len(batch) - max(written, torn)
        if self._failed:
            return
        self._failed = True
        message = f"cannot write to {self._name}: {reason(error)}"
        hint = "free some space; what follows is counted as lost until there is" if error.errno in _FULL else None
        raise OutputError(message, hint=hint) from error
