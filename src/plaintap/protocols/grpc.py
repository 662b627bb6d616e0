# SPDX-License-Identifier: Apache-2.0
"""gRPC over HTTP/2: the length-prefixed messages of one body, and the status at a call's end.

Their contents are protobuf.py's, gRPC-Web's differences grpc_web.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from plaintap.messages import Connection, GrpcMessage, Headers, Message, Request, Response
from plaintap.protocols import protobuf
from plaintap.protocols.bodies import DECODERS
from plaintap.protocols.options import ParserOptions

UNFOLDED_LIMIT_BYTES = 64 << 20
"""Of one compressed message; less where the limit of bodies is less."""
UNFOLDING_RATIO_LIMIT = 1100
"""Times a message may grow: as far as deflate can, while br and zstd could go on for long."""
NOTES_LIMIT = 8
"""Of one body."""
STATUS_MESSAGE_LIMIT = 8192
"""Bytes of `grpc-message` that are kept."""

_HEAD_BYTES = 5
_UNKNOWN = 2
"""What gRPC makes of a status that is no number."""
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}
_PROTOBUF_CODECS = frozenset((b"", b"proto", b"protobuf"))


class GrpcStream:
    """The messages of one direction of one call; `count` and `trailers` are for the call's end.

    `head` is the request or the response whose body it is, `outgoing` says that this process sends it.
    """

    __slots__ = (
        "_coding",
        "_connection",
        "_emit",
        "_first_ns",
        "_flags",
        "_from_client",
        "_head",
        "_is_protobuf",
        "_kept",
        "_left",
        "_limit",
        "_lost_framing",
        "_method",
        "_missing_bytes",
        "_now_ns",
        "_options",
        "_outgoing",
        "_request",
        "_service",
        "_size_bytes",
        "_stream",
        "_unfolded_limit",
        "count",
        "notes",
        "trailers",
    )

    flags_known: ClassVar[frozenset[int]] = frozenset((0, 1))

    def __init__(
        self,
        connection: Connection,
        emit: Callable[[Message], None],
        *,
        head: Request | Response,
        outgoing: bool,
        request: Request | None,
        stream: int,
        options: ParserOptions,
    ) -> None:
        self._connection = connection
        self._emit = emit if options.wants_stream_messages else None
        self._from_client = isinstance(head, Request)
        self._outgoing = outgoing
        self._request = request
        self._stream = stream
        self._options = options
        self._limit = options.body_limit if options.wants_stream_messages else 0
        self._service, self._method = method_of(request)
        self._coding, self._is_protobuf = _forms_of(head.headers)
        self._head = b""
        self._flags = 0
        self._size_bytes = 0
        self._left = -1
        """Bytes the message begun still has; -1 between messages."""
        self._kept = bytearray()
        self._missing_bytes = 0
        self._lost_framing = False
        self._now_ns = 0
        self._first_ns = 0
        """Of the message begun."""
        self.count = 0
        """Messages begun."""
        self.notes: list[str] = []
        self.trailers: list[tuple[bytes, bytes]] = []

    def receive(self, ts_ns: int, data: bytes, /) -> None:
        self._now_ns = ts_ns
        if self._lost_framing:
            return
        at = 0
        end = len(data)
        while at < end:
            if self._left < 0:
                if not self._head:
                    self._first_ns = ts_ns
                head = self._head + data[at : at + _HEAD_BYTES - len(self._head)]
                at += len(head) - len(self._head)
                if len(head) < _HEAD_BYTES:
                    self._head = head
                    return
                self._head = b""
                if not self._begin(head):
                    return
            else:
                taken = min(self._left, end - at)
                self._keep(data, at, taken)
                at += taken
                self._left -= taken
            if not self._left:
                self._end()

    def gap(self, ts_ns: int, missing_bytes: int, /) -> None:
        self._now_ns = ts_ns
        if self._lost_framing:
            return
        within = min(missing_bytes, max(self._left, 0))
        if within:
            self._missing_bytes += within
            self._left -= within
            if not self._left:
                self._end()
        if missing_bytes > within:
            self._lose_framing(f"{missing_bytes} bytes lost")

    def close(self, ts_ns: int, /) -> None:
        self._now_ns = ts_ns
        if self._left > 0:
            self._end()
        elif self._head:
            self._note("grpc: ends within the head of a message")
        self._head = b""
        self._lost_framing = True

    def _begin(self, head: bytes) -> bool:
        flags = head[0]
        if flags not in self.flags_known:
            self._lose_framing(f"a message cannot begin with byte 0x{flags:02x}")
            return False
        self._flags = flags
        self._left = self._size_bytes = int.from_bytes(head[1:], "big")
        if self._is_message(flags):
            self.count += 1
        return True

    def _keep(self, data: bytes, at: int, length: int) -> None:
        # What is behind a hole is kept too: `missing_bytes` says that there is one.
        wanted = min(length, self._limit_of(self._flags) - len(self._kept))
        if wanted > 0:
            self._kept += data[at : at + wanted]

    def _end(self) -> None:
        """The message is complete, or as much of it as there will be."""
        data = bytes(self._kept)
        unfinished, missing = self._left, self._missing_bytes
        self._kept = bytearray()
        self._missing_bytes = 0
        self._left = -1
        self._finished(self._flags, data, unfinished_bytes=unfinished, missing_bytes=missing)

    def _is_message(self, flags: int) -> bool:
        return True

    def _limit_of(self, flags: int) -> int:
        return self._limit

    def _finished(self, flags: int, data: bytes, *, unfinished_bytes: int, missing_bytes: int) -> None:
        if self._emit is None:
            return
        notes = []
        complete = whole = not missing_bytes and not unfinished_bytes
        size_bytes, wire_bytes = self._size_bytes, None
        if unfinished_bytes:
            notes.append(f"unfinished, {unfinished_bytes} bytes did not come")
        if flags & 1:
            unfolded, note = self.decompressed(data, self._limit, whole=whole and len(data) == size_bytes)
            if unfolded is not None:
                data, size_bytes, wire_bytes = unfolded, len(unfolded), size_bytes
            whole = whole and not note
        elif len(data) < self._size_bytes - missing_bytes - unfinished_bytes:
            note = f"cut at {self._limit} bytes"
            whole = False
        else:
            note = ""
        if note:
            notes.append(note)
        fields = None
        if whole and self._is_protobuf:
            fields, note = self._fields(data)
            if note:
                notes.append(note)
        self._emit(
            GrpcMessage(
                connection=self._connection,
                outgoing=self._outgoing,
                from_client=self._from_client,
                service=self._service,
                method=self._method,
                data=data,
                size_bytes=size_bytes,
                first_ns=self._first_ns,
                last_ns=self._now_ns,
                number=self.count,
                compressed=bool(flags & 1),
                fields=fields,
                missing_bytes=missing_bytes,
                complete=complete,
                note="; ".join(notes),
                stream=self._stream,
                request=self._request,
                wire_bytes=wire_bytes,
            )
        )

    def decompressed(self, data: bytes, limit_bytes: int, *, whole: bool) -> tuple[bytes | None, str]:
        """The message unfolded as far as may be, None where nobody can, and a note where that is not all of it."""
        coding = self._coding
        if coding in ("", "identity"):
            # Who was attached to late may have missed the name.
            coding = _MAGIC.get(data[:2], "")
            if not coding:
                return None, "compressed, by a coding nobody named"
        decoder = DECODERS.get(coding)
        if decoder is None:
            return None, f"compressed by {coding}, which is unknown here"
        grown = max(len(data) * UNFOLDING_RATIO_LIMIT, 1)
        unfolded, note = decoder(data, min(limit_bytes, UNFOLDED_LIMIT_BYTES, grown))
        if not whole and not note:
            note = f"cut at {limit_bytes} bytes"
        return unfolded, f"{coding}: {note}" if note else ""

    def _fields(self, data: bytes) -> tuple[object, str]:
        if len(data) > protobuf.DECODED_LIMIT_BYTES:
            return None, f"too big for its fields to be shown, over {protobuf.DECODED_LIMIT_BYTES} bytes"
        misfit = ""
        schemas = self._options.schemas
        if schemas is not None and self._method:
            try:
                fields = schemas.fields(f"/{self._service}/{self._method}", from_client=self._from_client, data=data)
            except protobuf.ProtobufError as error:
                misfit = f"does not fit its schema: {error}"
            else:
                if fields is not None:
                    return fields, ""
        try:
            fields, note = protobuf.decode(data)
        except protobuf.ProtobufError:
            return None, misfit or "no protobuf"
        return fields, "; ".join(part for part in (misfit, note) if part)

    def _lose_framing(self, why: str) -> None:
        self._lost_framing = True
        if self._left > 0:
            self._end()
        self._head = b""
        self._note(f"grpc: {why}, messages from there on are not told apart")

    def _note(self, note: str) -> None:
        if len(self.notes) < NOTES_LIMIT:
            self.notes.append(note)


def _forms_of(headers: Headers) -> tuple[str, bool]:
    """The coding of compressed messages, and whether messages are protobuf."""
    coding = ""
    codec = b""
    for name, value in headers:
        length = len(name)
        if length == 13 and name.lower() == b"grpc-encoding":
            coding = value.strip().lower()[:64].decode("latin-1")
        elif length == 12 and name.lower() == b"content-type":
            codec = value.partition(b";")[0].partition(b"+")[2].strip().lower()
    return coding, codec in _PROTOBUF_CODECS


def method_of(request: Request | None) -> tuple[str, str]:
    """Service and method of a call; empty where its path is unknown."""
    path = request.target.partition("?")[0] if request is not None else ""
    service, _, method = path.rpartition("/")
    return service.removeprefix("/"), method


def grpc_status(response: Response | None, received: GrpcStream | None) -> tuple[int | None, str]:
    """Status and message, from the trailers, a trailers frame, or the headers of a response that has nothing else."""
    if response is None:
        return None, ""
    in_body = received.trailers if received is not None else ()
    for fields in (response.trailers, in_body, response.headers):
        status, message = _status_in(fields)
        if status is not None:
            return status, message
    return None, ""


def _status_in(fields: Iterable[tuple[bytes, bytes]]) -> tuple[int | None, str]:
    status = None
    message = b""
    for name, value in fields:
        # Names that gRPC-Web sends over HTTP/1 come in any case.
        if len(name) == 11 and name.lower() == b"grpc-status":
            digits = value.strip()
            status = int(digits) if digits.isdigit() and len(digits) <= 9 else _UNKNOWN
        elif len(name) == 12 and name.lower() == b"grpc-message":
            message = value[:STATUS_MESSAGE_LIMIT]
    return status, unquote_to_bytes(message).decode("utf-8", "replace") if message else ""
