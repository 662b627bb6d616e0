# SPDX-License-Identifier: Apache-2.0
"""permessage-deflate (RFC 7692): what was agreed on, and the inflater of one direction, bounded, also begun late.

Cutting messages out of frames is websocket_reader.py's.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plaintap.messages import Response

if TYPE_CHECKING:
    from zlib import _Decompress

FREE_BYTES = 16 << 20
RATIO_LIMIT = 100
"""A direction may unfold to so many times what it took, and `FREE_BYTES` more; deflate can a thousandfold."""
FINAL_BLOCKS_LIMIT = 64
"""Of one message; each takes a new inflater."""

_STEP_BYTES = 65536
_MIN_STEP_BYTES = 1024
_TAIL = b"\0\0\xff\xff"
_MIN_WINDOW_BITS = 9
"""zlib's own; what was made with 8 is read with 9 as well."""
_WINDOW = 1 << zlib.MAX_WBITS
_ZEROS, _ONES = bytes(_WINDOW), b"\xff" * _WINDOW
_UNKNOWN = ord("?")
_MARKS = bytes(_UNKNOWN if byte == 0xFF else 0 for byte in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What a response says of extensions; the default is what holds when it was not seen."""

    deflate: bool = True
    others: bool = False
    """Extensions that nobody here knows."""
    resets: tuple[bool, bool] = (False, False)
    """By direction, the server's first: each message begins with an empty window."""
    window_bits: tuple[int, int] = (zlib.MAX_WBITS, zlib.MAX_WBITS)


_PARAMETER = re.compile(rb"(client|server)_max_window_bits *= *\"?(\d{1,2})\"?")
_EXTENSIONS_LIMIT_BYTES = 8192


def agreed(response: Response | None) -> Agreed:
    """RFC 7692, 7.1: the response names what holds."""
    if response is None:
        return Agreed()
    listed = b",".join(value for name, value in response.headers if name.lower() == b"sec-websocket-extensions")
    deflate = others = False
    resets, bits = [False, False], [zlib.MAX_WBITS, zlib.MAX_WBITS]
    for extension in listed[:_EXTENSIONS_LIMIT_BYTES].lower().split(b","):
        name, *parameters = [part.strip() for part in extension.split(b";")]
        if name != b"permessage-deflate":
            others = others or bool(name)
            continue
        deflate = True
        resets = [b"server_no_context_takeover" in parameters, b"client_no_context_takeover" in parameters]
        for parameter in parameters:
            if found := _PARAMETER.fullmatch(parameter):
                bits[found[1] == b"client"] = min(max(int(found[2]), _MIN_WINDOW_BITS), zlib.MAX_WBITS)
    return Agreed(deflate=deflate, others=others, resets=(resets[0], resets[1]), window_bits=(bits[0], bits[1]))


class Inflater:
    """`begin`, `feed` for each piece of a message, `end`. It must see all of them: later ones refer to them.

    Where the window is not known (a late attach, bytes lost), two inflaters run on windows of zeros and of ones: where
    what comes out differs it was copied from before, and is shown as `?`, until so much is known as can be referred to.
    """

    __slots__ = (
        "_bits",
        "_final_blocks",
        "_free_bytes",
        "_inflater",
        "_is_fresh",
        "_kept",
        "_known_bytes",
        "_limit",
        "_resets",
        "_shadow",
        "_unknown_bytes",
        "note",
        "out_bytes",
    )

    def __init__(self, *, window_bits: int, resets: bool, limit: int, from_start: bool) -> None:
        self._bits = -window_bits
        self._resets = resets
        self._limit = limit
        """Bytes kept of a message."""
        self._free_bytes = FREE_BYTES
        # Made for the first message: it takes as much memory as all the rest of a connection several times over.
        self._inflater: _Decompress | None = None
        self._is_fresh = from_start
        self._shadow: _Decompress | None = None
        self._known_bytes = 0
        self._kept = bytearray()
        self._unknown_bytes = 0
        self._final_blocks = 0
        self.note = ""
        """Of the message that ended last."""
        self.out_bytes = 0
        """What it inflated to, beyond the limit too."""

    def begin(self) -> None:
        self._kept = bytearray()
        self.out_bytes = self._unknown_bytes = self._final_blocks = 0
        self.note = ""
        if self._resets or self._is_fresh:
            self._is_fresh = False
            self._inflater, self._shadow = zlib.decompressobj(self._bits), None
        elif self._inflater is None:
            self._inflater = zlib.decompressobj(self._bits, zdict=_ZEROS)
            self._shadow = zlib.decompressobj(self._bits, zdict=_ONES)
            self._known_bytes = 0

    def feed(self, data: bytes) -> None:
        """The next bytes of a message; nothing more comes out of one that has failed."""
        self._free_bytes += RATIO_LIMIT * len(data)
        rest: bytes | None = data
        if data and self._inflater is not None and self._inflater.eof:
            rest = self._next_block(data)
        while rest is not None and self._inflater is not None:
            rest = self._step(self._inflater, rest)

    def lost(self) -> None:
        """Bytes are missing here, of a compressed message or whole ones."""
        self._is_fresh = False
        self._fail("")

    def end(self, *, complete: bool) -> bytes | None:
        """What the message inflates to, up to the limit; None when nothing could be made of it. `note` says more."""
        if not complete:
            self.lost()
        inflater = self._inflater
        if inflater is not None and not inflater.eof:
            self.feed(_TAIL)
            if not self.note and self._inflater is not None and self._inflater.eof:
                self._fail("damaged")
        notes = [self.note] if self.note else []
        if self.out_bytes > self._limit:
            notes.append(f"the first {self._limit} of {self.out_bytes} inflated bytes")
        if self._unknown_bytes:
            notes.append(f"{self._unknown_bytes} bytes copied from before the capture or a loss are shown as ?")
        failed = bool(self.note) and not self._kept
        kept, self._kept = bytes(self._kept), bytearray()
        if inflater is not None and self._inflater is inflater and inflater.eof:
            self._inflater, self._shadow = zlib.decompressobj(self._bits), None
        self.note = "; ".join(notes)
        return None if failed else kept

    def _step(self, inflater: _Decompress, data: bytes) -> bytes | None:
        """What of `data` is still to be fed, which is nothing while zlib holds more output; None when it is done."""
        step_bytes = min(_STEP_BYTES, max(_MIN_STEP_BYTES, self._free_bytes + 1))
        try:
            out = inflater.decompress(data, step_bytes)
            if self._shadow is not None:
                out = self._mark_unknown(out, self._shadow.decompress(data, step_bytes))
        except zlib.error:
            self._fail("damaged")
            return None
        self.out_bytes += len(out)
        self._free_bytes -= len(out)
        if len(self._kept) < self._limit:
            self._kept += out[: self._limit - len(self._kept)]
        if self._free_bytes < 0:
            self._free_bytes = 0  # the next message has its own chance
            self._fail(f"unfolds more than {RATIO_LIMIT} times, given up")
            return None
        if inflater.eof:
            return self._next_block(inflater.unused_data) if inflater.unused_data else None
        return inflater.unconsumed_tail or (b"" if len(out) == step_bytes else None)

    def _next_block(self, data: bytes) -> bytes | None:
        """RFC 7692, 7.2.3.5: a message may have a final block, and something after it."""
        self._final_blocks += 1
        if self._final_blocks > FINAL_BLOCKS_LIMIT:
            self._fail("too many final blocks")
            return None
        self._inflater, self._shadow = zlib.decompressobj(self._bits), None
        return data

    def _mark_unknown(self, zeros: bytes, ones: bytes) -> bytes:
        size = len(zeros)
        if zeros == ones:
            self._known_bytes += size
            if self._known_bytes >= _WINDOW:
                self._shadow = None
            return zeros
        self._known_bytes = 0
        number = int.from_bytes(zeros, "little")
        differs = (number ^ int.from_bytes(ones, "little")).to_bytes(size, "little")
        self._unknown_bytes += size - differs.count(0)
        # Where they differ the one is zero.
        return (number | int.from_bytes(differs.translate(_MARKS), "little")).to_bytes(size, "little")

    def _fail(self, note: str) -> None:
        if self._inflater is not None:
            self.note = note
        self._inflater = self._shadow = None
