# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 (RFC 9113) on one connection: header blocks decoded, frames given to streams, back into step after losses.

How frames look is http2_frames.py's, header compression hpack.py's, what a stream amounts to http2_streams.py's.
"""

from __future__ import annotations

import struct

from plaintap.events import READ, WRITE
from plaintap.messages import Exchange
from plaintap.parsing import Outlet, Parser
from plaintap.protocols.base import Fit, ProtocolEntry
from plaintap.protocols.hpack import Field, HpackDecoder, HpackError
from plaintap.protocols.http2_frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    FIXED_BYTES,
    GOAWAY,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    PADDED,
    PAYLOAD_LIMIT_BYTES,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    WITH_PRIORITY,
    FrameError,
    FrameReader,
    fit,
)
from plaintap.protocols.http2_streams import Streams, error_name
from plaintap.protocols.options import ParserOptions

_NUMBER = struct.Struct(">I")
_GOAWAY = struct.Struct(">II")
_STREAM = 0x7FFFFFFF
_PRIORITY_BYTES = 5
_ASKS = frozenset({b":method", b":path", b":scheme", b":authority", b":protocol"})


def _promised_stream(payload: bytes) -> int:
    """Raises FrameError."""
    promised = _NUMBER.unpack_from(payload)[0] & _STREAM if len(payload) >= _NUMBER.size else 0
    if not promised or promised & 1:
        raise FrameError("a promise of no stream of the server's")
    return int(promised)


class _Direction:
    """What one peer sends."""

    __slots__ = (
        "_block",
        "_block_bytes",
        "_block_frames",
        "_promised",
        "_rest_of",
        "connection",
        "decoder",
        "first_ns",
        "fresh",
        "held",
        "number",
        "reader",
        "seeking",
    )

    def __init__(self, connection: Http2, number: int) -> None:
        self.connection = connection
        self.number = number
        self.reader = FrameReader(self)
        self.decoder = HpackDecoder(late=True)
        self.seeking = False
        self.fresh = True
        """Nothing of it was read yet."""
        self.held = b""
        """Too little of a first record to tell what it is."""
        self.first_ns = 0
        """When the frame in progress began."""
        # Of a header block in several frames: its stream, flags and promised stream.
        self._rest_of: tuple[int, int] | None = None
        self._promised = 0
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._block_frames = bytearray()

    def begin_anew(self) -> None:
        """Frames were lost."""
        self.decoder.forget()
        self._rest_of = None
        self._promised = 0
        self._block = []
        self._block_bytes = 0

    def rest(self) -> bytes:
        """Takes back what nothing was made of, up to the end of what came; the next byte begins a frame."""
        frames, self._block_frames = self._block_frames, bytearray()
        return bytes(frames) + self.reader.rest()

    def data_begins(self) -> None:
        """Raises FrameError."""
        if self._rest_of is not None:
            raise FrameError("DATA inside a header block")

    def data(self, stream: int, flags: int, piece: bytes, /, *, ends: bool) -> None:
        """Raises FrameError."""
        if self._rest_of is not None:
            raise FrameError("DATA inside a header block")
        owner = self.connection
        owner.streams.data(
            stream, piece, owner.now_ns, asks=owner.asks(self.number), ends=ends and bool(flags & END_STREAM)
        )

    def frame(self, kind: int, flags: int, wire_stream: int, payload: bytes, /) -> None:
        """Raises FrameError."""
        stream = wire_stream & _STREAM
        whole = payload
        if self._rest_of is not None and (kind != CONTINUATION or stream != self._rest_of[0]):
            raise FrameError("a header block that is not continued")
        if len(payload) != FIXED_BYTES.get(kind, len(payload)):
            # Its end is known, so that what is behind it is read (RFC 9113, 6.3: of PRIORITY it is the stream's error).
            self.connection.streams.note_on(stream, "a frame of a wrong size")
            return
        if kind == HEADERS:
            self._begin_block(stream, flags, _unpadded(payload, flags, with_priority=bool(flags & WITH_PRIORITY)))
        elif kind == CONTINUATION:
            self._continue_block(flags, payload)
        elif kind == PUSH_PROMISE:
            payload = _unpadded(payload, flags, with_priority=False)
            self._promised = _promised_stream(payload)
            self._begin_block(stream, flags, payload[_NUMBER.size :])
        elif kind == RST_STREAM:
            self.connection.streams.reset(stream, _NUMBER.unpack(payload)[0], self.connection.now_ns)
        elif kind == GOAWAY:
            self._go_away(payload)
        if self._rest_of is not None:
            size = len(whole)
            self._block_frames += HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, wire_stream) + whole

    def _begin_block(self, stream: int, flags: int, block: bytes) -> None:
        if not stream:
            raise FrameError("header fields on no stream")
        if flags & END_HEADERS:
            self._decode(stream, flags, block)
            return
        self._rest_of = stream, flags
        self._block = [block]
        self._block_bytes = len(block)

    def _continue_block(self, flags: int, block: bytes) -> None:
        if self._rest_of is None:
            raise FrameError("a continuation of nothing")
        self._block_bytes += len(block) + HEAD_BYTES
        if self._block_bytes > PAYLOAD_LIMIT_BYTES:
            raise FrameError("a header block that is too long")
        self._block.append(block)
        if flags & END_HEADERS:
            (stream, begun_flags), self._rest_of = self._rest_of, None
            whole, self._block = b"".join(self._block), []
            self._decode(stream, begun_flags, whole)
            self._block_frames = bytearray()

    def _decode(self, stream: int, flags: int, block: bytes) -> None:
        try:
            fields = self.decoder.decode(block)
        except HpackError as error:
            raise FrameError(f"header compression: {error}") from None
        owner = self.connection
        owner.proven = True
        promised, self._promised = self._promised, 0
        if promised:
            owner.streams.promise(promised, fields, owner.now_ns, first_ns=self.first_ns)
            return
        if not owner.knows_client:
            owner.learn_client(self.number, stream, fields)
        owner.streams.fields(
            stream,
            fields,
            owner.now_ns,
            first_ns=self.first_ns,
            asks=owner.asks(self.number),
            ends=bool(flags & END_STREAM),
        )
        if self.decoder.cut:
            owner.streams.note_on(stream, "header fields beyond the limit are left out")

    def _go_away(self, payload: bytes) -> None:
        if len(payload) < _GOAWAY.size:
            raise FrameError("a farewell of another size")
        last, code = _GOAWAY.unpack_from(payload)
        owner = self.connection
        if not owner.asks(self.number):
            owner.streams.refuse_beyond(last & _STREAM, owner.now_ns)
        if code:
            owner.streams.note(f"GOAWAY: {error_name(code)}")


class Http2:
    """`head`, the first bytes seen, came from `direction`."""

    __slots__ = ("_client", "_directions", "_from_start", "_outlet", "knows_client", "now_ns", "proven", "streams")

    def __init__(self, direction: int, head: bytes, outlet: Outlet, options: ParserOptions) -> None:
        self._outlet = outlet
        self.now_ns = 0
        self.proven = False
        """A header block was read."""
        self._from_start = self.knows_client = head.startswith(PREFACE)
        self._client = direction if self.knows_client else _likely_client(outlet)
        self._directions = _Direction(self, READ), _Direction(self, WRITE)
        self.streams = Streams(outlet.connection, outlet.emit, outgoing=self._client == WRITE, options=options)

    @classmethod
    def after_upgrade(cls, exchange: Exchange, outlet: Outlet, options: ParserOptions) -> Parser:
        """h2c: the exchange that asked for it is answered in stream 1."""
        parser = cls(WRITE if exchange.outgoing else READ, PREFACE, outlet, options)
        parser.streams.begin(exchange)
        return parser

    # Who asks.

    def asks(self, direction: int) -> bool:
        """Whether this is what the client sends."""
        return direction == self._client

    def learn_client(self, direction: int, stream: int, fields: list[Field]) -> None:
        """By the first header block that tells; else whoever speaks first in a stream asks."""
        names = {name for name, _ in fields}
        if b":status" in names:
            self._set_client(1 - direction)
        elif names & _ASKS:
            self._set_client(direction)
        elif not self.streams.knows(stream):
            self._client = direction
            self.streams.outgoing = direction == WRITE

    def _set_client(self, direction: int) -> None:
        self.knows_client = True
        if direction != self._client:
            self._client = direction
            self.streams.outgoing = direction == WRITE
            self.streams.turn_round()

    # What the worker calls.

    def receive(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        side = self._directions[direction]
        self.now_ns = ts_ns
        if side.fresh or side.seeking:
            data = self._begin(side, data)
            if not data:
                return
        reader = side.reader
        if reader.between:
            side.first_ns = ts_ns
        try:
            reader.feed(data)
        except FrameError as error:
            self._malformed(side, ts_ns, str(error))

    def _begin(self, side: _Direction, data: bytes) -> bytes:
        """At the first record of a direction, or while frames are sought: what is to be read of it."""
        if side.held:
            data, side.held = side.held + data, b""
        begins = self._from_start and side.fresh
        if begins and data != PREFACE and PREFACE.startswith(data):
            side.held = data
            return b""
        if not begins:
            found = fit(side.number, data)
            if found is Fit.MAYBE:
                side.held = data
                return b""
            if found is Fit.NO:
                side.fresh, side.seeking = False, True
                self._outlet.unclaimed(side.number, self.now_ns, data)
                return b""
        # Who sends SETTINGS first may also acknowledge those of a beginning that was not seen.
        from_start = begins
        if data.startswith(PREFACE):
            self._set_client(side.number)
            data = data[len(PREFACE) :]
            from_start = True
        if from_start:
            side.decoder = HpackDecoder()
        side.fresh = side.seeking = False
        return data

    def gap(self, direction: int, ts_ns: int, missing_bytes: int, /) -> None:
        side = self._directions[direction]
        self.now_ns = ts_ns
        self._give_back(side)
        if side.fresh or side.seeking:
            side.fresh, side.seeking = False, True
            return
        asks = self.asks(direction)
        stream, content, padding = side.reader.in_data
        if stream:
            if lost := min(missing_bytes, content):
                self.streams.lost(stream, lost, ts_ns, asks=asks)
            inside = min(missing_bytes, content + padding)
            side.reader.skip(inside)
            missing_bytes -= inside
        if missing_bytes:
            self._lose_step(side)
            self.streams.out_of_step(missing_bytes, ts_ns, asks=asks)

    def _malformed(self, side: _Direction, ts_ns: int, why: str) -> None:
        self.streams.note(f"malformed HTTP/2: {why}")
        self._lose_step(side)
        self.streams.out_of_step(0, ts_ns, asks=self.asks(side.number))
        if not self.proven and not self._from_start:
            self.close(ts_ns)
            self._outlet.become(None)  # perhaps it never was HTTP/2

    def _lose_step(self, side: _Direction) -> None:
        self._outlet.unclaimed(side.number, self.now_ns, side.rest())
        side.begin_anew()
        side.seeking = True

    def _give_back(self, side: _Direction) -> None:
        held, side.held = side.held, b""
        if held:
            side.fresh, side.seeking = False, True
            self._outlet.unclaimed(side.number, self.now_ns, held)

    def flush(self, _ts_ns: int, /) -> None:
        self.streams.flush()

    def close(self, ts_ns: int, /) -> None:
        self.now_ns = ts_ns
        for side in self._directions:
            self._give_back(side)
            self._outlet.unclaimed(side.number, ts_ns, side.rest())
        self.streams.close(ts_ns)


def _likely_client(outlet: Outlet) -> int:
    """Of a connection whose beginning was not seen: the higher port; this process where it is unknown."""
    socket = outlet.connection.socket
    return READ if socket and socket.local_port < socket.remote_port else WRITE


def _unpadded(payload: bytes, flags: int, *, with_priority: bool) -> bytes:
    """Without padding, and without the priority before a header block. Raises FrameError."""
    if not flags & (PADDED | WITH_PRIORITY):
        return payload
    start = 0
    end = len(payload)
    if flags & PADDED:
        if not payload:
            raise FrameError("padding without its length")
        start, end = 1, end - payload[0]
    if with_priority:
        start += _PRIORITY_BYTES
    if start > end:
        raise FrameError("more padding than there is")
    return payload[start:end]


HTTP2 = ProtocolEntry(name="http2", fit=fit, create=Http2)
