# SPDX-License-Identifier: Apache-2.0
"""Makes text from strangers safe to show: control, bidi and invisible characters become visible.

Owns the escapes and the width of text on a terminal; where text is cut is columns.py.
"""

from __future__ import annotations

import re
import unicodedata

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]+")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape_char(char: str) -> str:
    # str.isprintable() is false for the categories Cc, Cf (bidi controls, zero-width), Cs, Co, Cn, Zl, Zp, Zs.
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as "surrogateescape" keeps it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return _SHORT.get(char) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# Controls and the bytes that are no UTF-8: what binary data is made of.
_COMMON = {code: _escape_char(chr(code)) for code in (*range(0x20), *range(0x7F, 0xA0), *range(0xDC80, 0xDD00))}


def _escape_run(match: re.Match[str]) -> str:
    run = match.group()
    if not run.isprintable():
        run = run.translate(_COMMON)
    return run if run.isprintable() else "".join(map(_escape_char, run))


def escape(text: str) -> str:
    r"""`text` on one line: nothing in it can move a cursor, end a line or turn the reading direction.

    Controls become \n, \t, \x1b or \u009b; bytes that are no UTF-8 (surrogates of
    "surrogateescape") \xff.
    """
    return text if text.isprintable() else _NOT_PLAIN.sub(_escape_run, text)


def escape_bytes(data: bytes) -> str:
    """`data` as UTF-8 on one line; see `escape`."""
    return escape(data.decode("utf-8", "surrogateescape"))


def escape_lines(text: str) -> str:
    """Like `escape`, but line breaks and tabs stay; the text has \\n line ends afterwards."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(escape, line.split("\t"))) if "\t" in line else escape(line) for line in lines)


def cells(text: str) -> int:
    """How many columns escaped text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_char_cells(char) for char in text)


def _char_cells(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1
