# SPDX-License-Identifier: Apache-2.0
"""HTTP/2: records of both directions out of the data, some of them lost; every byte is in a message, raw or counted."""

from __future__ import annotations

from plaintap.events import READ, WRITE
from plaintap.messages import Exchange, Message, Raw, WebSocketMessage
from plaintap.protocols.http2_frames import PREFACE
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.registry import Registry
from plaintap.streams.connections import Connections

_BODY_LIMIT = 4096


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _record(direction: int, data: bytes, *, lost: int = 0) -> bytes:
    return bytes([direction | lost << 1]) + len(data).to_bytes(2, "big") + data


_REQUEST = bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")
_RESPONSE = bytes.fromhex("885f87497ca58ae819aa")

SEEDS = [
    _record(WRITE, PREFACE + _frame(4, 0, 0, b""))
    + _record(READ, _frame(4, 0, 0, b""))
    + _record(WRITE, _frame(1, 5, 1, _REQUEST))
    + _record(READ, _frame(1, 4, 1, _RESPONSE) + _frame(0, 1, 1, b"hello")),
    _record(WRITE, _frame(1, 5, 1, _REQUEST)) + _record(READ, _frame(1, 4, 1, _RESPONSE) + _frame(0, 9, 1, b"\2x\0\0")),
    _record(WRITE, PREFACE)
    + _record(WRITE, _frame(1, 0, 1, _REQUEST[:4]) + _frame(9, 4, 1, _REQUEST[4:]), lost=1)
    + _record(READ, _frame(5, 4, 1, b"\0\0\0\2" + _REQUEST) + _frame(3, 0, 1, bytes(4)) + _frame(7, 0, 0, bytes(8))),
    _record(WRITE, _frame(1, 4, 1, _REQUEST) + _frame(0, 0, 1, b"x" * 200))
    + _record(WRITE, b"y", lost=1)
    + _record(WRITE, b"z" * 50),
]


def one(data: bytes) -> None:
    """Records of a byte (direction, whether it is lost), two of length, and so many."""
    messages: list[Message] = []
    registry = Registry(ParserOptions(body_limit=_BODY_LIMIT), only="http2")
    connections = Connections(messages.extend, registry.recognise)
    offset = [0, 0]
    at = now_ns = 0
    while at + 3 <= len(data):
        direction, lost = data[at] & 1, data[at] & 2
        size = int.from_bytes(data[at + 1 : at + 3], "big")
        record = data[at + 3 : at + 3 + size]
        at += 3 + size
        now_ns += 1
        if record and not lost:
            connections.feed([(1, direction, offset[direction], now_ns, record, 1)])
        elif now_ns % 7 == 0:
            connections.tick(now_ns)
        offset[direction] += len(record)
    connections.close(now_ns + 1)
    if connections.parser_failures:
        raise AssertionError("the parser raised")
    _check(messages, len(data))


def _check(messages: list[Message], size_bytes: int) -> None:
    kept = 0
    for message in messages:
        if isinstance(message, Exchange):
            bodies = [sum(map(len, head.body)) for head in (message.request, message.response) if head]
            if max(bodies, default=0) > _BODY_LIMIT:
                raise AssertionError("more of a body than is wanted")
            kept += sum(bodies)
        elif isinstance(message, (Raw, WebSocketMessage)):
            kept += len(message.data)
    if kept > 2 * size_bytes + 4096:
        raise AssertionError(f"{kept} bytes out of {size_bytes}")
