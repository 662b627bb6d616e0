# SPDX-License-Identifier: Apache-2.0
"""HPACK (RFC 7541): header blocks of one direction to fields; the dynamic table may be unknown at first.

Ours because a capture may begin in the middle of a connection, or lose bytes: the dynamic table then holds entries
nobody saw. The `hpack` package and libnghttp2's inflater call a reference to one an error and end there; here such a
field is unknown, b"", and all is right again as soon as the encoder has replaced what was there before. Nothing else
changes: a dynamic index counts back from the newest entry, and those inserted since were seen.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from plaintap.protocols.hpack_huffman import HuffmanError, huffman_decoded

Field: TypeAlias = tuple[bytes, bytes]

LIST_LIMIT_BYTES = 256 << 10
"""Of one list of fields, each counted as in RFC 7541, 4.1; what is beyond is left out. A bomb repeats one byte."""
TABLE_LIMIT_BYTES = 1 << 20
"""Of one dynamic table, whatever the peers agree on."""
DEFAULT_TABLE_BYTES = 4096
_LATE_TABLE_BYTES = 64 << 10
"""Until the size is told: an encoder does not refer to what it has evicted, so keeping more does no harm."""
_ENTRY_BYTES = 32
_MEMO_LIMIT = 64
_MEMO_BYTES = 512
"""Blocks that repeat are short, and what is remembered of long ones is memory in a stranger's hands."""
_INTEGER_BITS = 28
_UNKNOWN: Field = (b"", b"")
EMPTY_NAME = b"(empty)"
"""Of a name that is empty on the wire, which none may be (RFC 9113, 8.2): b"" stands for what is unknown."""

# RFC 7541, appendix A; index 0 is none.
STATIC: tuple[Field, ...] = (
    _UNKNOWN,
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
)
_DYNAMIC = len(STATIC)


class HpackError(ValueError):
    """A block that no encoder makes."""


class HpackDecoder:
    """One direction's; blocks come in the order of the wire."""

    __slots__ = ("_late", "_max_bytes", "_memo", "_size_bytes", "_table", "cut")

    def __init__(self, *, late: bool = False) -> None:
        """`late`: the blocks before were not seen."""
        self.cut = False
        """The list of the last block went over the limit."""
        self._late = late
        self._max_bytes = _LATE_TABLE_BYTES if late else DEFAULT_TABLE_BYTES
        self._size_bytes = 0
        self._table: deque[Field] = deque()
        """The newest last."""
        self._memo: dict[bytes, list[Field]] = {}
        """Blocks since the table last changed, and what they said."""

    def forget(self) -> None:
        """Bytes were lost, and with them perhaps entries: where those are that were known is unknown."""
        self._late = True
        self._max_bytes = max(self._max_bytes, _LATE_TABLE_BYTES)
        self._table.clear()
        self._size_bytes = 0
        self._memo.clear()

    def decode(self, block: bytes) -> list[Field]:
        """The fields in order. Raises HpackError: the decoder is then of no more use."""
        known = self._memo.get(block)
        if known is not None:
            self.cut = False
            return known[:]
        try:
            fields, changed = self._read(block)
        except IndexError:
            raise HpackError("a block that ends early") from None
        except HuffmanError as error:
            raise HpackError(str(error)) from None
        if changed:
            self._memo.clear()
        elif len(block) <= _MEMO_BYTES and not self.cut and len(self._memo) < _MEMO_LIMIT:
            self._memo[block] = fields[:]
        return fields

    def _read(self, block: bytes) -> tuple[list[Field], bool]:
        """The fields, and whether the table was changed."""
        fields: list[Field] = []
        table = self._table
        changed = False
        at, end = 0, len(block)
        left = LIST_LIMIT_BYTES
        while at < end:
            byte = block[at]
            at += 1
            if byte & 0x80:
                index = byte & 0x7F
                if index == 0x7F:
                    index, at = _integer(block, at, 0x7F)
                if 0 < index < _DYNAMIC:
                    field = STATIC[index]
                else:
                    index -= _DYNAMIC - 1
                    field = table[-index] if 0 < index <= len(table) else self._beyond(index)
            elif byte & 0x40:
                field, at = self._literal(block, at, byte & 0x3F, 0x3F)
                self._insert(field)
                changed = True
            elif byte & 0x20:
                at = self._update(block, at, byte & 0x1F, first=not fields)
                changed = True
                continue
            else:
                field, at = self._literal(block, at, byte & 0x0F, 0x0F)
            left -= len(field[0]) + len(field[1]) + _ENTRY_BYTES
            if left >= 0:
                fields.append(field)
        self.cut = left < 0
        return fields, changed

    def _update(self, block: bytes, at: int, size: int, *, first: bool) -> int:
        """RFC 7541, 6.3; where it ends."""
        if size == 0x1F:
            size, at = _integer(block, at, 0x1F)
        if not first:
            raise HpackError("a table size behind fields")
        self._resize(size)
        return at

    def _literal(self, block: bytes, at: int, index: int, prefix: int) -> tuple[Field, int]:
        if index == prefix:
            index, at = _integer(block, at, prefix)
        if not index:
            name, at = _string(block, at)
            name = name or EMPTY_NAME
        elif index < _DYNAMIC:
            name = STATIC[index][0]
        else:
            index -= _DYNAMIC - 1
            name = (self._table[-index] if index <= len(self._table) else self._beyond(index))[0]
        value, at = _string(block, at)
        return (name, value), at

    def _beyond(self, index: int) -> Field:
        if index <= 0:
            raise HpackError("index 0")
        if not self._late:
            raise HpackError("an index beyond the table")
        return _UNKNOWN

    def _insert(self, field: Field) -> None:
        """RFC 7541, 4.4: what is larger than the table empties it."""
        self._size_bytes += len(field[0]) + len(field[1]) + _ENTRY_BYTES
        self._table.append(field)
        if self._size_bytes > self._max_bytes:
            self._evict()

    def _resize(self, size_bytes: int) -> None:
        if size_bytes > TABLE_LIMIT_BYTES:
            self._late = True  # more than is kept may be referred to
        self._max_bytes = min(size_bytes, TABLE_LIMIT_BYTES)
        self._evict()

    def _evict(self) -> None:
        table = self._table
        while table and self._size_bytes > self._max_bytes:
            name, value = table.popleft()
            self._size_bytes -= len(name) + len(value) + _ENTRY_BYTES


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """RFC 7541, 5.1, behind a prefix that is full: the number, and where it ends."""
    number = prefix
    shift = 0
    while True:
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, at
        shift += 7
        if shift > _INTEGER_BITS:
            raise HpackError("a number out of bounds")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """RFC 7541, 5.2."""
    length = block[at]
    at += 1
    huffman = length & 0x80
    length &= 0x7F
    if length == 0x7F:
        length, at = _integer(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise HpackError("a block that ends early")
    data = block[at:end]
    return (huffman_decoded(data) if huffman else data), end
