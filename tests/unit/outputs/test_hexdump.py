# SPDX-License-Identifier: Apache-2.0
"""Hex dumps."""

from __future__ import annotations

from plaintap.outputs.hexdump import hexdump


def test_rows_groups_and_offsets() -> None:
    assert hexdump(bytes(range(24)), 0xFFFFFFF0) == (
        "fffffff0  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  |................|\n"
        "100000000  10 11 12 13 14 15 16 17                           |........|\n"
    )
    assert hexdump(b"Hello \x1b\x7f\xff") == (
        "00000000  48 65 6c 6c 6f 20 1b 7f  ff                       |Hello ...|\n"
    )
    assert hexdump(b"") == ""
