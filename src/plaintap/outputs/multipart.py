# SPDX-License-Identifier: Apache-2.0
"""Splits `multipart/*` bodies (RFC 2046, 5.1) into parts; what a part shows like is pretty.py's."""

from __future__ import annotations

import re
from dataclasses import dataclass

PARTS_LIMIT = 100
"""Parts shown of one body; the others are counted."""
HEAD_LIMIT_BYTES = 16384
"""Of one part; a longer one has none."""
BOUNDARY_LIMIT_BYTES = 256
"""RFC 2046 allows 70."""

_BOUNDARY = re.compile(rb";\s*boundary\s*=\s*(?:\"([^\"]*)\"|([^\s;\"]+))", re.IGNORECASE)
_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Part:
    """`head` is its header lines, as they were."""

    head: bytes
    body: bytes

    @property
    def content_type(self) -> bytes:
        """As its head says, b"" when it does not."""
        for line in self.head.split(b"\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-type":
                return value.strip()
        return b""


@dataclass(frozen=True, slots=True)
class Parts:
    """Those to show, how many more there are, and whether the last delimiter was there."""

    shown: list[Part]
    more: int
    complete: bool


def split(data: bytes, content_type: bytes) -> Parts | None:
    """None when this is no multipart body, by its type or by its bytes."""
    match = _BOUNDARY.search(content_type)
    boundary = (match[1] or match[2] or b"") if match else b""
    if not boundary or len(boundary) > BOUNDARY_LIMIT_BYTES:
        return None
    delimiter = re.compile(rb"(?:\A|\r?\n|(?<=\n))--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
    first = delimiter.search(data)
    if first is None:
        return None
    parts: list[Part] = []
    more = 0
    at, closed = first.end(), bool(first[1])
    while not closed and at < len(data):
        following = delimiter.search(data, at)
        end = following.start() if following else len(data)
        if len(parts) < PARTS_LIMIT:
            parts.append(_part(data[at:end]))
        else:
            more += 1
        if following is None:
            break
        at, closed = following.end(), bool(following[1])
    return Parts(parts, more, closed)


def _part(data: bytes) -> Part:
    if data.startswith((b"\r\n", b"\n")):
        return Part(b"", data.split(b"\n", 1)[1])
    match = _HEAD_END.search(data, 0, HEAD_LIMIT_BYTES)
    if match is None:
        return Part(b"", data)
    return Part(data[: match.start()], data[match.end() :])
