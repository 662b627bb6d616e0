# SPDX-License-Identifier: Apache-2.0
"""What every form and every sink of the output stage looks like; no form and no sink lives here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from plaintap.messages import Message

DecodeBody: TypeAlias = Callable[[list[tuple[bytes, bytes]], list[bytes]], tuple[bytes, str]]
"""`(headers, pieces as transferred) -> (bytes decoded as far as possible, note or "")`."""


def undecoded(_headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> tuple[bytes, str]:
    """The `DecodeBody` of one who has no decoders: the bytes as they were transferred."""
    return b"".join(pieces), ""


class Formatter(Protocol):
    """Turns messages into text; no clock, file or socket."""

    def format(self, message: Message) -> str:
        """Whole lines, each with its newline; "" when this form shows nothing for it.

        The text can be encoded as UTF-8 and is safe on a terminal: whatever a peer or another
        process chose is escaped.
        """
        ...


class Sink(Protocol):
    """Takes bytes in order. What could not be written is counted and told once.

    What a reader that has gone no longer wants is no loss and is not counted.
    """

    @property
    def dropped_writes(self) -> int:
        """How many `write`s did not arrive whole."""

    @property
    def dropped_bytes(self) -> int:
        """How many bytes did not arrive."""

    @property
    def failed(self) -> bool:
        """Whether it ever refused what it was given; a peer that was only too slow is no failure."""

    def write(self, data: bytes) -> None:
        """Keeps `data`, at the latest until `flush`. Never raises."""

    def flush(self) -> None:
        """Hands everything on; call it once per batch.

        Raises what went wrong since the last call: SinkClosed when the reader has gone, OutputError
        the first time writing failed.
        """

    def close(self) -> None:
        """Flushes and lets go; a second call does nothing. Raises OutputError as `flush` does."""


class SinkClosed(Exception):  # noqa: N818 - the reader had enough: an end, not an error
    """The reader of an output has gone (a closed pipe or terminal): the capture ends cleanly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatOptions:
    """What a form needs to know; the caller has already looked at the terminal and NO_COLOR."""

    clock_offset_ns: int = 0
    """Added to CLOCK_MONOTONIC it gives the time since the epoch."""
    width: int | None = None
    """Columns of the terminal; None when the output is none: nothing is cut."""
    color: bool = False
    verbose: int = 0
    """0 one line per exchange, 1 headers and bodies, 2 raw records too."""
    hex_dump: bool = False
    body_limit: int = 65536
    """Bytes of a decoded body to show; 0 is all of it."""
    filtered: bool = False
    """Some messages were left out on purpose: that nothing was shown of a connection means nothing."""
    numbered: bool = False
    """Each event says which one it is of its output."""
    name_peers: bool = False
    """Where the other end is a process of this host, it is named rather than its address."""
    decode_body: DecodeBody = undecoded
    decode_whole: DecodeBody = undecoded
    """Like `decode_body`, for forms that `body_limit` does not cut."""
