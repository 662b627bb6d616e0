# SPDX-License-Identifier: Apache-2.0
"""Bytes from the wire as text of JSON: header fields, bodies, and what makes a JSON line safe on a terminal.

Content codings are undone before; text for people is pretty.py's and escape.py's.
"""

from __future__ import annotations

import binascii
import codecs
import re

from plaintap.outputs.columns import Memo

TEXT = "text"
BASE64 = "base64"

# Only charsets of the web: Python knows others (idna, punycode, unicode_escape) that strangers should not choose.
_CHARSET = re.compile(
    rb"charset\s*=\s*\"?(utf-?8|us-ascii|iso-8859-\d\d?|windows-125\d|utf-?16(?:le|be)?|koi8-[ru]|shift_jis|euc-(?:jp|kr)"
    rb"|iso-2022-jp|gb2312|gbk|gb18030|big5)\"?\s*(?:;|$)",
    re.IGNORECASE,
)
_TEXTUAL = re.compile(
    rb"\s*(?:text/|[a-z]+/(?:[-\w.]*\+)?(?:json|xml|javascript|ecmascript|x-javascript|x-www-form-urlencoded|x-ndjson"
    rb"|jsonlines|graphql|yaml|x-yaml|toml|sql)\s*(?:;|$))",
    re.IGNORECASE,
)
_BINARY = re.compile(
    rb"\s*(?:image/(?!svg)|audio/|video/|font/|application/(?:octet-stream|(?:x-)?protobuf|grpc|(?:x-)?msgpack|zip|gzip"
    rb"|pdf|wasm|ocsp-|dns-message|pkix-|x-tar))",
    re.IGNORECASE,
)
# What text has none of, and most binary formats have.
_CONTROLS = bytes(byte for byte in range(0x20) if byte not in b"\b\t\n\f\r\x1b")
_UNSAFE = re.compile(r"[^\x20-\x7e\n]+")
LONGEST_CHARACTER = 4
"""Bytes of UTF-8."""


def wire_text(data: bytes) -> str:
    """As UTF-8; what is none, as Latin-1, so that the code points are the bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def clean(text: str) -> str:
    """Text that can be encoded: bytes that "surrogateescape" kept become what `wire_text` makes of them."""
    if text.isascii():
        return text
    try:
        return wire_text(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # a surrogate that is nobody's byte
        return text.encode("utf-8", "replace").decode()


def safe_json(lines: bytes) -> bytes:
    r"""JSON texts in which every character that could move a cursor or turn the reading direction is a \u escape.

    Such characters occur in strings only, and there both forms mean the same. Newlines between texts stay.
    """
    if lines.isascii() and b"\x7f" not in lines:
        return lines
    return _UNSAFE.sub(_escape_run, lines.decode()).encode()


def _escape_run(match: re.Match[str]) -> str:
    run = match.group()
    return run if run.isprintable() else "".join(map(_escape_char, run))


def _escape_char(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def charset_of(content_type: bytes) -> str:
    """That of the web which is named, in lower case; `utf-8` where none is."""
    found = _CHARSET.search(content_type)
    name = found[1].decode().lower() if found else "utf-8"
    return "utf-8" if name in ("utf8", "us-ascii") else name


def _rule(content_type: bytes) -> tuple[str, bool, bool]:
    """Charset, whether it says it is text, whether it says it is not."""
    return charset_of(content_type), bool(_TEXTUAL.match(content_type)), bool(_BINARY.match(content_type))


_RULES: Memo[bytes, tuple[str, bool, bool]] = Memo(_rule, limit=512)


def body_text(data: bytes, content_type: bytes, *, whole: bool = True, utf8: bool = False) -> str | None:
    """The text that `data` is, or None where it is none.

    It is what decodes by the charset of its type, else as UTF-8, and, unless its type says that it is text, has no
    other control characters than text has. Of data that is not whole, half a character at the end goes.
    With `utf8` any other charset is no text: for readers who make bytes of it again.
    """
    charset, textual, binary = _RULES[content_type]
    if binary:
        return None
    if charset != "utf-8":
        return None if utf8 else _decoded(data, charset, whole=whole)
    if not (textual or len(data) == len(data.translate(None, _CONTROLS))):
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        cut_here = error.reason == "unexpected end of data" and error.start >= len(data) - LONGEST_CHARACTER
        return data[: error.start].decode() if cut_here and not whole else None


def _decoded(data: bytes, charset: str, *, whole: bool) -> str | None:
    try:
        text = codecs.getincrementaldecoder(charset)().decode(data, whole)
        text.encode()
    except (UnicodeError, LookupError):
        return None
    return None if "\0" in text else text


def base64(data: bytes) -> str:
    """Without line breaks."""
    return binascii.b2a_base64(data, newline=False).decode()
