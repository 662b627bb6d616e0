# SPDX-License-Identifier: Apache-2.0
"""The json form of messages inside streams: WebSocket, server-sent events, gRPC."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from plaintap.messages import GrpcCall, GrpcMessage, ServerSentEvent, WebSocketMessage
from plaintap.outputs.grpcstatus import status_name
from plaintap.outputs.json_bodies import Bodies
from plaintap.outputs.json_connection import Parties
from plaintap.outputs.json_parts import VERSION, EventLine, GrpcLine, GrpcPart, WebSocketLine
from plaintap.outputs.pieces import StreamMessage, left_out_bytes
from plaintap.outputs.urls import absolute_url, websocket_url
from plaintap.outputs.utctime import UtcTime

_OUT, _IN = "out", "in"
_NULL = Raw(b"null")
_BINARY, _TEXT = b"application/octet-stream", b"text/plain"
_MEDIA_TYPES = {"text": _TEXT, "close": _TEXT, "binary": _BINARY}
"""By the kind of a WebSocket's message; of others nobody says what they hold."""
_encode = msgspec.json.Encoder().encode


class StreamLines:
    """Shares the clock and what is known of connections with the form it is part of."""

    def __init__(self, *, clock: UtcTime, parties: Parties, bodies: Bodies) -> None:
        self._clock = clock
        self._parties = parties
        self._bodies = bodies

    def websocket(self, message: WebSocketMessage) -> WebSocketLine:
        """A message, or a control frame."""
        media_type = _MEDIA_TYPES.get(message.kind, b"")
        data, encoding, truncated, left_out = self._bodies.payload(message.data, media_type, left_out_bytes(message))
        return WebSocketLine(
            *self._start(message),
            data,
            encoding,
            message.size_bytes,
            *self._ended(message),
            websocket_url(absolute_url(message.request)) or None if message.request else None,
            message.kind,
            truncated,
            left_out,
            message.close_code,
            message.fragments,
            message.compressed,
            message.from_client,
            message.stream,
            _notes(message.note),
            message.wire_bytes,
        )

    def event(self, message: ServerSentEvent) -> EventLine:
        """An event: text by definition (WHATWG, server-sent events)."""
        data, encoding, truncated, left_out = self._bodies.words(message.data, message.size_bytes)
        return EventLine(
            *self._start(message),
            data,
            encoding,
            message.size_bytes,
            *self._ended(message),
            absolute_url(message.request) or None if message.request else None,
            message.event,
            truncated,
            left_out,
            message.id,
            message.retry_ms,
            message.stream,
            _notes(message.note),
        )

    def grpc(self, message: GrpcMessage) -> GrpcLine:
        """A message of a call."""
        data, encoding, truncated, left_out = self._bodies.payload(message.data, _BINARY, left_out_bytes(message))
        return GrpcLine(
            *self._start(message),
            data,
            encoding,
            message.size_bytes,
            *self._ended(message),
            absolute_url(message.request) or None if message.request else None,
            message.service,
            message.method,
            message.from_client,
            message.number,
            _tree(message.fields),
            truncated,
            left_out,
            message.compressed,
            message.stream,
            _notes(message.note),
            message.wire_bytes,
        )

    def _start(self, message: StreamMessage) -> tuple[int, str, Raw, Raw, str]:
        _, process, where = self._parties.of(message.connection)
        return VERSION, self._clock.text(message.first_ns), process, where, _OUT if message.outgoing else _IN

    def _ended(self, message: StreamMessage) -> tuple[str, int, bool]:
        return self._clock.text(message.last_ns), message.missing_bytes, message.complete


def call_part(call: GrpcCall) -> GrpcPart:
    """What an exchange is to gRPC."""
    name = status_name(call.status)
    return GrpcPart(call.service, call.method, call.sent, call.received, call.status, name, call.message, call.web)


def _notes(note: str) -> Sequence[str]:
    return (note,) if note else ()


def _tree(fields: object) -> Raw:
    """Fields of a message as JSON; null for what cannot be said in it."""
    if fields is None:
        return _NULL
    try:
        return Raw(_encode(fields))
    except (UnicodeEncodeError, TypeError, RecursionError):
        return _NULL
