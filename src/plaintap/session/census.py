# SPDX-License-Identifier: Apache-2.0
"""Who spoke, for a capture that shows no plaintext: sessions and processes counted from facts alone."""

from __future__ import annotations

import struct

from plaintap.events import (
    Fact,
    ProcessExited,
    Record,
    SecretLogged,
    SecretOwner,
    SecretsSeen,
    SessionEnded,
    SessionSeen,
    decode_fact,
)


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
        """The fact in a record, counted; None for plaintext and for what is no fact."""
        session, kind, _, _, raw, _ = record
        if session:
            return None
        try:
            fact = decode_fact(kind, raw)
        except (struct.error, ValueError):
            fact = None
        if fact is None:
            self.undecodable += 1
        elif isinstance(fact, SessionSeen):
            self._seen(fact)
        elif isinstance(fact, SecretsSeen | SecretLogged):
            self._seen(fact.owner)
        elif isinstance(fact, SessionEnded):
            self._open.pop(fact.session, None)
        elif isinstance(fact, ProcessExited):
            self._pids.discard(fact.pid)
        return fact

    def _seen(self, seen: SessionSeen | SecretOwner) -> None:
        known = self._open.get(seen.session)
        if known is None:
            self.connections += 1
            self.unattributed += seen.socket is None
        elif seen.socket and not known:
            self.unattributed -= 1
        self._open[seen.session] = seen.socket is not None or bool(known)
        if seen.pid not in self._pids:
            self._pids.add(seen.pid)
            self.processes += 1
