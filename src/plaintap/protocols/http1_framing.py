# SPDX-License-Identifier: Apache-2.0
"""How the body of an HTTP/1 message with odd framing fields is read, and what request smuggling could make of it.

Messages that a strict parser takes need none of this: their framing is in http1_start.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from plaintap.messages import Headers

QUOTED_LIMIT = 40
"""Characters of a value that a note repeats."""
LENGTH_LIMIT = 1 << 62
"""A longer body is one without an end."""

_NUMBER = re.compile(rb"[ \t\x0b]*\+?([0-9]{1,40})")
_LONGEST_NUMBER = 19


@dataclass(frozen=True, slots=True)
class Framing:
    """`length` is None for chunks and for a body that lasts until the connection is closed."""

    chunked: bool = False
    length: int | None = None

    @property
    def words(self) -> str:
        """How the body was read."""
        if self.chunked:
            return "body read as chunks"
        if self.length is None:
            return "body read until the connection's end"
        return f"body read as {self.length} bytes" if self.length else "read without a body"


CHUNKED = Framing(chunked=True)
UNTIL_CLOSE = Framing()


def quoted(value: bytes) -> str:
    """A value for a note, cut; whoever shows it escapes it."""
    text = value.decode("utf-8", "backslashreplace")
    return f'"{text}"' if len(text) <= QUOTED_LIMIT else f'"{text[:QUOTED_LIMIT]}…"'


def _values(headers: Headers, lower_name: bytes) -> list[bytes]:
    return [value for name, value in headers if name.lower() == lower_name]


def transfer_notes(headers: Headers, *, version: str) -> list[str]:
    """What is odd about `Transfer-Encoding`; also for messages whose framing is beyond doubt."""
    values = _values(headers, b"transfer-encoding")
    if not values:
        return []
    notes = []
    joined = b", ".join(values)
    codings = [coding.strip(b" \t").lower() for coding in joined.split(b",")]
    if codings.count(b"chunked") > 1:
        notes.append(f"chunked more than once in Transfer-Encoding {quoted(joined)}")
    elif codings[-1] != b"chunked" and b"chunked" in joined.lower():
        notes.append(f"obfuscated Transfer-Encoding {quoted(joined)}")
    if version == "1.0":
        notes.append("Transfer-Encoding in HTTP/1.0")
    return notes


def framing_of(headers: Headers, *, is_request: bool, version: str, notes: list[str]) -> tuple[Framing, bool]:
    """By RFC 9112, 6.3, and where that says "reject", as the most do; and whether any field says something about it.

    What is odd is added to `notes`.
    """
    odd = transfer_notes(headers, version=version)
    lengths = _values(headers, b"content-length")
    length = _content_length(lengths, odd)
    transfers = _values(headers, b"transfer-encoding")
    transfer = b",".join(transfers).lower()
    if transfer.strip(b" \t,") and lengths:
        odd.append("both Transfer-Encoding and Content-Length")
    elif transfers and not transfer.strip(b" \t,"):
        odd.append("empty Transfer-Encoding")
    if transfer.rpartition(b",")[2].strip(b" \t\x0b\x0c\r") == b"chunked":
        framing = CHUNKED
    elif transfer.strip(b" \t,") and not is_request:
        framing = UNTIL_CLOSE
    elif length is not None:
        framing = Framing(length=length)
    else:
        framing = Framing(length=0) if is_request else UNTIL_CLOSE
    if is_request and transfer and not framing.chunked and not odd:
        odd.append(f"Transfer-Encoding {quoted(transfer)} of a request")
    notes += odd
    return framing, bool(lengths or transfers)


def _content_length(values: list[bytes], odd: list[str]) -> int | None:
    """The first that is a number, if only by a generous reading."""
    numbers = [number.strip(b" \t") for value in values for number in value.split(b",")]
    joined = quoted(b", ".join(values))
    if len(numbers) > 1:
        odd.append(f"{'differing' if len(set(numbers)) > 1 else 'repeated'} Content-Length {joined}")
    if any(not number.isdigit() or len(number) > _LONGEST_NUMBER for number in numbers):
        odd.append(f"Content-Length {joined} is no number" if numbers != [b""] else "empty Content-Length")
    for number in numbers:
        match = _NUMBER.match(number)
        if match:
            return min(int(match[1]), LENGTH_LIMIT)
    return None
