# SPDX-License-Identifier: Apache-2.0
"""A sink at the other end of a network: connects, sends whole events, and connects again when the peer has gone.

It is written to from a thread (queued.py), which waits with it; what gathers meanwhile is bounded and dropped there.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable

from plaintap.errors import reason
from plaintap.outputs.framing import Framing
from plaintap.outputs.sinks.links import Link, LinkLost

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0
BATCH_EVENTS = 256
BATCH_BYTES = 1 << 18


class PeerSink:
    """`open_link` makes a connection; it raises OSError or LinkLost."""

    def __init__(
        self,
        open_link: Callable[[], Link],
        *,
        name: str,
        framing: Framing,
        bare: bool,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """With `bare` an event goes out without what separates it from the next: the link has messages of its own."""
        self.dropped_writes = 0
        self.dropped_bytes = 0
        self.failed = False
        self.taken_bytes = 0
        """Of the last `write`, how much has gone out, in whole events."""
        self.news: deque[str] = deque()
        """What to tell people; taken by another thread."""
        self._open_link = open_link
        self._name = name
        self._framing = framing
        self._bare = bare
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._link: Link | None = None
        self._lost_s: float | None = None
        self._wait_s = FIRST_WAIT_S
        self._data = b""

    def write(self, data: bytes) -> None:
        """See `outputs.base.Sink`. Goes out with `flush`."""
        self._data += data
        self.taken_bytes = 0

    def flush(self) -> None:
        """Returns when the peer, or its next coming, has it all; or when it was stopped."""
        data = self._data
        while self.taken_bytes < len(data):
            link = self._link or self._connect()
            if link is None or self._stopping.is_set():
                self.dropped_bytes += len(data) - self.taken_bytes
                break
            piece = self._next(data)
            events, ends = self._framing.cut(piece, bare=self._bare)
            try:
                link.send(events)
            except LinkLost as lost:
                self.taken_bytes += ends[lost.sent - 1] if lost.sent else 0
                self._lose(lost.why, any_sent=lost.sent > 0)
            else:
                self.taken_bytes += len(piece)
                self._wait_s = FIRST_WAIT_S
        self._data = b""

    def idle(self) -> None:
        """About every few seconds without anything to send: whether the peer is still there."""
        if self._link:
            try:
                self._link.look()
            except LinkLost as lost:
                self._lose(lost.why, any_sent=False)

    def stop(self) -> None:
        """From another thread: what has not gone out by now is dropped."""
        self._stopping.set()
        if link := self._link:
            link.abort()

    def close(self) -> None:
        """Lets go of the peer."""
        if self._link:
            self._link.close()
        self._link = None

    def _next(self, data: bytes) -> bytes:
        """Some whole events of what is left, one at the least."""
        rest = data[self.taken_bytes : self.taken_bytes + BATCH_BYTES]
        end = self._framing.ends(rest, BATCH_BYTES)
        if end:
            return rest[:end]
        rest = data[self.taken_bytes :]
        first = len(rest)
        limit = BATCH_BYTES
        while limit < len(rest):
            limit *= 2
            if end := self._framing.ends(rest, limit):
                first = end
                break
        return rest[:first]

    def _connect(self) -> Link | None:
        while not self._stopping.is_set():
            try:
                link = self._open_link()
                try:
                    link.start()
                except BaseException:
                    link.close()
                    raise
            except (OSError, LinkLost) as error:
                self._told(error)
                self._back_off()
                continue
            if self._lost_s is not None:
                self.news.append(f"{self._name}: connected after {time.monotonic() - self._lost_s:.1f} s")
            self._link, self._lost_s = link, None
            return link
        return None

    def _told(self, error: OSError | LinkLost) -> None:
        """Once per interruption."""
        if self._lost_s is None:
            self._lost_s = time.monotonic()
            why = error.why if isinstance(error, LinkLost) else _words(error)
            self.news.append(f"cannot connect to {self._name}: {why}; trying again")

    def _lose(self, why: str, *, any_sent: bool) -> None:
        if self._link:
            self._link.close()
        self._link = None
        if self._stopping.is_set():
            return
        if self._lost_s is None:
            self._lost_s = time.monotonic()
            self.news.append(f"{self._name}: {why}; connecting again")
        if any_sent:
            self._wait_s = FIRST_WAIT_S
        else:
            self._back_off()

    def _back_off(self) -> None:
        """Twice as long each time, and not all at once where several lost the same peer."""
        self._sleep(self._wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not right: {error.verify_message}"
    return "no answer in time" if isinstance(error, TimeoutError) else reason(error)
