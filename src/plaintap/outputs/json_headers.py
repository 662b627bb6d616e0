# SPDX-License-Identifier: Apache-2.0
"""Header lists as encoded JSON, with what the rest of a line needs of them: made once for lists that come again.

A client sends the same fields with most of its requests, a server with most of its responses of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import Raw

from plaintap.outputs.json_parts import Name
from plaintap.outputs.wiretext import wire_text

LISTS = 1024
LONGEST_LIST_BYTES = 2048
"""Strangers choose how long they are: longer ones are not kept."""
_CODINGS = (b"content-encoding", b"transfer-encoding")  # RFC 9112, 7: transfer codings may compress too
_encode = msgspec.json.Encoder().encode

_Field = tuple[bytes, bytes]


class SeenHeaders(NamedTuple):
    """What is asked of a list."""

    encoded: Raw
    content_type: bytes
    """The last one; b"" where there is none."""
    coded: bool
    """Whether the body may be compressed."""
    host: str
    """The first one; "" where there is none."""


class HeaderLists(dict[tuple[_Field, ...], SeenHeaders]):
    """By list; `text_of` makes text of a field."""

    def __init__(self, text_of: Callable[[_Field], tuple[Name, Name]]) -> None:
        super().__init__()
        self._text_of = text_of

    def __missing__(self, headers: tuple[_Field, ...]) -> SeenHeaders:
        seen = _see(headers, self._text_of)
        if len(seen.encoded) <= LONGEST_LIST_BYTES:
            if len(self) >= LISTS:
                self.clear()
            self[headers] = seen
        return seen


def _see(headers: tuple[_Field, ...], text_of: Callable[[_Field], tuple[Name, Name]]) -> SeenHeaders:
    content_type, coded, host = b"", False, None
    for name, value in headers:
        length = len(name)
        if length == 12:
            if name.lower() == b"content-type":
                content_type = value
        elif length == 4:
            if host is None and name.lower() == b"host":
                host = wire_text(value)
        elif 16 <= length <= 17 and value != b"chunked" and name.lower() in _CODINGS:
            coded = True
    return SeenHeaders(Raw(_encode([*map(text_of, headers)])), content_type, coded, host or "")
