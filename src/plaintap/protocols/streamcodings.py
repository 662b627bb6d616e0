# SPDX-License-Identifier: Apache-2.0
"""Content codings of bodies that are read while they arrive: what came is decoded at once, in bounded steps.

Bodies that are kept whole are decoded by bodies.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from plaintap.messages import Headers
from plaintap.parsing import BodyStream
from plaintap.protocols.bodies import CODINGS_LIMIT, content_codings

if TYPE_CHECKING:
    import zstandard

UNFOLDING_RATIO_LIMIT = 300
"""Times a stream may grow once it is beyond `UNFOLDED_FREE_BYTES`: events grow tenfold, bombs a thousandfold."""
UNFOLDED_FREE_BYTES = 1 << 20

_STEP_BYTES = 4096
"""zlib copies what a step holds beyond a member's end, and members may be tiny."""
_OUT_BYTES = 65536
_ZSTD_STEP_BYTES = 64
"""It decodes all it is given: a block of 4 bytes may be 128 KiB."""
_ZSTD_WINDOW_BYTES = 8 << 20
"""RFC 9659: no larger ones in a content coding."""


class _DamagedError(Exception):
    """What came is not of the coding, or is made to grow."""


class Decoder(Protocol):
    """One coding of one stream; raises `_DamagedError`, and after its end takes no more."""

    def unfold(self, data: bytes, /) -> Iterable[bytes]:
        """What the next bytes are, in pieces."""


def _steps(data: bytes, step_bytes: int) -> Iterator[bytes]:
    for start in range(0, len(data), step_bytes):
        yield data[start : start + step_bytes]


class _Gzip:
    """Members follow one another (RFC 1952, 2.2), and servers pad with zeros."""

    __slots__ = ("_at_start", "_member")

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._at_start = True

    def unfold(self, data: bytes, /) -> Iterable[bytes]:
        for step in _steps(data, _STEP_BYTES):
            rest = step
            while rest:
                if self._member.eof:
                    self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
                    self._at_start = True
                if self._at_start:
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    self._at_start = False
                yield from _inflated(self._member, rest)
                rest = self._member.unused_data


class _Deflate:
    """zlib data; some servers send it raw. A zlib head is a multiple of 31 with method 8."""

    __slots__ = ("_head", "_member")

    def __init__(self) -> None:
        self._head = b""
        self._member: zlib._Decompress | None = None

    def unfold(self, data: bytes, /) -> Iterable[bytes]:
        if self._member is None:
            self._head += data
            if len(self._head) < 2:
                return
            data, self._head = self._head, b""
            is_zlib = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._member = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        for step in _steps(data, _STEP_BYTES):
            if self._member.eof:
                return
            yield from _inflated(self._member, step)


def _inflated(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    try:
        while True:
            piece = member.decompress(data, _OUT_BYTES)
            if piece:
                yield piece
            data = member.unconsumed_tail
            # A full piece may leave more inside than the tail shows.
            if member.eof or (not data and len(piece) < _OUT_BYTES):
                return
    except zlib.error:
        raise _DamagedError from None


class _Brotli:
    __slots__ = ("_decoder", "_error")

    def __init__(self) -> None:
        import brotli  # noqa: PLC0415 - slow to load and seldom met

        self._decoder = brotli.Decompressor()
        self._error = brotli.error

    def unfold(self, data: bytes, /) -> Iterable[bytes]:
        decoder = self._decoder
        if decoder.is_finished():
            return
        for step in _steps(data, _STEP_BYTES):
            rest = step
            while True:
                try:
                    piece = decoder.process(rest, output_buffer_limit=_OUT_BYTES)
                except self._error:
                    raise _DamagedError from None
                if piece:
                    yield piece
                if decoder.is_finished():
                    return
                if decoder.can_accept_more_data():
                    break
                rest = b""


class _Zstd:
    __slots__ = ("_decompressor", "_error", "_frame")

    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415 - slow to load and seldom met

        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        self._error = zstandard.ZstdError
        self._frame: zstandard.ZstdDecompressionObj = self._decompressor.decompressobj()

    def unfold(self, data: bytes, /) -> Iterable[bytes]:
        for step in _steps(data, _ZSTD_STEP_BYTES):
            rest = step
            while rest:
                if self._frame.eof:
                    self._frame = self._decompressor.decompressobj()
                try:
                    piece = self._frame.decompress(rest)
                except self._error:
                    raise _DamagedError from None
                if piece:
                    yield piece
                rest = self._frame.unused_data if self._frame.eof else b""


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


class DecodedStream:
    """A body stream behind the content codings that `headers` name; `inner` gets what is in them.

    Once it cannot be decoded any more, `inner` gets nothing but its end, and `notes` says so.
    """

    __slots__ = ("_codings", "_decoders", "_readable", "_received_bytes", "_unfolded_bytes", "inner", "notes")

    def __init__(self, inner: BodyStream, codings: list[str]) -> None:
        self.inner = inner
        self.notes: list[str] = []
        self._codings = ", ".join(codings)
        self._readable = True
        self._received_bytes = 0
        self._unfolded_bytes = 0
        unknown = [coding for coding in codings if coding not in _DECODERS]
        if unknown:
            self._stop(f"unknown content-encoding {unknown[-1]}")
        elif len(codings) > CODINGS_LIMIT:
            self._stop(f"more than {CODINGS_LIMIT} content-encodings")
        # RFC 9110, 8.4: codings are listed in the order they were applied.
        self._decoders = [_DECODERS[coding]() for coding in reversed(codings)] if self._readable else []

    def receive(self, ts_ns: int, data: bytes, /) -> None:
        if not self._readable:
            return
        self._received_bytes += len(data)
        pieces: Iterable[bytes] = (data,)
        for decoder in self._decoders:
            pieces = self._unfold(decoder, pieces)
        try:
            for piece in pieces:
                self.inner.receive(ts_ns, piece)
        except _DamagedError as error:
            self._stop(str(error) or "damaged")

    def _unfold(self, decoder: Decoder, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            for unfolded in decoder.unfold(piece):
                self._unfolded_bytes += len(unfolded)
                if self._unfolded_bytes > UNFOLDED_FREE_BYTES + UNFOLDING_RATIO_LIMIT * self._received_bytes:
                    raise _DamagedError(f"grows more than {UNFOLDING_RATIO_LIMIT} times")
                yield unfolded

    def gap(self, ts_ns: int, missing_bytes: int, /) -> None:
        if self._readable:
            self._stop(f"{missing_bytes} bytes lost")

    def close(self, ts_ns: int, /) -> None:
        self.inner.close(ts_ns)

    def _stop(self, why: str) -> None:
        self._readable = False
        self._decoders = []
        self.notes.append(f"content-encoding {self._codings}: {why}, not read from there on")


def decoded(stream: BodyStream, headers: Headers) -> BodyStream:
    """`stream` itself where its body has no content coding."""
    codings = content_codings(headers)
    return DecodedStream(stream, codings) if codings else stream
