# SPDX-License-Identifier: Apache-2.0
"""Where one event ends in the bytes of a form: at a line feed, or after as many bytes as the length before it says.

What sinks need to know of a form: they cut, count and take back whole events, and look no further into them.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Protocol

_MORE = 0x80
_LENGTH_BYTES_MAX = 10


class Framing(Protocol):
    """Of bytes that begin with an event and end with one."""

    binary: bool

    def cut(self, data: bytes, *, bare: bool) -> tuple[list[bytes], list[int]]:
        """The events, and where each ends; with `bare` without what only tells one from the next."""

    def ends(self, data: bytes, limit_bytes: int) -> int:
        """How many bytes the events have that end within the first `limit_bytes`."""

    def count(self, data: bytes) -> int:
        """How many events end in it."""


class Lines:
    """One event per line."""

    binary = False

    def cut(self, data: bytes, *, bare: bool) -> tuple[list[bytes], list[int]]:
        """See `Framing`."""
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        ends = list(accumulate(len(line) + 1 for line in lines))
        return (lines if bare else [line + b"\n" for line in lines]), ends

    def ends(self, data: bytes, limit_bytes: int) -> int:
        """See `Framing`."""
        return data.rfind(b"\n", 0, limit_bytes) + 1

    def count(self, data: bytes) -> int:
        """See `Framing`."""
        return data.count(b"\n")


class Blocks(Lines):
    """Lines of which several may be one event: they stay together as they came."""

    def cut(self, data: bytes, *, bare: bool) -> tuple[list[bytes], list[int]]:
        """See `Framing`."""
        return [data], [len(data)]


class Delimited:
    """Before each event its length as a varint, as protobuf's writers of several messages do."""

    binary = True

    def cut(self, data: bytes, *, bare: bool) -> tuple[list[bytes], list[int]]:
        """See `Framing`."""
        places = self._places(data)
        ends = [end for _, end in places]
        if bare:
            return [data[start:end] for start, end in places], ends
        return [data[start:end] for start, end in pairwise([0, *ends])], ends

    def ends(self, data: bytes, limit_bytes: int) -> int:
        """See `Framing`."""
        last = 0
        for _, end in self._places(data):
            if end > limit_bytes:
                break
            last = end
        return last

    def count(self, data: bytes) -> int:
        """See `Framing`."""
        return len(self._places(data))

    def _places(self, data: bytes) -> list[tuple[int, int]]:
        places: list[tuple[int, int]] = []
        at, size = 0, len(data)
        while at < size:
            length, start = read_length(data, at)
            at = start + length
            if at > size:
                break
            places.append((start, at))
        return places


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """A varint and where it ends; beyond `data` where that is cut. Raises ValueError for one that is none."""
    value = 0
    for number in range(_LENGTH_BYTES_MAX):
        if at + number >= len(data):
            return 0, len(data) + 1
        byte = data[at + number]
        value |= (byte & ~_MORE) << 7 * number
        if byte < _MORE:
            return value, at + number + 1
    raise ValueError("a length of more than ten bytes")


def with_length(message: bytes) -> bytes:
    """The message behind its length."""
    length, head = len(message), bytearray()
    while length >= _MORE:
        head.append(length & ~_MORE & 0xFF | _MORE)
        length >>= 7
    head.append(length)
    return bytes(head) + message


LINES, BLOCKS, DELIMITED = Lines(), Blocks(), Delimited()
