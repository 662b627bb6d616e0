# SPDX-License-Identifier: Apache-2.0
"""WebSockets that are open, with what was said in them so far; a HAR has one entry for each, with all its messages.

Owns the bounds: of too many the one that is open for longest goes first, of too much the messages of the longest. What
follows in one of them is an entry of its own. What an entry looks like is har.py's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from plaintap.messages import Exchange
from plaintap.outputs.har_parts import SocketMessage

OPEN_MAX = 4096
"""WebSockets at once."""
HELD_BYTES = 32 << 20
"""Of their messages, all together."""
MESSAGE_BYTES = 200
"""What a message costs beside its data."""


@dataclass(slots=True)
class Said:
    """One WebSocket: the exchange that opened it, or its request alone, and its messages."""

    exchange: Exchange
    messages: list[SocketMessage] = field(default_factory=list)
    held_bytes: int = 0
    is_continued: bool = False
    """What was said before is in an entry that has gone."""


class OpenSockets:
    """By session and stream."""

    def __init__(self) -> None:
        # The oldest first.
        self._by_session: dict[int, dict[int, Said]] = {}
        self._open = 0
        self._held_bytes = 0

    def add(self, exchange: Exchange) -> list[Said]:
        """An exchange opened one; those that have to go for it."""
        self._new(exchange)
        return self._beyond_the_bounds()

    def said(self, session: int, stream: int, opener: Exchange | None) -> Said | None:
        """Where a message belongs; one that was not seen opening begins with `opener`, None without that."""
        found = self._by_session.get(session, {}).get(stream)
        return self._new(opener) if found is None and opener is not None else found

    def append(self, said: Said, message: SocketMessage) -> list[Said]:
        """A message of it; those that have to go for it."""
        size = len(message.data) + MESSAGE_BYTES
        said.messages.append(message)
        said.held_bytes += size
        self._held_bytes += size
        return self._beyond_the_bounds()

    def take(self, exchange: Exchange) -> Said | None:
        """What was said in the stream whose exchange this is: in HTTP/2 it comes when all is over."""
        if not exchange.stream:
            return None
        return self._remove(exchange.connection.session, exchange.stream)

    def end(self, session: int) -> list[Said]:
        """The connection has ended, and all its WebSockets."""
        ended = [self._remove(session, stream) for stream in list(self._by_session.get(session, ()))]
        return [said for said in ended if said and (said.messages or not said.is_continued)]

    def end_all(self) -> list[Said]:
        """Nothing more will come."""
        return [said for session in list(self._by_session) for said in self.end(session)]

    def _new(self, exchange: Exchange) -> Said:
        session = exchange.connection.session
        before = self._remove(session, exchange.stream)
        said = Said(exchange)
        if before:
            said.messages, said.held_bytes, said.is_continued = before.messages, before.held_bytes, before.is_continued
            self._held_bytes += said.held_bytes
        self._by_session.setdefault(session, {})[exchange.stream] = said
        self._open += 1
        return said

    def _remove(self, session: int, stream: int) -> Said | None:
        streams = self._by_session.get(session)
        said = streams.pop(stream, None) if streams else None
        if streams is None or said is None:
            return None
        if not streams:
            del self._by_session[session]
        self._open -= 1
        self._held_bytes -= said.held_bytes
        return said

    def _beyond_the_bounds(self) -> list[Said]:
        gone = []
        while self._open > OPEN_MAX or self._held_bytes > HELD_BYTES:
            if self._open <= OPEN_MAX:
                gone.append(self._said_by_the_longest())
                continue
            oldest = next(iter(next(iter(self._by_session.values())).values())).exchange
            if said := self._remove(oldest.connection.session, oldest.stream):
                gone.append(said)
        return gone

    def _said_by_the_longest(self) -> Said:
        """It stays open: what opened it belongs to what follows, too."""
        every = (said for streams in self._by_session.values() for said in streams.values())
        longest = max(every, key=lambda said: said.held_bytes)
        before = replace(longest)
        self._held_bytes -= longest.held_bytes
        longest.messages, longest.held_bytes, longest.is_continued = [], 0, True
        return before
