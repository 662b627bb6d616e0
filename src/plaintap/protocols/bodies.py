# SPDX-License-Identifier: Apache-2.0
"""Content codings of HTTP bodies: gzip, deflate, br, zstd, also several in a row; bounded, half a body will do.

Transfer codings are the parser's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

DECODED_LIMIT_BYTES = 64 << 20
"""A body may unfold a thousandfold; beyond this it is cut."""

_DAMAGED = "damaged, decoded up to there"
_STEP_BYTES = 65536
# A block of 4 bytes can unfold to 128 KB, and the decoder offers no bound on what one call gives.
_ZSTD_STEP_BYTES = 512
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
    # RFC 9110, 8.4: codings are listed in the order they were applied.
    for coding in reversed(content_codings(headers)):
        if not body:
            break
        decoder = DECODERS.get(coding)
        if decoder is None:
            notes.append(f"unknown content-encoding {coding}")
            break
        decoded, note = decoder(body, limit_bytes)
        if note:
            notes.append(f"{coding}: {note}")
        if not decoded and note == _DAMAGED:
            break  # it is probably not encoded at all
        body = decoded
    return body, "; ".join(notes)


def content_codings(headers: list[tuple[bytes, bytes]]) -> list[str]:
    """As listed, without `identity`."""
    values = b",".join(value for name, value in headers if name.lower() == b"content-encoding")
    codings = [coding.strip().lower().decode("latin-1") for coding in values.split(b",")]
    return [coding for coding in codings if coding not in ("", "identity")]


def _steps(body: bytes, step_bytes: int) -> Iterator[bytes]:
    for start in range(0, len(body), step_bytes):
        yield body[start : start + step_bytes]


def _inflate(body: bytes, limit_bytes: int, wbits: int) -> tuple[bytes, str]:
    out = bytearray()
    rest = body
    while rest:
        member = zlib.decompressobj(wbits)
        try:
            # One byte more than wanted tells "more" from "just that many".
            out += member.decompress(rest, limit_bytes + 1 - len(out))
        except zlib.error:
            return bytes(out) + _salvage(rest, limit_bytes - len(out), wbits), _DAMAGED
        if len(out) > limit_bytes:
            return bytes(out[:limit_bytes]), f"cut at {limit_bytes} bytes"
        if not member.eof:
            return bytes(out), "ends early"
        if wbits <= zlib.MAX_WBITS:
            break
        # RFC 1952, 2.2: members follow one another; servers also pad with zeros.
        rest = member.unused_data.lstrip(b"\0")
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
    frame = decompressor.decompressobj()
    out = bytearray()
    at_start = True
    try:
        for step in _steps(body, _ZSTD_STEP_BYTES):
            data = step
            while data:
                out += frame.decompress(data)
                at_start = False
                data = frame.unused_data
                if frame.eof:
                    frame, at_start = decompressor.decompressobj(), True
            if len(out) > limit_bytes:
                return bytes(out[:limit_bytes]), f"cut at {limit_bytes} bytes"
    except zstandard.ZstdError:
        return bytes(out[:limit_bytes]), _DAMAGED
    return bytes(out), "" if at_start else "ends early"


DECODERS: dict[str, _Decoder] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
