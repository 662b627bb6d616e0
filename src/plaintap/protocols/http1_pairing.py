# SPDX-License-Identifier: Apache-2.0
"""Which response answers which request on one HTTP/1 connection, and what is kept of those that wait.

RFC 9112, 9.3.2: first in, first out. The requests come from http1_requests.py, the responses from http1_responses.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from plaintap.messages import Connection, Exchange, Message, Request, Response
from plaintap.parsing import BodyStream
from plaintap.protocols import bodystreams
from plaintap.protocols.options import ParserOptions

PENDING_LIMIT = 256
"""Requests whose response is awaited; one more and the oldest is shown without."""
PENDING_LIMIT_BYTES = 4 << 20
"""The same for the memory of all of them but the newest."""
TURNS_LIMIT = 1024
"""Requests shown without their response whose turn is remembered."""
INTERIM_LIMIT = 64
"""Interim responses shown of an exchange; the others are counted."""

NOTES_LIMIT = 32
"""Of one message."""

UNANSWERED_BY_BODY = ("HEAD", "CONNECT")

_NEXT = 0  # no id
_PROTOCOLS = {"1.1": "http/1.1", "1.0": "http/1.0"}
_OBJECT_BYTES = 48
"""About what an object takes beside what is in it."""


def text_of(raw: bytes) -> str:
    """Text off the wire; bytes that are no UTF-8 are spelled out."""
    return raw.decode("utf-8", "backslashreplace")


def protocol_of(version: str) -> str:
    return _PROTOCOLS.get(version) or f"http/{version}"


class Turn(Request, gc=False):
    """Stands for a pending request that was shown already, so that its response is not taken for the next one's."""


class Extras:
    """What few messages have, until their exchange is shown."""

    __slots__ = ("notes", "stream")

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stream: BodyStream | None = None


def _memory_bytes(request: Request) -> int:
    fields = sum(len(name) + len(value) for name, value in request.headers) + 3 * _OBJECT_BYTES * len(request.headers)
    return fields + sum(map(len, request.body)) + _OBJECT_BYTES * len(request.body) + len(request.target)


class Pairing:
    """What the readers of both directions share."""

    __slots__ = (
        "_options",
        "_pending_bytes",
        "_shown_early",
        "_sizes",
        "_turns",
        "connection",
        "early",
        "emit",
        "extras",
        "interim",
        "more_interim",
        "on_special",
        "outgoing",
        "pending",
        "pipelined",
        "special",
        "switched",
        "upgrading",
    )

    def __init__(
        self,
        connection: Connection,
        emit: Callable[[Message], None],
        *,
        outgoing: bool,
        on_special: Callable[[], None],
        options: ParserOptions,
    ) -> None:
        self._options = options
        self.extras: dict[int, Extras] = {}
        """By the id of a message that is not shown yet."""
        self.switched: Exchange | None = None
        """That ended in a 101."""
        self.connection = connection
        self.emit = emit
        self.on_special = on_special
        self.outgoing = outgoing
        self.pending: list[Request] = []
        """Oldest first; responses are taken from here without asking: see `one_more`."""
        self._turns = 0
        """How many of `pending`, the oldest, are turns."""
        self._sizes: deque[int] = deque()
        """Memory of each of `pending` but the newest."""
        self._pending_bytes = 0
        self.interim: list[int] = []
        """Statuses of interim responses to the oldest pending request."""
        self.more_interim = 0
        self._shown_early: Request | None = None
        self.early: Exchange | None = None
        """Answered in full while its request is still being sent."""
        self.pipelined = False
        self.special = 0
        """Pending requests that frame their response (HEAD, CONNECT) or ask for another protocol."""
        self.upgrading: Request | None = None

    def add_special(self) -> None:
        self.special += 1
        self.on_special()

    def is_special(self, request: Request) -> bool:
        return request.method in UNANSWERED_BY_BODY or request is self.upgrading

    def one_more(self) -> None:
        """A request was put behind others in `pending`: bounds them."""
        pending, sizes = self.pending, self._sizes
        while len(sizes) > len(pending) - 2:  # answered since
            self._pending_bytes -= sizes.popleft()
            self._turns -= bool(self._turns)
        size_bytes = _memory_bytes(pending[-2])
        sizes.append(size_bytes)
        self._pending_bytes += size_bytes
        while self._turns < len(sizes) and (
            len(pending) - self._turns > PENDING_LIMIT or self._pending_bytes > PENDING_LIMIT_BYTES
        ):
            self._show_oldest()
        if self._turns > TURNS_LIMIT:
            self._forget_oldest()

    def _show_oldest(self) -> None:
        at = self._turns
        request = self.pending[at]
        self.pending[at] = turn = Turn(method=request.method)
        if request is self.upgrading:
            self.upgrading = turn
        self._pending_bytes -= self._sizes[at]
        self._sizes[at] = 0
        self._turns += 1
        self.show(Exchange(self.connection, protocol_of(request.version), self.outgoing, request, None))

    def _forget_oldest(self) -> None:
        """Nobody answers."""
        self.special -= self.special > 0 and self.is_special(self.pending[0])
        del self.pending[0]
        self._sizes.popleft()
        self._turns -= 1

    def unanswered(self, *, leave: int = 0) -> None:
        """Emits the oldest pending requests without a response, all but `leave` of them."""
        while len(self.pending) > leave:
            request = self.pending.pop(0)
            if self.special and self.is_special(request):
                self.special -= 1
            if type(request) is not Turn:
                self.show(self.exchange(request, None, protocol_of(request.version)))

    def add_interim(self, status: int) -> None:
        if len(self.interim) < INTERIM_LIMIT:
            self.interim.append(status)
        else:
            self.more_interim += 1

    def exchange(self, request: Request | None, response: Response | None, protocol: str) -> Exchange:
        """With the interim responses there were."""
        interim, more = self.interim, self.more_interim
        self.interim, self.more_interim = [], 0
        return Exchange(self.connection, protocol, self.outgoing, request, response, interim, more)

    def emit_early(self) -> None:
        if self.early:
            exchange, self.early = self.early, None
            self._shown_early = exchange.request
            self.show(exchange)

    # What few messages have.

    def mark(self, head: Request | Response) -> Extras:
        """Its exchange takes the long way."""
        return self.extras.setdefault(id(head), Extras())

    def mark_next(self) -> None:
        """The exchange shown next takes the long way."""
        self.extras[_NEXT] = Extras()

    def add_note(self, head: Request | Response, note: str) -> None:
        if head is self._shown_early:
            return
        notes = self.mark(head).notes
        if note not in notes and len(notes) < NOTES_LIMIT:
            notes.append(note)

    def open_stream(self, head: Request | Response, request: Request | None) -> BodyStream | None:
        """What reads the body that follows `head`, if that is no ordinary one."""
        if type(request) is Turn:
            request = None
        context = bodystreams.StreamContext(self.connection, self.emit, self.outgoing, request, 0, self._options)
        stream = bodystreams.open_body_stream(head, context)
        if stream is not None:
            self.mark(head).stream = stream
        return stream

    def show(self, exchange: Exchange) -> None:
        """With what was kept of its messages."""
        if self.extras:
            asked = self.extras.pop(id(exchange.request), None) or Extras()
            answered = self.extras.pop(id(exchange.response), None) or Extras()
            self.extras.pop(_NEXT, None)
            exchange.notes = (*asked.notes, *answered.notes)
            if asked.stream is not None or answered.stream is not None:
                bodystreams.finish(exchange, asked.stream, answered.stream)
        self.emit(exchange)
