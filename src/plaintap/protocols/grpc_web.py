# SPDX-License-Identifier: Apache-2.0
"""gRPC-Web: gRPC's messages with the trailers in the body, as they are or in base64. Framing is grpc.py's."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable

from plaintap.messages import Connection, Message, Request, Response
from plaintap.protocols.grpc import GrpcStream
from plaintap.protocols.options import ParserOptions

TRAILERS_LIMIT_BYTES = 65536
"""Of a trailer frame; what is beyond is not looked at."""
TRAILERS_LIMIT = 256
"""Fields of it."""

_TRAILERS_FLAG = 0x80
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=_-]+")
_PADDED = re.compile(rb"(?<==)(?=[^=])")
_QUADS = re.compile(rb"(?:[^=]{4}|[^=]{3}=|[^=]{2}==)*+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class GrpcWebStream(GrpcStream):
    """`trailers` are those of the frame that ends a response's body."""

    __slots__ = ()

    flags_known = frozenset((0, 1, _TRAILERS_FLAG, _TRAILERS_FLAG | 1))

    def _finished(self, flags: int, data: bytes, *, unfinished_bytes: int, missing_bytes: int) -> None:
        if self._is_message(flags):
            super()._finished(flags, data, unfinished_bytes=unfinished_bytes, missing_bytes=missing_bytes)
            return
        if flags & 1:
            unfolded, note = self.decompressed(data, TRAILERS_LIMIT_BYTES, whole=not missing_bytes)
            data = data if unfolded is None else unfolded
            if note:
                self._note(f"grpc-web trailers: {note}")
        if missing_bytes or unfinished_bytes:
            self._note("grpc-web trailers: not all of them came")
        for line in data.split(b"\n", TRAILERS_LIMIT)[:TRAILERS_LIMIT]:
            name, colon, value = line.partition(b":")
            if colon:
                self.trailers.append((name.strip().lower(), value.strip()))

    def _is_message(self, flags: int) -> bool:
        return not flags & _TRAILERS_FLAG

    def _limit_of(self, flags: int) -> int:
        return TRAILERS_LIMIT_BYTES if flags & _TRAILERS_FLAG else self._limit


class GrpcWebTextStream(GrpcWebStream):
    """In base64; a server may pad in the middle, wherever it flushed."""

    __slots__ = ("_odd", "_skipped")

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
        super().__init__(
            connection, emit, head=head, outgoing=outgoing, request=request, stream=stream, options=options
        )
        self._odd = b""
        self._skipped = 0
        """Characters still to come of four that lost some."""

    def receive(self, ts_ns: int, data: bytes, /) -> None:
        data = _NOT_BASE64.sub(b"", data)
        if self._skipped:
            skipped = min(self._skipped, len(data))
            self._skipped -= skipped
            data = data[skipped:]
        data = self._odd + data
        whole = len(data) & ~3
        self._odd = data[whole:]
        if not whole:
            return
        decoded, intact = _decode(data[:whole])
        super().receive(ts_ns, decoded)
        if not intact and not self._lost_framing:
            self._lose_framing("damaged base64")

    def gap(self, ts_ns: int, missing_bytes: int, /) -> None:
        # Four characters are three bytes: padding comes where a server flushed, and that is behind a message.
        characters = len(self._odd) + missing_bytes - self._skipped
        self._odd = b""
        if characters < 0:
            self._skipped = -characters
            return
        self._skipped = -characters % 4
        super().gap(ts_ns, (characters + self._skipped) // 4 * 3)


def _decode(quads: bytes) -> tuple[bytes, bool]:
    """The bytes, up to what is no base64, and whether that was all."""
    quads = quads.translate(_URL_SAFE)
    if b"=" not in quads:
        return binascii.a2b_base64(quads), True
    intact = _QUADS.match(quads)
    valid = intact.group() if intact else b""
    # Padding ends a part; the next one begins behind it.
    return b"".join(map(binascii.a2b_base64, _PADDED.split(valid))), len(valid) == len(quads)
