# SPDX-License-Identifier: Apache-2.0
"""What is shown of messages inside streams (WebSocket, server-sent events, gRPC) and of bytes nobody parses.

One `Piece` each, of which lines.py makes a line and verbose.py a block.
"""

from __future__ import annotations

import json
from typing import NamedTuple, TypeAlias

from plaintap.events import WRITE
from plaintap.messages import GrpcMessage, Raw, ServerSentEvent, WebSocketMessage
from plaintap.outputs.escape import escape
from plaintap.outputs.sizes import exact_bytes

StreamMessage: TypeAlias = WebSocketMessage | ServerSentEvent | GrpcMessage
_BINARY = "binary"


class Piece(NamedTuple):
    """What lines and blocks have in common."""

    name: str
    """Of the protocol, as in the column of methods."""
    word: str
    """What kind of piece, as in the column of types."""
    sent: bool
    ts_ns: int
    data: bytes
    size_bytes: int
    content_type: bytes = b""
    notes: tuple[str, ...] = ()
    """What is missing or odd; escaped."""
    about: str = ""
    """Escaped: the call, the event's id."""


def piece_of(message: StreamMessage | Raw) -> Piece:
    """See `Piece`."""
    if isinstance(message, WebSocketMessage):
        return _websocket(message)
    if isinstance(message, ServerSentEvent):
        return _event(message)
    if isinstance(message, GrpcMessage):
        return _grpc(message)
    sent = message.direction == WRITE
    word = "sent" if sent else "got"
    name = message.protocol or "raw"
    return Piece(name, word, sent, message.ts_ns, message.data, len(message.data))


def _notes(missing_bytes: int, note: str) -> tuple[str, ...]:
    lost = f"lost {exact_bytes(missing_bytes)} of it" if missing_bytes else ""
    return tuple(filter(None, (lost, escape(note))))


def _websocket(message: WebSocketMessage) -> Piece:
    data = message.data
    if message.kind == "close" and message.close_code is not None:
        data = b"%d %b" % (message.close_code, data)
    word = "bin" if message.kind == _BINARY else message.kind
    notes = _notes(message.missing_bytes, message.note)
    if not message.complete and not message.missing_bytes:
        notes = ("incomplete", *notes)
    kind = b"application/octet-stream" if message.kind == _BINARY else b""
    return Piece("ws", word, message.outgoing, message.last_ns, data, message.size_bytes, kind, notes)


def _event(message: ServerSentEvent) -> Piece:
    data = message.data.encode("utf-8", "surrogateescape")
    about = f"id {escape(message.id)}" if message.id else ""
    notes = _notes(0, message.note)
    return Piece("sse", escape(message.event), not message.outgoing, message.ts_ns, data, len(data), b"", notes, about)


def _grpc(message: GrpcMessage) -> Piece:
    about = f"{escape(message.service)}/{escape(message.method)}"
    data, kind = message.data, b"application/octet-stream"
    if message.fields is not None:
        data, kind = json.dumps(message.fields, ensure_ascii=False).encode("utf-8", "replace"), b"application/json"
    notes = _notes(message.missing_bytes, message.note)
    word = f"#{message.number}"
    return Piece("grpc", word, message.outgoing, message.ts_ns, data, message.size_bytes, kind, notes, about)
