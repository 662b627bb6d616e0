# SPDX-License-Identifier: Apache-2.0
"""One connection: two byte streams put in order, their losses found, and the parser they go to.

Knows no protocol and no other connection (see connections.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plaintap.errors import where_of
from plaintap.events import READ, WRITE
from plaintap.messages import Connection, ConnectionEnded, Lost, Message, Raw
from plaintap.parsing import Parser, Recognise


@dataclass(slots=True)
class Losses:
    """What all workers of a capture count together, and who is told of failures."""

    lost_bytes: int = 0
    parser_failures: int = 0
    on_failure: Callable[[str], None] | None = None


class Worker:
    """The feeding loop reads and writes `end`, `last_ns` and `receive` directly: it is the hot path.

    `receive(direction, ts_ns, data)` takes bytes that are next in their direction, after `end` was moved over them.
    """

    __slots__ = (
        "_losses",
        "_parser",
        "_recognise",
        "_start",
        "closes_when_idle",
        "connection",
        "emit",
        "end",
        "idle_ticks",
        "last_ns",
        "lost",
        "receive",
        "ticked_ns",
    )

    def __init__(
        self,
        connection: Connection,
        emit: Callable[[Message], None],
        *,
        recognise: Recognise,
        losses: Losses,
        start: tuple[int, int] = (0, 0),
        closes_when_idle: bool = False,
    ) -> None:
        self.connection = connection
        self.emit = emit
        self.end = [start[READ], start[WRITE]]
        """The offset expected next, by direction."""
        self.lost = [0, 0]
        self.last_ns = 0
        self.ticked_ns = 0
        self.idle_ticks = 0
        self.closes_when_idle = closes_when_idle
        self.receive: Callable[[int, int, bytes], None] = self._unrecognised
        self._start = start
        self._parser: Parser | None = None
        self._recognise = recognise
        self._losses = losses

    # What a parser is offered (parsing.Outlet).

    def unclaimed(self, direction: int, ts_ns: int, data: bytes, /, protocol: str = "") -> None:
        if data:
            self.emit(Raw(self.connection, direction, ts_ns, self.end[direction] - len(data), data, protocol))

    def become(self, parser: Parser | None, /) -> None:
        self._parser = parser
        self.receive = parser.receive if parser else self._unrecognised

    # What the owner of all workers calls.

    def seen_bytes(self, direction: int) -> int:
        return self.end[direction] - self._start[direction] - self.lost[direction]

    def out_of_order(self, direction: int, offset: int, ts_ns: int, data: bytes) -> None:
        """A record whose offset is not the one expected: bytes before it were lost, or it is a repetition."""
        ahead = offset - self.end[direction]
        if ahead > 0:
            self.missing(direction, ts_ns, ahead)
        elif ahead < 0:
            data = data[-ahead:]
            if not data:
                return
        self.end[direction] += len(data)
        self.deliver(direction, ts_ns, data)

    def deliver(self, direction: int, ts_ns: int, data: bytes) -> None:
        try:
            self.receive(direction, ts_ns, data)
        except Exception as error:  # noqa: BLE001 - a parser's outer edge: what a peer sends must not end the capture
            self.parser_failed(error)
            self.unclaimed(direction, ts_ns, data)

    def missing(self, direction: int, ts_ns: int, missing_bytes: int) -> None:
        """Bytes from `end` on were lost."""
        self._losses.lost_bytes += missing_bytes
        self.lost[direction] += missing_bytes
        self.emit(Lost(self.connection, direction, ts_ns, self.end[direction], missing_bytes))
        if self._parser:
            try:
                self._parser.gap(direction, ts_ns, missing_bytes)
            except Exception as error:  # noqa: BLE001 - a parser's outer edge
                self.parser_failed(error)
        self.end[direction] += missing_bytes

    def flush(self, ts_ns: int) -> None:
        if self._parser:
            try:
                self._parser.flush(ts_ns)
            except Exception as error:  # noqa: BLE001 - a parser's outer edge
                self.parser_failed(error)

    def close(self, ts_ns: int, reason: str) -> None:
        """Everything of it is emitted, its end last."""
        if self._parser:
            try:
                self._parser.close(ts_ns)
            except Exception as error:  # noqa: BLE001 - a parser's outer edge
                self.parser_failed(error)
        self.become(None)
        self.emit(
            ConnectionEnded(
                self.connection, ts_ns, reason, self.seen_bytes(READ), self.seen_bytes(WRITE), sum(self.lost)
            )
        )
        del self.receive  # a bound method of its own: the worker would outlive its last reference until the next gc

    def parser_failed(self, error: Exception) -> None:
        """Counted and told, and the rest of the connection is shown raw."""
        losses = self._losses
        losses.parser_failures += 1
        self._parser = None
        self.receive = self.unclaimed
        if losses.on_failure:
            losses.on_failure(where_of(error))

    def _unrecognised(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        parser = self._recognise(direction, data, self)
        if parser is None:
            self.unclaimed(direction, ts_ns, data)
            return
        self.become(parser)
        parser.receive(direction, ts_ns, data)
