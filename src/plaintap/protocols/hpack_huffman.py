# SPDX-License-Identifier: Apache-2.0
"""HPACK's Huffman code (RFC 7541, appendix B), decoded a byte at a time and remembered by what was encoded.

The code is canonical: which symbols have codes of which length says all.
"""

from __future__ import annotations

from typing import TypeAlias

# Symbols by the length of their code in bits, in the order of their codes. The last code of all is EOS.
_SYMBOLS: dict[int, bytes] = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\x00$@[]~",
    14: b"^}",
    15: b"<`{",
    19: b"\\\xc3\xd0",
    20: b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
    21: b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6",
    22: b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
    23: b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b"
    b"\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef",
    24: b"\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed",
    25: b"\xc7\xcf\xea\xeb",
    26: b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff",
    27: b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe",
    28: b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12"
    b"\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9",
    30: b"\n\r\x16",
}
_EOS = 256
_LONGEST_PADDING = 7
MEMO_LIMIT = 4096
_MEMO_BYTES = 256
"""Longer strings are not remembered."""

_Row: TypeAlias = "list[tuple[int, bytes] | None]"


class HuffmanError(ValueError):
    """No such code, or padding that is none (RFC 7541, 5.2)."""


def _codes() -> dict[int, tuple[int, int]]:
    """Code and its length by symbol."""
    codes = {}
    code = length = 0
    for next_length, symbols in _SYMBOLS.items():
        code <<= next_length - length
        length = next_length
        for symbol in symbols:
            codes[symbol] = code, length
            code += 1
    codes[_EOS] = code, length
    return codes


class _Tree:
    """States are inner nodes of the code's tree; a row says for each byte which state follows and what came out."""

    def __init__(self) -> None:
        self._nodes: list[list[int]] = [[0, 0]]
        """Children of each: another node, or a symbol as its negative less one; 0 is none."""
        self._depths = [0]
        for symbol, (code, length) in _codes().items():
            self._add(symbol, code, length)
        self.rows: list[_Row | None] = [None] * len(self._nodes)
        """Made when they are first needed."""
        self.may_end = [self._is_padding(node) for node in range(len(self._nodes))]

    def _add(self, symbol: int, code: int, length: int) -> None:
        node = 0
        for shift in range(length - 1, 0, -1):
            bit = code >> shift & 1
            if not self._nodes[node][bit]:
                self._nodes[node][bit] = len(self._nodes)
                self._nodes.append([0, 0])
                self._depths.append(self._depths[node] + 1)
            node = self._nodes[node][bit]
        self._nodes[node][code & 1] = -symbol - 1

    def _is_padding(self, wanted: int) -> bool:
        """Whether it is reached by ones alone, at most seven."""
        node = 0
        for _ in range(_LONGEST_PADDING + 1):
            if node == wanted:
                return True
            node = self._nodes[node][1]
        return False

    def row(self, state: int) -> _Row:
        """None stands for bytes that hold EOS."""
        made: _Row = [self._step(state, byte) for byte in range(256)]
        self.rows[state] = made
        return made

    def _step(self, node: int, byte: int) -> tuple[int, bytes] | None:
        out = bytearray()
        for shift in range(7, -1, -1):
            node = self._nodes[node][byte >> shift & 1]
            if node < 0:
                if node == -_EOS - 1:
                    return None
                out.append(-node - 1)
                node = 0
        return node, bytes(out)


_memo: dict[bytes, bytes] = {}
_tree: list[_Tree] = []


def huffman_decoded(data: bytes) -> bytes:
    """Raises HuffmanError."""
    known = _memo.get(data)
    if known is not None:
        return known
    if not _tree:
        _tree.append(_Tree())
    tree = _tree[0]
    rows = tree.rows
    state = 0
    out = []
    for byte in data:
        step = (rows[state] or tree.row(state))[byte]
        if step is None:
            raise HuffmanError("EOS in a string")
        state, decoded = step
        out.append(decoded)
    if not tree.may_end[state]:
        raise HuffmanError("padding that is none")
    text = b"".join(out)
    if len(data) <= _MEMO_BYTES:
        if len(_memo) >= MEMO_LIMIT:
            _memo.clear()
        _memo[data] = text
    return text
