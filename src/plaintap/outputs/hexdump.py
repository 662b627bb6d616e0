# SPDX-License-Identifier: Apache-2.0
"""Hex dumps: offset, sixteen bytes in two groups, the same as ASCII."""

from __future__ import annotations

_VISIBLE = bytes(byte if 0x20 <= byte < 0x7F else 0x2E for byte in range(256))
_ROW_BYTES = 16
_HALF_BYTES = 8
_HEX_COLUMNS = 3 * _ROW_BYTES


def hexdump(data: bytes, offset: int = 0) -> str:
    """Lines such as `00000010  48 65 6c 6c 6f 0a                                 |Hello.|`.

    `offset` is that of the first byte; "" when there are no bytes.
    """
    lines = []
    for start in range(0, len(data), _ROW_BYTES):
        row = data[start : start + _ROW_BYTES]
        digits = f"{row[:_HALF_BYTES].hex(' ')}  {row[_HALF_BYTES:].hex(' ')}"
        visible = row.translate(_VISIBLE).decode("ascii")
        lines.append(f"{offset + start:08x}  {digits:<{_HEX_COLUMNS}}  |{visible}|\n")
    return "".join(lines)
