# SPDX-License-Identifier: Apache-2.0
"""Who spoke, for a capture that shows no plaintext: sessions and processes counted from facts alone."""

from __future__ import annotations

import struct

from plaintap.events import (
    HEADER,
    SESSION_END,
    Fact,
    Kind,
    ProcessExited,
    Record,
    SecretLogged,
    SecretsHead,
    SecretsSeen,
    SessionSeen,
    decode_fact,
)

_SESSION_END = int(Kind.SESSION_END)
OPEN_MAX = 65536
"""Sessions remembered: where only keys are wanted, their ends are not told."""


class Census:
    """Counts; remembers numbers of what is open, nothing of what ended."""

    def __init__(self) -> None:
        self.processes = 0
        self.connections = 0
        self.unattributed = 0
        self.undecodable = 0
        self._open: dict[int, bool] = {}
        self._pids: set[int] = set()

    def take(self, record: Record) -> Fact | None:
        """The fact in a record, counted; None for plaintext, for an end, and for what is no fact."""
        session, kind, _, _, raw, _ = record
        if session:
            return None
        if kind == _SESSION_END and len(raw) >= SESSION_END.size:
            self._open.pop(int.from_bytes(raw[HEADER.size : HEADER.size + 8], "little"), None)
            return None
        try:
            fact = decode_fact(kind, raw)
        except (struct.error, ValueError):
            fact = None
        if fact is None:
            self.undecodable += 1
        elif isinstance(fact, (SecretsSeen, SecretLogged)):  # most of what comes here; a union is slower to ask for
            owner = fact.owner
            self._count(owner.session, owner.pid, attributed=owner.socket is not None)
        elif isinstance(fact, SessionSeen):
            self._count(fact.session, fact.pid, attributed=fact.socket is not None)
        elif isinstance(fact, ProcessExited):
            self._pids.discard(fact.pid)
        return fact

    def take_head(self, head: SecretsHead) -> None:
        """Who has these secrets, where the fact itself is not looked at."""
        self._count(head.session, head.pid, attributed=head.family != 0)

    def _count(self, session: int, pid: int, *, attributed: bool) -> None:
        known = self._open.get(session)
        if known is None:
            self.connections += 1
            self.unattributed += not attributed
        elif attributed and not known:
            self.unattributed -= 1
        self._open[session] = attributed or bool(known)
        if len(self._open) > OPEN_MAX:
            del self._open[next(iter(self._open))]
        if pid not in self._pids:
            self._pids.add(pid)
            self.processes += 1
