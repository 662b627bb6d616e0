# SPDX-License-Identifier: Apache-2.0
"""Codings of HTTP bodies: gzip, deflate, br, zstd, also several in a row; bounded, half a body will do.

Content codings, and outside of them HTTP/1's transfer codings but for `chunked`, which is the parser's.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zstandard

DECODED_LIMIT_BYTES = 64 << 20
"""A body may unfold a millionfold; beyond this it is cut."""
CODINGS_LIMIT = 8
"""Each coding may unfold as much again."""

_NO_CODINGS = ("", "identity", "chunked")
_CODING_NAME_LIMIT = 64
_ZEROS = re.compile(rb"\0*")
_DAMAGED = "damaged, decoded up to there"
_STEP_BYTES = 65536
_ZSTD_STEP_BYTES = 4096
_MEMBER_STEP_BYTES = 512
_SALVAGE_STEP_BYTES = 64
_Decoder = Callable[[bytes, int], tuple[bytes, str]]


def decode_body(
    headers: list[tuple[bytes, bytes]], pieces: list[bytes], *, limit_bytes: int = DECODED_LIMIT_BYTES
) -> tuple[bytes, str]:
    """The body decoded as far as it can be, and a note when that is not all of it, else "".

    A coding nobody knows leaves the bytes as they were at that point, and the note names it.
    """
    body = b"".join(pieces)
    notes = []
    content, transfer = _codings(headers, b"content-encoding"), _codings(headers, b"transfer-encoding")
    # RFC 9110, 8.4 and RFC 9112, 7: codings are listed in the order they were applied, transfer codings last.
    for number, coding in enumerate(reversed(content + transfer)):
        if number == CODINGS_LIMIT:
            notes.append(f"more than {CODINGS_LIMIT} content-encodings")
            break
        if not body:
            break
        decoder = DECODERS.get(coding)
        if decoder is None:
            notes.append(f"unknown {'transfer' if number < len(transfer) else 'content'}-encoding {coding}")
            break
        decoded, note = decoder(body, limit_bytes)
        if note:
            # How much a few bytes became tells a bomb from a large file.
            ratio = f", {len(decoded) // len(body):,} times its size" if len(decoded) > 9 * len(body) else ""
            notes.append(f"{coding}: {note}{ratio}")
        if not decoded and note == _DAMAGED:
            break  # it is probably not encoded at all
        body = decoded
    return body, "; ".join(notes)


def content_codings(headers: list[tuple[bytes, bytes]]) -> list[str]:
    """All codings of a body in the order they were applied, transfer codings too, without `identity` and `chunked`."""
    return _codings(headers, b"content-encoding") + _codings(headers, b"transfer-encoding")


def _codings(headers: list[tuple[bytes, bytes]], lower_name: bytes) -> list[str]:
    values = b",".join(value for name, value in headers if name.lower() == lower_name)
    codings = [coding.strip().lower().decode("latin-1")[:_CODING_NAME_LIMIT] for coding in values.split(b",")]
    return [coding for coding in codings if coding not in _NO_CODINGS]


def _steps(body: bytes, step_bytes: int) -> Iterator[bytes]:
    for start in range(0, len(body), step_bytes):
        yield body[start : start + step_bytes]


def _inflate(body: bytes, limit_bytes: int, wbits: int) -> tuple[bytes, str]:
    out = bytearray()
    at = 0
    while at < len(body):
        member = zlib.decompressobj(wbits)
        start, out_start = at, len(out)
        # Members may be tiny, and zlib copies what a step holds beyond a member's end.
        step_bytes = _MEMBER_STEP_BYTES
        try:
            while at < len(body) and not member.eof:
                step = body[at : at + step_bytes]
                # One byte more than wanted tells "more" from "just that many".
                out += member.decompress(step, limit_bytes + 1 - len(out))
                if len(out) > limit_bytes:
                    return bytes(out[:limit_bytes]), f"cut at {limit_bytes} bytes"
                at += len(step) - len(member.unused_data)
                step_bytes = min(2 * step_bytes, _STEP_BYTES)
        except zlib.error:
            return bytes(out[:out_start]) + _salvage(body[start:], limit_bytes - out_start, wbits), _DAMAGED
        if not member.eof:
            return bytes(out), "ends early"
        if wbits <= zlib.MAX_WBITS:
            break
        # RFC 1952, 2.2: members follow one another; servers also pad with zeros.
        if padding := _ZEROS.match(body, at):
            at = padding.end()
    return bytes(out), ""


def _salvage(body: bytes, limit_bytes: int, wbits: int) -> bytes:
    """What comes out before the damage: zlib gives nothing back for the call that meets it."""
    member = zlib.decompressobj(wbits)
    out = bytearray()
    try:
        for step in _steps(body, _SALVAGE_STEP_BYTES):
            out += member.decompress(step, limit_bytes + 1 - len(out))
            if len(out) > limit_bytes:
                break
    except zlib.error:
        pass
    return bytes(out[:limit_bytes])


def _gzip(body: bytes, limit_bytes: int) -> tuple[bytes, str]:
    return _inflate(body, limit_bytes, zlib.MAX_WBITS | 16)


def _deflate(body: bytes, limit_bytes: int) -> tuple[bytes, str]:
    # RFC 9110, 8.4.1.2: zlib data; some servers send it raw. A zlib head is a multiple of 31 with method 8.
    is_zlib = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _inflate(body, limit_bytes, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


def _brotli(body: bytes, limit_bytes: int) -> tuple[bytes, str]:
    import brotli  # noqa: PLC0415 - slow to load and seldom met

    decoder = brotli.Decompressor()
    out = bytearray()
    try:
        for step in _steps(body, _STEP_BYTES):
            data = step
            while True:
                out += decoder.process(data, output_buffer_limit=_STEP_BYTES)
                if len(out) > limit_bytes:
                    return bytes(out[:limit_bytes]), f"cut at {limit_bytes} bytes"
                if decoder.can_accept_more_data() or decoder.is_finished():
                    break
                data = b""
            if decoder.is_finished():
                break
    except brotli.error:
        return bytes(out), _DAMAGED
    return bytes(out), "" if decoder.is_finished() else "ends early"


def _zstd(body: bytes, limit_bytes: int) -> tuple[bytes, str]:
    import zstandard  # noqa: PLC0415 - slow to load and seldom met

    # RFC 9659: no window over 8 MB in a content coding; without a bound a frame's head may ask for 2 GB.
    decompressor = zstandard.ZstdDecompressor(max_window_size=8 << 20)
    # A few bytes can unfold to 128 KB a block, and only this way of decoding stops where it is told to.
    reader = decompressor.stream_reader(body, read_across_frames=True)
    out = bytearray()
    try:
        while piece := reader.read(min(_ZSTD_STEP_BYTES, limit_bytes + 1 - len(out))):
            out += piece
            if len(out) > limit_bytes:
                return bytes(out[:limit_bytes]), f"cut at {limit_bytes} bytes"
    except zstandard.ZstdError:
        return bytes(out), _DAMAGED
    return bytes(out), "" if _zstd_is_complete(decompressor, body) else "ends early"


def _zstd_is_complete(decompressor: zstandard.ZstdDecompressor, body: bytes) -> bool:
    """For a body that unfolds to no more than is wanted: the reader above does not tell."""
    frame = decompressor.decompressobj()
    at_start = True
    for step in _steps(body, _STEP_BYTES):
        data = step
        while data:
            frame.decompress(data)
            at_start = False
            data = frame.unused_data
            if frame.eof:
                frame, at_start = decompressor.decompressobj(), True
    return at_start


DECODERS: dict[str, _Decoder] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
