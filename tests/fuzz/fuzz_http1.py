# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 from hostile peers: the first bytes of an input say how the rest is cut into records of both directions.

Nothing may come out of the parser but messages; raw bytes are where they were on the wire, and no more is kept or said
than came.
"""

from __future__ import annotations

from plaintap.events import READ, WRITE
from plaintap.messages import Exchange, Message, Raw
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.registry import Registry
from plaintap.streams.connections import Connections

SEPARATOR = b"\xff\xfe"
"""Between what is cut where the first byte does not say."""
BODY_LIMIT = 4096
_SESSION = 1

_GET = b"GET /a?b=1 HTTP/1.1\r\nHost: example.com\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: x\n\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n"
_POST = b"POST /p HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwork\r\n0\r\n\r\n"
_ODD = b"BREW /\xc3\xa9 x HTTP/1.1\nContent-Length : +4\n folded\n\nwork"
_UPGRADE = b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
_SWITCHED = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi"

SEEDS = [
    bytes([0]) + SEPARATOR.join([_GET, _OK]),
    bytes([1]) + SEPARATOR.join([_GET + _POST, _CHUNKED + _OK]),
    bytes([7]) + SEPARATOR.join([_GET, _CHUNKED, _POST, _OK]),
    bytes([0]) + SEPARATOR.join([_ODD, _OK.replace(b"\r", b""), _GET, _CHUNKED.replace(b"\r", b"")]),
    bytes([0]) + SEPARATOR.join([_UPGRADE, _SWITCHED, b"\x81\x82mask.."]),
    bytes([3]) + SEPARATOR.join([b"HEAD / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n" + _OK]),
    bytes([0]) + SEPARATOR.join([b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", _GET, _OK]),
    bytes([128]) + SEPARATOR.join([_GET, _OK, _GET, _OK]),
]


def _pieces(data: bytes) -> list[tuple[int, bytes, bool]]:
    """Direction, bytes, and whether they were lost."""
    cut = data[0] & 0x7F if data else 0
    loses = bool(data and data[0] & 0x80)
    pieces = []
    for number, turn in enumerate(data[1:].split(SEPARATOR)):
        size = cut or len(turn) or 1
        direction = READ if number % 2 else WRITE
        pieces += [
            (direction, turn[at : at + size], loses and (number + at) % 5 == 4) for at in range(0, len(turn), size)
        ]
    return pieces


def one(data: bytes) -> None:
    """Raises AssertionError, or whatever the parser raises, for an input that breaks a promise."""
    messages: list[Message] = []
    connections = Connections(messages.extend, Registry(ParserOptions(body_limit=BODY_LIMIT)).recognise)
    said = [bytearray(), bytearray()]
    for ts_ns, (direction, piece, lost) in enumerate(_pieces(data), start=1):
        offset = len(said[direction])
        said[direction] += piece
        if not lost:
            connections.feed([(_SESSION, direction, offset, ts_ns, piece, 1)])
        if ts_ns % 7 == 0:
            connections.tick(ts_ns)
    connections.close(1 << 40)
    assert connections.parser_failures == 0, "the parser raised"
    _check(messages, said)


def _check(messages: list[Message], said: list[bytearray]) -> None:
    ends = [0, 0]
    total = sum(map(len, said))
    kept = 0
    for message in messages:
        if isinstance(message, Raw):
            assert said[message.direction].startswith(message.data, message.offset), "raw bytes that were not said"
            ends[message.direction] = max(ends[message.direction], message.offset + len(message.data))
            kept += len(message.data)
        elif isinstance(message, Exchange):
            for head in (message.request, message.response):
                if head is not None:
                    kept += sum(len(name) + len(value) for name, value in head.headers) + sum(map(len, head.body))
                    assert sum(map(len, head.body)) <= BODY_LIMIT, "more of a body than was asked for"
                    assert head.body_bytes <= total, "a body of bytes that nobody said"
            assert sum(map(len, message.notes)) < 1 << 14, "notes without end"
    assert kept <= 4 * total + 1024, "more than was said"
