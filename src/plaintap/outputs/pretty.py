# SPDX-License-Identifier: Apache-2.0
"""Bodies for reading: JSON and MessagePack indented, forms by field, multipart by part, binary by name and size.

Takes decoded bytes; content-encodings are undone before, hex dumps are hexdump.py's.
"""

from __future__ import annotations

import codecs
import json
import re
from urllib.parse import parse_qsl

from plaintap.outputs import multipart
from plaintap.outputs.escape import escape, escape_bytes, escape_lines
from plaintap.outputs.magic import binary_name
from plaintap.outputs.packed import msgpack_as_json, protobuf_fields
from plaintap.outputs.sizes import size
from plaintap.outputs.wiretext import charset_of

_SAMPLE_BYTES = 4096
_ODD_SHARE = 0.05
_INDENT = "  "
# Deeper levels are not moved further to the right, or a megabyte of "[" would need a terabyte of blanks.
_MAX_INDENT = 32

# No \x00 among them: text has none, most binary formats do within their first bytes.
_CONTROLS = bytes(byte for byte in range(1, 0x20) if byte not in b"\b\t\n\f\r\x1b")
JSON_LIMIT_BYTES = 16 << 20
"""A longer text is not broken into lines."""
JSON_GROWTH_LIMIT = 8
"""Blanks and line ends that breaking into lines may add, in times of the text; and `_FREE_BLANKS` more."""
_FREE_BLANKS = 16_384
PARTS_DEPTH_LIMIT = 4
"""A multipart body within more of them is text."""
_JSON_SEQUENCE = ("/json-seq", "+json-seq")  # RFC 7464
_MSGPACK = ("/msgpack", "/x-msgpack", "/vnd.msgpack", "+msgpack")
_PROTOBUF = ("/protobuf", "/x-protobuf", "/vnd.google.protobuf", "/x-google-protobuf", "+protobuf", "+proto")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def media_type(content_type: bytes) -> str:
    """`application/json` of `application/JSON; charset=utf-8`."""
    return escape_bytes(content_type.partition(b";")[0].strip().lower())


def show_body(data: bytes, *, content_type: bytes, limit: int = 0, more_bytes: int = 0) -> str:
    """Escaped lines, the last with its newline; "" for nothing.

    At most `limit` bytes of `data` are shown (0: all); what is cut and the `more_bytes` that the
    caller never had are named.
    """
    shown = data[:limit] if limit else data
    more_bytes += len(data) - len(shown)
    if not shown:
        return _more(more_bytes)
    return _show(shown, content_type, more_bytes=more_bytes, depth=0)


def _show(shown: bytes, content_type: bytes, *, more_bytes: int, depth: int) -> str:
    kind = media_type(content_type)
    if kind.startswith("multipart/") and depth < PARTS_DEPTH_LIMIT:
        parts = multipart.split(shown, content_type)
        if parts is not None:
            return _show_parts(parts, more_bytes=more_bytes, depth=depth)
    text = None
    if kind.endswith(_MSGPACK) and not more_bytes:
        text = msgpack_as_json(shown)
        kind = "application/json"
    if text is None:
        text = None if kind.endswith(_PROTOBUF) else _decode(shown, content_type, final=not more_bytes)
    if text is None:
        return f"{_binary_summary(shown, content_type, whole=not more_bytes)}, {size(len(shown) + more_bytes)}\n"
    text = _by_type(text, kind, whole=not more_bytes)
    return f"{text}\n{_more(more_bytes)}" if not text.endswith("\n") else f"{text}{_more(more_bytes)}"


