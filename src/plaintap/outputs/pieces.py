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
_CLOSE_CODE_BYTES = 2


class Piece(NamedTuple):
    """What lines and blocks have in common."""

    name: str
    """Of the protocol, as in the column of methods."""
    word: str
    """What kind of piece, as in the column of types."""
    sent: bool
    ts_ns: int
    data: bytes
    size_bytes: int | None
    """None where no size is shown."""
    content_type: bytes = b""
    notes: tuple[str, ...] = ()
    """What is missing or odd; escaped."""
    about: str = ""
    """Escaped: the call, the event's id."""
    on_the_wire: str = ""
    """How many bytes were transferred, where that is another number."""


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


def opening(message: GrpcMessage) -> Piece:
    """That the call was made, shown with the first message of it."""
    call = f"{message.service}/{message.method}".encode("utf-8", "surrogateescape")
    asked = message.outgoing == message.from_client
    return Piece("grpc", "open", asked, message.first_ns, call, None)


def left_out_bytes(message: WebSocketMessage | GrpcMessage) -> int:
    """Of what the message is known to hold, those that the capture did not keep."""
    # What was lost of a compressed message is not in its size.
    elsewhere = message.missing_bytes if message.wire_bytes is None else 0
    if isinstance(message, WebSocketMessage) and message.close_code is not None:
        elsewhere += _CLOSE_CODE_BYTES
    return max(0, message.size_bytes - len(message.data) - elsewhere)


def _notes(message: StreamMessage, lost_where: str = "of it") -> tuple[str, ...]:
    missing_bytes = message.missing_bytes
    lost = f"lost {exact_bytes(missing_bytes)} {lost_where}" if missing_bytes else ""
    unfinished = "incomplete" if not (message.complete or missing_bytes or message.note) else ""
    return tuple(filter(None, (unfinished, lost, escape(message.note))))


def _on_the_wire(message: WebSocketMessage | GrpcMessage) -> str:
    wire_bytes = message.wire_bytes
    return "" if wire_bytes in (None, message.size_bytes) else f"{exact_bytes(wire_bytes or 0)} on the wire"


def _websocket(message: WebSocketMessage) -> Piece:
    data = message.data
    if message.kind == "close" and message.close_code is not None:
        data = b"%d %b" % (message.close_code, data)
    word = "bin" if message.kind == _BINARY else message.kind
    kind = b"application/octet-stream" if message.kind == _BINARY else b""
    sent, wire = message.outgoing, _on_the_wire(message)
    return Piece("ws", word, sent, message.last_ns, data, message.size_bytes, kind, _notes(message), "", wire)


def _event(message: ServerSentEvent) -> Piece:
    data = message.data.encode("utf-8", "surrogateescape")
    about = f"id {escape(message.id)}" if message.id else ""
    notes = _notes(message, "before it")
    size_bytes, name = message.size_bytes, escape(message.event)
    return Piece("sse", name, message.outgoing, message.last_ns, data, size_bytes, b"", notes, about)


def _grpc(message: GrpcMessage) -> Piece:
    about = f"{escape(message.service)}/{escape(message.method)}"
    data, kind = message.data, b"application/octet-stream"
    if message.fields is not None:
        data, kind = json.dumps(message.fields, ensure_ascii=False).encode("utf-8", "replace"), b"application/json"
    word, sent, wire = f"#{message.number}", message.outgoing, _on_the_wire(message)
    return Piece("grpc", word, sent, message.last_ns, data, message.size_bytes, kind, _notes(message), about, wire)
