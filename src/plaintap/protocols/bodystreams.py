# SPDX-License-Identifier: Apache-2.0
"""Which bodies are streams of messages of their own, by media type, and what they add to their exchange at its end.

The HTTP parsers open one when a head is complete, feed it the body and close it; reading streams is sse.py's and
grpc.py's, their content codings streamcodings.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from plaintap.messages import Connection, Exchange, GrpcCall, Message, Request, Response
from plaintap.parsing import BodyStream
from plaintap.protocols.grpc import GrpcStream, grpc_status, method_of
from plaintap.protocols.grpc_web import GrpcWebStream, GrpcWebTextStream
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.sse import SseStream
from plaintap.protocols.streamcodings import DecodedStream, decoded

MEDIA_TYPES_KEPT = 256
"""A peer chooses the value of `content-type`: so many are remembered."""


@dataclass(slots=True)
class StreamContext:
    """What a body stream is told of its exchange; `outgoing` and `request` as in `Exchange`."""

    connection: Connection
    emit: Callable[[Message], None]
    outgoing: bool
    request: Request | None
    stream: int
    options: ParserOptions


class _Kind:
    """A line of the registry: what reads the bodies of a media type."""

    __slots__ = ("create", "decoded", "when_unwanted")

    def __init__(
        self, create: Callable[[Request | Response, StreamContext], BodyStream], *, when_unwanted: bool, decoded: bool
    ) -> None:
        self.create = create
        self.when_unwanted = when_unwanted
        """It is opened even where nobody wants single messages: its exchange counts them."""
        self.decoded = decoded
        """It may have a content-encoding: in gRPC proper each message has its own."""


def _event_stream(_head: Request | Response, context: StreamContext) -> BodyStream:
    return SseStream(
        context.connection,
        context.emit,
        outgoing=not context.outgoing,
        request=context.request,
        stream=context.stream,
        options=context.options,
    )


def _grpc(kind: type[GrpcStream]) -> Callable[[Request | Response, StreamContext], BodyStream]:
    def create(head: Request | Response, context: StreamContext) -> BodyStream:
        from_client = isinstance(head, Request)
        return kind(
            context.connection,
            context.emit,
            head=head,
            outgoing=context.outgoing == from_client,
            request=context.request,
            stream=context.stream,
            options=context.options,
        )

    return create


_EVENT_STREAM = _Kind(_event_stream, when_unwanted=False, decoded=True)
_GRPC = _Kind(_grpc(GrpcStream), when_unwanted=True, decoded=False)
_GRPC_WEB = _Kind(_grpc(GrpcWebStream), when_unwanted=True, decoded=True)
_GRPC_WEB_TEXT = _Kind(_grpc(GrpcWebTextStream), when_unwanted=True, decoded=True)

MEDIA_TYPES = {
    b"text/event-stream": _EVENT_STREAM,
    b"application/grpc": _GRPC,
    b"application/grpc-web": _GRPC_WEB,
    b"application/grpc-web-text": _GRPC_WEB_TEXT,
}
"""Without parameters and without gRPC's `+codec`."""


@lru_cache(MEDIA_TYPES_KEPT)
def _kind_of(content_type: bytes) -> _Kind | None:
    media_type = content_type.partition(b";")[0].strip().lower()
    return MEDIA_TYPES.get(media_type) or MEDIA_TYPES.get(
        media_type.partition(b"+")[0] if media_type.startswith(b"application/grpc") else b""
    )


def open_body_stream(head: Request | Response, context: StreamContext) -> BodyStream | None:
    """What reads the body that follows `head`; None for an ordinary one. Cheap, it is asked for every message."""
    for name, value in head.headers:
        if len(name) == 12 and name.lower() == b"content-type":
            kind = _kind_of(value) if len(value) <= MEDIA_TYPES_KEPT else None
            if kind is None or not (kind.when_unwanted or context.options.wants_stream_messages):
                return None
            if kind is _EVENT_STREAM and isinstance(head, Request):
                return None
            stream = kind.create(head, context)
            return decoded(stream, head.headers) if kind.decoded else stream
    return None


def finish(exchange: Exchange, request_stream: BodyStream | None, response_stream: BodyStream | None) -> None:
    """Called after the streams of an exchange were closed, just before it is emitted: fills `grpc` and `notes`."""
    notes: list[str] = []
    grpc_streams: list[GrpcStream | None] = []
    for stream in (request_stream, response_stream):
        inner: BodyStream | None = stream
        if isinstance(inner, DecodedStream):
            notes += inner.notes
            inner = inner.inner
        if isinstance(inner, GrpcStream):
            notes += inner.notes
            grpc_streams.append(inner)
        else:
            grpc_streams.append(None)
    if notes:
        exchange.notes = (*exchange.notes, *dict.fromkeys(notes))
    sent, received = grpc_streams
    if sent is None and received is None:
        return
    service, method = method_of(exchange.request)
    status, message = grpc_status(exchange.response, received)
    exchange.grpc = GrpcCall(
        service=service,
        method=method,
        sent=sent.count if sent else 0,
        received=received.count if received else 0,
        status=status,
        message=message,
        web=isinstance(sent or received, GrpcWebStream),
    )
