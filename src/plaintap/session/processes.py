# SPDX-License-Identifier: Apache-2.0
"""Which program and which container the processes are that speak: looked up live, read from a recording at a replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from plaintap.events import ProcessFacts
from plaintap.messages import Connection

REMEMBERED_MAX = 16384
Look: TypeAlias = Callable[[int, str], ProcessFacts]


class Processes:
    """`look` is asked once for each process and name; without it only what is told counts. `found` is told each."""

    def __init__(self, *, look: Look | None = None, found: Callable[[ProcessFacts], None] | None = None) -> None:
        self._look = look
        self._found = found
        self._facts: dict[int, ProcessFacts] = {}

    def tell(self, facts: ProcessFacts) -> None:
        """It is known from elsewhere."""
        if len(self._facts) >= REMEMBERED_MAX:
            del self._facts[next(iter(self._facts))]
        self._facts[facts.pid] = facts

    def describe(self, connection: Connection) -> None:
        """Adds what is known of its process."""
        facts = self._facts.get(connection.pid)
        if self._look and (facts is None or facts.comm != connection.comm):
            facts = self._look(connection.pid, connection.comm)
            self.tell(facts)
            if self._found:
                self._found(facts)
        if facts:
            connection.exe = facts.exe
            connection.container = facts.container

    def forget(self, pid: int) -> None:
        """It has ended: the number may be another's one day."""
        self._facts.pop(pid, None)
