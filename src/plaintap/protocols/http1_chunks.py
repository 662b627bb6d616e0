# SPDX-License-Identifier: Apache-2.0
"""Chunks (RFC 9112, 7.1) of an HTTP/1 message that a strict parser refused: read as far as they can be told."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from plaintap.messages import Headers
from plaintap.protocols.http1_framing import quoted
from plaintap.protocols.http1_limits import FIELDS_LIMIT, HttpError

LINE_LIMIT_BYTES = 65536
"""Of a chunk's line with its extensions, or of a trailer field."""

_SIZE = re.compile(rb"([ \t]*)([0-9A-Fa-f]+)([ \t]*)(;.*)?\Z", re.DOTALL)
_LONGEST_SIZE = 15


class _At(Enum):
    SIZE = 0
    DATA = 1
    DATA_END = 2
    TRAILERS = 3


class Chunks:
    """Takes the bytes behind a head."""

    __slots__ = ("_at", "_held", "_left", "_on_body", "_on_note", "line_at", "trailers")

    def __init__(self, on_body: Callable[[bytes], None], on_note: Callable[[str], None]) -> None:
        self._at = _At.SIZE
        self._left = 0
        self._on_body = on_body
        self._on_note = on_note
        self._held = bytearray()
        self.line_at = 0
        """Where, in the bytes fed last, the line read last begins."""
        self.trailers: Headers = []

    def feed(self, data: bytes, start: int) -> int | None:
        """Where the message ends in `data`, None when it goes on; HttpError when nobody can tell."""
        at = self.line_at = start
        while at < len(data):
            if self._at is _At.DATA:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self._on_body(piece)
                if not self._left:
                    self._at = _At.DATA_END
                continue
            self.line_at = at
            end = data.find(b"\n", at) + 1
            self._held += data[at : end or len(data)]
            if len(self._held) > LINE_LIMIT_BYTES:
                raise HttpError("chunk line too long")
            if not end:
                return None
            at = end
            line = bytes(self._held[:-1])
            self._held.clear()
            if self._line(line):
                return at
        return None

    def _line(self, line: bytes) -> bool:
        """True when it was the last one."""
        if not line.endswith(b"\r"):
            self._on_note("bare LF ends a chunk's line")
        line = line.removesuffix(b"\r")
        if b"\r" in line:
            self._on_note("bare CR in a chunk's line")
        if self._at is _At.SIZE:
            self._size(line)
        elif self._at is _At.DATA_END:
            if line:
                raise HttpError("more data than the chunk's size")
            self._at = _At.SIZE
        elif not line:
            return True
        else:
            self._trailer(line)
        return False

    def _size(self, line: bytes) -> None:
        match = _SIZE.match(line)
        if match is None:
            raise HttpError(f"chunk size {quoted(line)}")
        digits = match[2].lstrip(b"0")
        if len(digits) > _LONGEST_SIZE:
            raise HttpError(f"chunk size {quoted(line)} is too large")
        if match[1] or match[3]:
            self._on_note("blanks around a chunk's size")
        if match[4] and not match[4][1:].strip(b" \t"):
            self._on_note("empty chunk extension")
        self._left = int(digits, 16) if digits else 0
        self._at = _At.DATA if self._left else _At.TRAILERS

    def _trailer(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if not colon or not name.strip(b" \t") or line[:1] in (b" ", b"\t"):
            raise HttpError("a line that is no trailer field")
        if len(self.trailers) >= FIELDS_LIMIT:
            raise HttpError("too many trailers")
        self.trailers.append((name.strip(b" \t"), value.strip(b" \t")))
