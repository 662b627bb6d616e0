# SPDX-License-Identifier: Apache-2.0
"""Beginnings too short to tell: how often they are looked at."""

from __future__ import annotations

from collections.abc import Callable

from plaintap.events import WRITE
from plaintap.messages import Connection, Message
from plaintap.parsing import Outlet, Parser
from plaintap.protocols.undecided import Undecided


class FakeOutlet:
    """Takes what is given up."""

    def __init__(self) -> None:
        self.connection = Connection(1, 2, 3, 0, "x")
        self.messages: list[Message] = []
        self.emit: Callable[[Message], None] = self.messages.append
        self.receive: Callable[[int, int, bytes], None] = self._receive
        self.shown = b""

    def _receive(self, _direction: int, _ts_ns: int, _data: bytes) -> None:
        raise AssertionError

    def unclaimed(self, _direction: int, _ts_ns: int, data: bytes, /, _protocol: str = "") -> None:
        self.shown += data

    def become(self, parser: Parser | None, /) -> None:
        assert parser is None


def test_a_beginning_in_tiny_records_takes_little_time() -> None:
    asked = 0

    def still(_direction: int, _head: bytes, outlet: Outlet) -> Parser:
        nonlocal asked
        asked += 1
        return Undecided(outlet, still)

    outlet = FakeOutlet()
    undecided = Undecided(outlet, still)
    for _ in range(10_000):
        undecided.receive(WRITE, 1, b"a")
    assert asked < 100
    undecided.flush(2)
    assert outlet.shown == b"a" * 10_000