def _show_parts(parts: multipart.Parts, *, more_bytes: int, depth: int) -> str:
    """Each part's head and its body by its own type, behind a line with its number."""
    out = []
    for number, part in enumerate(parts.shown, start=1):
        out.append(f"── part {number}\n")
        if part.head:
            out.append(f"{escape_lines(part.head.decode('utf-8', 'surrogateescape'))}\n")
        # Of the last part of a cut body some is missing: what looks at whole bodies must know.
        cut = number == len(parts.shown) and not parts.complete and not parts.more
        if part.body:
            body = _show(part.body, part.content_type, more_bytes=more_bytes if cut else 0, depth=depth + 1)
            out.append(f"\n{body}" if part.head else body)
        elif cut:
            out.append(_more(more_bytes))
    if parts.more:
        out.append(f"… {parts.more} more part{'s' if parts.more > 1 else ''}\n")
    if parts.complete or parts.more or not parts.shown:
        out.append(_more(more_bytes))
    return "".join(out) or "no parts\n"


def _more(more_bytes: int) -> str:
    return f"… {size(more_bytes)} more\n" if more_bytes else ""


def as_text(data: bytes) -> str | None:
    """Bytes of unknown type as text (unescaped); None when they look like no text."""
    return _decode(data, b"", final=True)


def _decode(data: bytes, content_type: bytes, *, final: bool) -> str | None:
    """As text, cut characters at the end left out; None for what is none."""
    name = charset_of(content_type)
    sample = data[:_SAMPLE_BYTES]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if not name.startswith("utf-16") and (b"\0" in sample or controls > 1 + len(sample) * _ODD_SHARE):
        return None
    try:
        return codecs.getincrementaldecoder(name)().decode(data, final)
    except (UnicodeError, LookupError):
        text = data.decode("utf-8", "surrogateescape")
    odd = sum("\udc80" <= char <= "\udcff" for char in text[:_SAMPLE_BYTES])
    return text if odd <= len(text[:_SAMPLE_BYTES]) * _ODD_SHARE else None


def _binary_summary(data: bytes, content_type: bytes, *, whole: bool) -> str:
    kind = media_type(content_type)
    if kind.endswith(_PROTOBUF):
        fields = protobuf_fields(data) if whole else None
        return f"protobuf, {fields}" if fields else f"protobuf ({kind})"
    name = binary_name(data)
    if name:
        return name
    return f"binary data ({kind})" if kind else "binary data"


def _by_type(text: str, kind: str, *, whole: bool) -> str:
    if len(text) > JSON_LIMIT_BYTES:
        return escape_lines(text)
    if kind.endswith(_JSON_SEQUENCE):
        return escape_lines(text.replace("\x1e", ""))
    if kind.endswith(("/json", "+json", "/x-json")) or (not kind and text.lstrip()[:1] in {"{", "["}):
        if _is_json(text, whole=whole):
            text = indent_json(text)
    elif kind == "application/x-www-form-urlencoded" and "=" in text:
        fields = parse_qsl(text, keep_blank_values=True, errors="surrogateescape")
        return "\n".join(f"{escape(name)} = {escape(value)}" for name, value in fields)
    return escape_lines(text)


def _is_json(text: str, *, whole: bool) -> bool:
    if not whole:
        return text.lstrip()[:1] in {"{", "["}
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def indent_json(text: str) -> str:
    """Breaks and indents, every token as it was: numbers and escapes are not rewritten.

    Works on JSON that was cut, too. What would grow too much, being hardly more than brackets, stays as it is.
    """
    out: list[str] = []
    depth = 0
    left = JSON_GROWTH_LIMIT * len(text) + _FREE_BLANKS
    tokens = (match[0] for match in _JSON_TOKEN.finditer(text))
    token = next(tokens, "")
    while token:
        following = next(tokens, "")
        if token in {"{", "["}:
            depth += 1
            shown = token if following in {"}", "]"} else f"{token}\n{_INDENT * min(depth, _MAX_INDENT)}"
        elif token in {"}", "]"}:
            depth = max(0, depth - 1)
            empty = bool(out) and out[-1] in {"{", "["}
            shown = token if empty else f"\n{_INDENT * min(depth, _MAX_INDENT)}{token}"
        else:
            comma = f",\n{_INDENT * min(depth, _MAX_INDENT)}"
            shown = comma if token == "," else ": " if token == ":" else token
        out.append(shown)
        left -= len(shown) - len(token)
        if left < 0:
            return text
        token = following
    return "".join(out)
