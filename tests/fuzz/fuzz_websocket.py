# SPDX-License-Identifier: Apache-2.0
"""A WebSocket of any handshake fed anything, cut and with gaps: no exception, no byte lost, memory bounded.

The input: one byte of choices, then pieces. A piece is a direction, a length, and so many bytes; some are gaps.
"""

from __future__ import annotations

import zlib

from plaintap.events import READ, WRITE
from plaintap.messages import Lost, Message, Raw, Request, Response, WebSocketMessage
from plaintap.parsing import Outlet, Parser
from plaintap.protocols.base import Fit
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.websocket import WEBSOCKET, WebSocket
from plaintap.streams.connections import Connections

LIMIT_BYTES = 4096
EXTENSIONS = (
    b"",
    b"permessage-deflate",
    b"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    b"permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
    b"x-unknown",
)
LATE = len(EXTENSIONS)
HEAD_BYTES = 14
_GAP, _DIRECTION = 0xF0, 0x01


def _deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _seed(choices: int, *records: bytes) -> bytes:
    return bytes([choices]) + b"".join(
        bytes([number & 1, len(record) >> 8, len(record) & 0xFF]) + record for number, record in enumerate(records)
    )


_HELLO = _deflated(b"hello hello hello")
SEEDS = [
    _seed(0, b"\x81\x05hello", b"\x81\x85\0\0\0\0hello", b"\x88\x02\x03\xe8", b"\x88\x82mask\x6e\x89"),
    _seed(0, b"\x01\x03hel\x89\x00\x80\x02lo", b"\x02\x83mask...\x80\x80mask"),
    _seed(1, b"\xc1" + bytes([len(_HELLO)]) + _HELLO, b"\xc1" + bytes([0x80 | len(_HELLO)]) + bytes(4) + _HELLO),
    _seed(2, b"\xc2\x07\xf3\x48\xcd\xc9\xc9\x07\x00", b"\xc1\x84\0\0\0\0\xff\xff\xff\xff"),
    _seed(3, b"\x82\x7e\x00\x80" + bytes(128), b"\x82\xff\0\0\0\0\0\1\0\0mask" + bytes(100)),
    _seed(4, b"\xb1\x03abc", b"\xf2\x83maskabc"),
    _seed(LATE, b"\x81\x05hello", b"\x81\x85\0\0\0\0hello", b"\x83\x05", b"GET / HTTP/1.1\r\n\r\n"),
    bytes([1, _GAP, 0, 4]) + _seed(1, b"\x81\x05hello")[1:] + bytes([_GAP, 0, 9]) + b"\0\0\7\x81\x05again",
    _seed(1, b"\xc2\x7e" + len(_deflated(bytes(1 << 20))).to_bytes(2, "big") + _deflated(bytes(1 << 20))),
]


class _Capture:
    def __init__(self, choice: int) -> None:
        self.messages: list[Message] = []
        self._choice = choice % (LATE + 1)
        self._options = ParserOptions(body_limit=LIMIT_BYTES)
        self._made = False
        self.connections = Connections(self.messages.extend, self._recognise, on_failure=self._failed)

    def _failed(self, where: str) -> None:
        raise AssertionError(where)

    def _recognise(self, direction: int, head: bytes, outlet: Outlet) -> Parser | None:
        if self._choice == LATE or self._made:
            fits = WEBSOCKET.fit(direction, head) is Fit.YES
            return WEBSOCKET.create(direction, head, outlet, self._options) if fits else None
        self._made = True
        headers = [(b"Sec-WebSocket-Extensions", EXTENSIONS[self._choice])]
        return WebSocket(
            outlet.connection,
            outlet.emit,
            outgoing=True,
            request=Request(),
            response=Response(status=101, headers=headers),
            options=self._options,
            outlet=outlet,
        )


def one(data: bytes) -> None:
    """Raises when something is wrong."""
    capture = _Capture(data[0] if data else 0)
    offset, fed_bytes = [0, 0], [0, 0]
    at = 1
    while at + 3 <= len(data):
        kind, size = data[at], data[at + 1] << 8 | data[at + 2]
        direction = kind & _DIRECTION
        at += 3
        if kind >= _GAP and fed_bytes[direction]:
            offset[direction] += size
            continue
        record = data[at : at + size]
        at += size
        if record:
            capture.connections.feed([(1, direction, offset[direction], at, record, 1)])
            offset[direction] += len(record)
            fed_bytes[direction] += len(record)
    capture.connections.close(at + 1)
    _check(capture.messages, fed_bytes, records=at // 3 + 1)


def _check(messages: list[Message], fed_bytes: list[int], *, records: int) -> None:
    for direction in (READ, WRITE):
        raw_bytes = frame_bytes = frames = 0
        for message in messages:
            if isinstance(message, Raw) and message.direction == direction:
                raw_bytes += len(message.data)
            elif isinstance(message, WebSocketMessage) and int(message.outgoing) == direction:
                assert len(message.data) <= max(LIMIT_BYTES, 125), len(message.data)
                frame_bytes += (
                    message.size_bytes if message.wire_bytes is None else message.wire_bytes
                ) - message.missing_bytes
                frames += message.fragments
        # Heads are in no message: from 2 to 14 bytes each.
        fed = fed_bytes[direction]
        assert raw_bytes + frame_bytes <= fed, (raw_bytes, frame_bytes, fed)
        assert fed <= raw_bytes + frame_bytes + HEAD_BYTES * frames, (raw_bytes, frame_bytes, frames, fed)
    assert sum(isinstance(message, Lost) for message in messages) <= records
