# SPDX-License-Identifier: Apache-2.0
"""WebSocket (RFC 6455) on one connection or one stream of HTTP/2: both directions, late attach, back into step.

From frames to messages is websocket_reader.py's, how frames look websocket_frames.py's, permessage-deflate
websocket_deflate.py's.
"""

from __future__ import annotations

from collections.abc import Callable

from plaintap.events import READ, WRITE
from plaintap.messages import Connection, Message, Request, Response, WebSocketMessage
from plaintap.parsing import Outlet
from plaintap.protocols.base import Fit, ProtocolEntry
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.websocket_deflate import Agreed, Inflater, agreed
from plaintap.protocols.websocket_frames import (
    DEFLATE_STARTS,
    EXTENDED_STARTS,
    MASKED,
    PLAIN_STARTS,
    looks_like_frames,
)
from plaintap.protocols.websocket_reader import Reader

_NO_FRAME = "what follows is no frame: shown raw until frames are seen again"


class WebSocket:
    """`outgoing`: this process is the client; None when the handshake was not seen and it cannot be told.

    With an `outlet` bytes that are no frames are given back; without one (HTTP/2) they are `unknown` messages.
    """

    __slots__ = (
        "_agreed",
        "_connection",
        "_emit",
        "_limit",
        "_outlet",
        "_readers",
        "_seek_held",
        "_seeking",
        "_seen_handshake",
        "_stream",
    )

    def __init__(
        self,
        connection: Connection,
        emit: Callable[[Message], None],
        *,
        outgoing: bool | None,
        request: Request | None,
        response: Response | None,
        stream: int = 0,
        options: ParserOptions,
        outlet: Outlet | None = None,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._outlet = outlet
        wanted = options.wants_stream_messages
        self._emit: Callable[[WebSocketMessage], None] = emit if wanted else _drop
        self._limit = options.body_limit if wanted else 0
        self._agreed = agreed(response)
        self._seen_handshake = request is not None or response is not None
        starts = _starts(self._agreed)
        self._readers = tuple(
            Reader(
                connection,
                self._emit,
                outgoing=direction == WRITE,
                request=request,
                stream=stream,
                limit=self._limit,
                starts=starts,
            )
            for direction in (READ, WRITE)
        )
        # Without the handshake a direction begins wherever it looks like frames.
        self._seeking = [not self._seen_handshake] * 2
        self._seek_held = [(0, b"")] * 2
        if outgoing is not None:
            self._settle_roles(client=WRITE if outgoing else READ)

    def receive(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        if self._seeking[direction]:
            self._seek(direction, ts_ns, data)
        elif rest := self._readers[direction].receive(ts_ns, data):
            self._malformed(direction, ts_ns, rest)

    def gap(self, direction: int, ts_ns: int, missing_bytes: int, /) -> None:
        if self._seeking[direction]:
            self._give_up_held(direction)
        elif not self._readers[direction].gap(ts_ns, missing_bytes):
            self._unclaimed(direction, ts_ns, self._readers[direction].incomplete(ts_ns, "bytes lost behind it"))
            self._seeking[direction] = True

    def flush(self, _ts_ns: int, /) -> None:
        for direction in (READ, WRITE):
            self._give_up_held(direction)

    def close(self, ts_ns: int, /) -> None:
        for direction in (READ, WRITE):
            self._give_up_held(direction)
            self._unclaimed(direction, ts_ns, self._readers[direction].incomplete(ts_ns))

    # Who is the client.

    def _settle_roles(self, *, client: int) -> None:
        known = self._seen_handshake and self._agreed
        for direction, reader in enumerate(self._readers):
            reader.from_client = from_client = direction == client
            if self._limit and self._agreed.deflate:
                reader.inflate_with(
                    Inflater(
                        window_bits=self._agreed.window_bits[from_client],
                        resets=self._agreed.resets[from_client],
                        limit=self._limit,
                        from_start=bool(known),
                    )
                )

    # Out of step.

    def _malformed(self, direction: int, ts_ns: int, rest: bytes) -> None:
        """`rest`, up to the end of the record, begins where a frame would."""
        reader = self._readers[direction]
        seen = reader.messages
        reader.incomplete(ts_ns, _NO_FRAME)
        if reader.messages == seen and self._outlet is not None:
            self._mark(direction, ts_ns)
        self._unclaimed(direction, ts_ns, rest)
        self._seeking[direction] = True
        if self._outlet is not None and all(self._seeking):
            self._recognise_afresh(ts_ns)

    def _mark(self, direction: int, ts_ns: int) -> None:
        """An empty message that says why bytes are shown raw."""
        from_client = self._readers[direction].from_client
        self._emit(
            WebSocketMessage(
                self._connection,
                direction == WRITE,
                "unknown",
                b"",
                0,
                ts_ns,
                ts_ns,
                complete=False,
                note=_NO_FRAME,
                stream=self._stream,
                from_client=from_client,
            )
        )

    def _recognise_afresh(self, ts_ns: int) -> None:
        """Neither direction is a WebSocket's: perhaps it never was one."""
        for direction in (READ, WRITE):
            self._give_up_held(direction)
        outlet = self._outlet
        if outlet is not None and not (self._seen_handshake and any(reader.messages for reader in self._readers)):
            outlet.become(None)

    def _seek(self, direction: int, ts_ns: int, data: bytes) -> None:
        reader = self._readers[direction]
        data = self._seek_held[direction][1] + data
        fit = looks_like_frames(data, masked=reader.from_client)
        if fit is Fit.MAYBE:
            self._seek_held[direction] = (ts_ns, data)
            return
        self._seek_held[direction] = (0, b"")
        if fit is Fit.NO:
            self._unclaimed(direction, ts_ns, data)
            return
        if reader.from_client is None:
            self._settle_roles(client=direction if data[1] & MASKED else 1 - direction)
        self._seeking[direction] = False
        if rest := reader.receive(ts_ns, data):
            self._malformed(direction, ts_ns, rest)

    def _give_up_held(self, direction: int) -> None:
        ts_ns, held = self._seek_held[direction]
        self._seek_held[direction] = (0, b"")
        self._unclaimed(direction, ts_ns, held)

    def _unclaimed(self, direction: int, ts_ns: int, data: bytes) -> None:
        if self._outlet is not None:
            self._outlet.unclaimed(direction, ts_ns, data)
        elif data:
            self._emit(
                WebSocketMessage(
                    self._connection,
                    direction == WRITE,
                    "unknown",
                    data[: self._limit],
                    len(data),
                    ts_ns,
                    ts_ns,
                    complete=False,
                    note="no frame",
                    stream=self._stream,
                    from_client=self._readers[direction].from_client,
                )
            )


def _starts(extensions: Agreed) -> frozenset[int]:
    if extensions.others:
        return EXTENDED_STARTS
    return DEFLATE_STARTS if extensions.deflate else PLAIN_STARTS


def _drop(_message: WebSocketMessage) -> None:
    """For those who do not want stream messages."""


def fit(_direction: int, head: bytes) -> Fit:
    """Without its handshake: frames from the record's beginning to its end."""
    return looks_like_frames(head)


def _create(_direction: int, _head: bytes, outlet: Outlet, options: ParserOptions) -> WebSocket:
    return WebSocket(
        outlet.connection, outlet.emit, outgoing=None, request=None, response=None, options=options, outlet=outlet
    )


WEBSOCKET = ProtocolEntry(name="websocket", fit=fit, create=_create)
