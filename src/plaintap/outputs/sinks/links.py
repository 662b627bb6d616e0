# SPDX-License-Identifier: Apache-2.0
"""A connection to a peer, over which events go out whole; what the peer says in turn is looked at and let go.

Owns the socket and how much of it went out. Trying again is peer.py's, what WebSockets say of themselves wslink.py's.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Sequence
from itertools import accumulate

from plaintap.errors import reason

CONNECT_S = 5.0
FINISH_S = 2.0
"""How long a peer that has said goodbye may take for the rest of an event."""
_READ_BYTES = 65536


class LinkLost(Exception):  # noqa: N818 - of a peer that has gone, which is no error of ours
    """The peer has gone after `sent` of the events it was given."""

    def __init__(self, why: str, *, sent: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.sent = sent


class Link:
    """Over TCP: the events as they are."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """Raises OSError, of which a certificate that is not right is one."""
        connected = socket.create_connection((host, port), timeout=CONNECT_S)
        try:
            self._socket = tls.wrap_socket(connected, server_hostname=host) if tls else connected
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except BaseException:
            connected.close()
            raise

    def start(self) -> None:
        """Before the first event. Raises LinkLost."""
        self._socket.setblocking(False)

    def send(self, events: Sequence[bytes]) -> None:
        """Returns when all have gone out. Raises LinkLost."""
        pieces = [self._encode(event) for event in events]
        ends = list(accumulate(map(len, pieces)))
        view, sent = memoryview(b"".join(pieces)), 0
        stop = len(view)
        deadline_s: float | None = None
        why = ""
        while sent < stop:
            try:
                if deadline_s is None and (why := self._goodbye()):
                    deadline_s = time.monotonic() + FINISH_S
                    stop = next((end for end in (0, *ends) if end >= sent), stop)
                    continue
                if not self._wait(deadline_s):
                    break
                sent += self._send_some(view[sent:stop])
            except OSError as error:
                raise LinkLost(reason(error), sent=sum(end <= sent for end in ends)) from error
        if why:
            raise LinkLost(why, sent=sum(end <= sent for end in ends))
        self._answer()

    def look(self) -> None:
        """While there is nothing to send. Raises LinkLost."""
        try:
            why = self._goodbye()
            self._answer()
        except OSError as error:
            raise LinkLost(reason(error)) from error
        if why:
            raise LinkLost(why)

    def abort(self) -> None:
        """From another thread: whatever waits for the peer waits no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Says goodbye and lets go."""
        with contextlib.suppress(OSError):
            self._farewell()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _encode(self, event: bytes) -> bytes:
        return event

    def _take(self, data: bytes) -> str:
        """What the peer said; why it has gone, or ""."""
        return "" if data else "the peer closed the connection"

    def _answer(self) -> None:
        """Sends what the peer's words ask for."""

    def _farewell(self) -> None:
        """The last that is sent."""

    def _goodbye(self) -> str:
        while True:
            try:
                data = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return ""
            if why := self._take(data):
                return why

    def _send_some(self, view: memoryview) -> int:
        try:
            return self._socket.send(view)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def _send_all(self, data: bytes) -> None:
        """Small answers; raises OSError where they do not go out soon."""
        view, deadline_s = memoryview(data), time.monotonic() + FINISH_S
        while view:
            if not self._wait(deadline_s):
                raise TimeoutError
            view = view[self._send_some(view) :]

    def _wait(self, deadline_s: float | None) -> bool:
        """Until it can be written; where nothing is waited for any more also read. False when time is up."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT | (select.POLLIN if deadline_s is None else 0))
        left_s = None if deadline_s is None else deadline_s - time.monotonic()
        if left_s is not None and left_s <= 0:
            return False
        return bool(poll.poll(None if left_s is None else left_s * 1000))
