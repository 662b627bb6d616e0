# SPDX-License-Identifier: Apache-2.0
"""What a connection's worker asks of a protocol parser and what it offers one; no parser and no worker lives here.

Both sides import this and neither the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from plaintap.messages import Connection, Message


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

    def unclaimed(self, direction: int, ts_ns: int, data: bytes, /, protocol: str = "") -> None:
        """The last bytes of one direction (up to its current end) are not this protocol's: show them raw.

        `protocol` names what they are, where that is known and nobody parses it.
        """

    def become(self, parser: Parser | None, /) -> None:
        """What follows goes to another parser; to None: it is recognised afresh."""


class BodyStream(Protocol):
    """Reads a body as it arrives, of whatever version of HTTP, and emits messages of its own."""

    def receive(self, ts_ns: int, data: bytes, /) -> None:
        """The next body bytes: chunked framing, padding and transfer codings removed, content codings not."""

    def gap(self, ts_ns: int, missing_bytes: int, /) -> None:
        """So many bytes of the body were lost here."""

    def close(self, ts_ns: int, /) -> None:
        """The body is over, or is not seen any more."""


Recognise: TypeAlias = Callable[[int, bytes, Outlet], Parser | None]
"""`(direction, first bytes, outlet) -> parser`, None when no protocol claims them."""
