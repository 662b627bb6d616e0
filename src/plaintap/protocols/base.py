# SPDX-License-Identifier: Apache-2.0
"""What a protocol is made of and what it may ask of its connection; no protocol lives here.

`Parser` and `Outlet` say what the stage before offers and expects: it fits without being imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from plaintap.messages import Connection, Message


class Fit(Enum):
    """How the first bytes of a direction look to a protocol."""

    NO = 0
    MAYBE = 1
    """Too few bytes to tell."""
    YES = 2


class Parser(Protocol):
    """Makes messages out of the two byte streams of one connection; no clock, no I/O."""

    def receive(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        """The next bytes of one direction."""

    def gap(self, direction: int, ts_ns: int, missing_bytes: int, /) -> None:
        """So many bytes of one direction were lost here."""

    def flush(self, ts_ns: int, /) -> None:
        """Nothing has come for a while: emit what a person should see by now; more may follow."""

    def close(self, ts_ns: int, /) -> None:
        """Nothing more will come: emit everything, complete or not."""


class Outlet(Protocol):
    """A connection as its parser sees it."""

    connection: Connection
    emit: Callable[[Message], None]
    receive: Callable[[int, int, bytes], None]
    """`(direction, ts_ns, data)`: hands bytes up to the direction's end to whoever parses now."""

    def unclaimed(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        """The last bytes of one direction (up to its current end) are not this protocol's: show them raw."""

    def become(self, parser: Parser | None, /) -> None:
        """What follows goes to another parser; to None: it is recognised afresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolEntry:
    """A line of the registry."""

    name: str
    fit: Callable[[int, bytes], Fit]
    """`(direction, first bytes of a record)`; cheap, it is asked for every record nobody claims."""
    create: Callable[[int, bytes, Outlet, int], Parser]
    """`(direction, the bytes that fitted, outlet, body limit in bytes)`; they are received again."""
