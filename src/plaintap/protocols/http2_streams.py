# SPDX-License-Identifier: Apache-2.0
"""The streams of one HTTP/2 connection: from header fields and data to exchanges, each emitted when both sides ended.

Frames, header compression and who is the client are http2.py's.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter

from plaintap.events import READ, WRITE
from plaintap.messages import Connection, Exchange, Message, Request, Response
from plaintap.parsing import BodyStream
from plaintap.protocols.bodystreams import StreamContext, finish, open_body_stream
from plaintap.protocols.hpack import Field
from plaintap.protocols.http2_heads import look_at_trailers, request_of, response_of
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.websocket import WebSocket

OPEN_LIMIT = 1000
"""Streams at once; one more and those silent for longest are shown as they are."""
ENDED_LIMIT = 1024
"""Streams that ended whose late frames are known to be theirs."""
KEPT_LIMIT_BYTES = 128 << 20
"""Of the fields and bodies of all streams that are open; beyond it bodies are kept no more, oldest first."""
TRAILERS_LIMIT_BYTES = 64 << 10
"""Of one message."""
TUNNEL_LIMIT_BYTES = 256 << 10
"""Of one WebSocket message in a stream, of which there may be many at once."""
_TOO_MUCH = "too much to keep of all streams"
NOTES_LIMIT = 32
"""Of one stream."""
INTERIM_LIMIT = 64
_KEPT_TYPE_BYTES = 256
_SMALL_BYTES = 64
_SMALL_PIECES = 1024
FIELDS_LIMIT = 1000
"""Fields kept of one header block."""

ERRORS = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)
"""RFC 9113, 7, by code."""


_name_of = itemgetter(0)


def error_name(code: int) -> str:
    """`CANCEL` of 8."""
    return ERRORS[code] if code < len(ERRORS) else f"error {code:#x}"


class Side:
    """One side of a stream: its message, as far as it came."""

    __slots__ = ("_joined_pieces", "_small_pieces", "body", "ended", "head", "keep_bytes", "lossy")

    def __init__(self, keep_bytes: int) -> None:
        self._small_pieces = 0
        self._joined_pieces = 0
        self.head: Request | Response | None = None
        self.body: BodyStream | None = None
        self.ended = False
        self.keep_bytes = keep_bytes
        self.lossy = False
        """Frames were lost that may have been its own."""

    def keep(self, pieces: list[bytes], piece: bytes) -> int:
        """As far as it is wanted. Small pieces are joined: they take many times the memory of what is in them."""
        size = min(len(piece), self.keep_bytes)
        pieces.append(piece[:size])
        self.keep_bytes -= size
        if size < _SMALL_BYTES:
            self._small_pieces += 1
            if self._small_pieces == _SMALL_PIECES:
                self._small_pieces = 0
                pieces[self._joined_pieces :] = [b"".join(pieces[self._joined_pieces :])]
                self._joined_pieces += 1
        return size


class Stream:
    """One exchange in progress."""

    __slots__ = (
        "answered",
        "asked",
        "interim",
        "kept_bytes",
        "more_interim",
        "notes",
        "number",
        "protocol",
        "pushed",
        "tunnel",
    )

    def __init__(self, number: int, keep_bytes: int) -> None:
        self.number = number
        self.asked = Side(keep_bytes)
        self.answered = Side(keep_bytes)
        self.interim: list[int] = []
        self.more_interim = 0
        self.notes: list[str] = []
        self.pushed = False
        self.protocol = b""
        """Of an extended CONNECT (RFC 8441)."""
        self.tunnel: WebSocket | None = None
        self.kept_bytes = 0

    def forget_bodies(self) -> int:
        """Keeps no more of them; how many bytes that was."""
        forgotten = 0
        for side in (self.asked, self.answered):
            if side.head is not None and side.head.body:
                forgotten += sum(map(len, side.head.body))
                side.head.body = []
                self.note(_TOO_MUCH)
            side.keep_bytes = 0
        self.kept_bytes -= forgotten
        return forgotten

    def note(self, note: str) -> None:
        """Once: a peer may give the same reason for ever."""
        if note not in self.notes and len(self.notes) < NOTES_LIMIT:
            self.notes.append(note)

    def turn_round(self) -> None:
        """What was taken for the client's is the server's: so far nothing told."""
        self.asked, self.answered = self.answered, self.asked
        for side, kind in ((self.asked, Request), (self.answered, Response)):
            old = side.head
            if old is not None:
                side.head = kind(
                    old.headers,
                    "2",
                    old.body,
                    old.body_bytes,
                    old.missing_bytes,
                    old.first_ns,
                    old.last_ns,
                    old.complete,
                )
                side.head.trailers = old.trailers


class Streams:
    """All of a connection. `outgoing`: this process is the client."""

    __slots__ = (
        "_connection",
        "_emit",
        "_ended",
        "_kept_bytes",
        "_last_asked",
        "_open",
        "_options",
        "_plain_types",
        "_unasked",
        "outgoing",
    )

    def __init__(
        self, connection: Connection, emit: Callable[[Message], None], *, outgoing: bool, options: ParserOptions
    ) -> None:
        self.outgoing = outgoing
        self._connection = connection
        self._emit = emit
        self._options = options
        self._open: dict[int, Stream] = {}
        self._ended: dict[int, None] = {}
        self._kept_bytes = 0
        self._last_asked = 0
        """The highest stream with a request that was seen."""
        self._unasked: list[int] = []
        """Streams answered in full whose request was not."""
        # By whether it is a request's: where content-type stood, and one that is no stream of messages.
        self._plain_types: list[tuple[int, Field]] = [(0, (b"", b"")), (0, (b"", b""))]

    def knows(self, number: int) -> bool:
        """Whether it is open, or has lately ended."""
        return number in self._open or number in self._ended

    def _get(self, number: int) -> Stream:
        stream = self._open.get(number)
        if stream is None:
            if len(self._open) >= OPEN_LIMIT:
                for silent in heapq.nsmallest(OPEN_LIMIT // 16, self._open.values(), key=self._last_ns):
                    self._cut(silent, f"more than {OPEN_LIMIT} streams at once", 0, goes_on=True)
            stream = self._open[number] = Stream(number, self._options.body_limit)
        return stream

    def begin(self, request: Exchange) -> None:
        """The request that was sent as HTTP/1 with `Upgrade: h2c` is stream 1 (RFC 7540, 3.2)."""
        side = self._get(1).asked
        side.head, side.ended = request.request, True

    def fields(self, number: int, fields: list[Field], ts_ns: int, *, first_ns: int, asks: bool, ends: bool) -> None:
        """A header block of the client (`asks`) or the server: a head, an interim response or trailers."""
        if number in self._ended and number not in self._open:
            return
        stream = self._get(number)
        side = stream.asked if asks else stream.answered
        if len(fields) > FIELDS_LIMIT:
            stream.note(f"fields beyond {FIELDS_LIMIT} are left out")
            fields = fields[:FIELDS_LIMIT]
        if side.head is not None:
            self._trailers(stream, side.head, fields)
            side.head.last_ns = ts_ns
        elif asks:
            self._last_asked = max(self._last_asked, number)
            side.head = self._request(stream, fields, ts_ns, first_ns)
            self._count_fields(stream, fields, ts_ns)
        else:
            notes: list[str] = []
            response = response_of(fields, notes)
            response.first_ns, response.last_ns = first_ns, ts_ns
            for note in notes:
                stream.note(f"response: {note}")
            if 100 <= response.status < 200:
                self._add_interim(stream, response.status)
                return
            side.head = response
            self._count_fields(stream, fields, ts_ns)
            if stream.protocol and 200 <= response.status < 300:
                self._open_tunnel(stream, response)
        if side.body is None and not side.head.trailers and not side.ended and stream.tunnel is None:
            self._open_body(stream, side, asks=asks)
        if ends:
            self._end(stream, side, ts_ns)

    def _request(self, stream: Stream, fields: list[Field], ts_ns: int, first_ns: int) -> Request:
        notes: list[str] = []
        request, stream.protocol = request_of(fields, notes)
        request.first_ns, request.last_ns = first_ns, ts_ns
        for note in notes:
            stream.note(f"request: {note}")
        return request

    @staticmethod
    def _add_interim(stream: Stream, status: int) -> None:
        if len(stream.interim) < INTERIM_LIMIT:
            stream.interim.append(status)
        else:
            stream.more_interim += 1

    def _open_body(self, stream: Stream, side: Side, *, asks: bool) -> None:
        head = side.head
        assert head is not None
        # Most have none, or one that the last message had too.
        headers = head.headers
        at, plain = self._plain_types[asks]
        if (at < len(headers) and headers[at] == plain) or b"content-type" not in map(_name_of, headers):
            return
        request = head if asks else stream.asked.head
        context = StreamContext(
            self._connection,
            self._emit,
            self.outgoing,
            request if isinstance(request, Request) else None,
            stream.number,
            self._options,
        )
        side.body = open_body_stream(head, context)
        if side.body is None:
            at = list(map(_name_of, headers)).index(b"content-type")
            if len(headers[at][1]) <= _KEPT_TYPE_BYTES:
                self._plain_types[asks] = at, headers[at]

    def _open_tunnel(self, stream: Stream, response: Response) -> None:
        """RFC 8441: what follows in both directions is another protocol."""
        request = stream.asked.head
        if stream.protocol == b"websocket" and isinstance(request, Request):
            stream.tunnel = WebSocket(
                self._connection,
                self._emit,
                outgoing=self.outgoing,
                request=request,
                response=response,
                stream=stream.number,
                options=replace(self._options, body_limit=min(self._options.body_limit, TUNNEL_LIMIT_BYTES)),
            )
            request.complete = response.complete = True
            self._emit(self._exchange(stream))

    def data(self, number: int, piece: bytes, ts_ns: int, *, asks: bool, ends: bool) -> None:
        """Some of a body; `ends` with the last of it."""
        stream = self._open.get(number)
        if stream is None:
            if number in self._ended:
                return
            stream = self._get(number)
        side = stream.asked if asks else stream.answered
        if piece:
            if stream.tunnel:
                stream.tunnel.receive(WRITE if asks == self.outgoing else READ, ts_ns, piece)
            elif side.ended:
                stream.note(f"{'request' if asks else 'response'}: DATA behind its end")
                return
            else:
                self._add(stream, side, piece, ts_ns, asks=asks)
        elif side.head is None:
            side.head = _unseen(ts_ns, asks=asks)
        if ends:
            self._end(stream, side, ts_ns)

    def _add(self, stream: Stream, side: Side, piece: bytes, ts_ns: int, *, asks: bool) -> None:
        head = side.head
        if head is None:
            head = side.head = _unseen(ts_ns, asks=asks)
        head.body_bytes += len(piece)
        head.last_ns = ts_ns
        if side.keep_bytes > 0:
            kept = side.keep(head.body, piece)
            stream.kept_bytes += kept
            self._kept_bytes += kept
        if side.body:
            side.body.receive(ts_ns, piece)
        if self._kept_bytes > KEPT_LIMIT_BYTES:
            self._make_room(stream, ts_ns)

    def _count_fields(self, stream: Stream, fields: list[Field], ts_ns: int) -> None:
        size_bytes = sum(len(name) + len(value) for name, value in fields)
        stream.kept_bytes += size_bytes
        self._kept_bytes += size_bytes
        if self._kept_bytes > KEPT_LIMIT_BYTES:
            self._make_room(stream, ts_ns)

    def _make_room(self, newest: Stream, ts_ns: int) -> None:
        """Bodies are kept no more, those of the stream that grows last; where that is not enough, streams are shown."""
        others = [stream for stream in self._open.values() if stream is not newest]
        for stream in (*others, newest):
            self._kept_bytes -= stream.forget_bodies()
            if self._kept_bytes <= KEPT_LIMIT_BYTES:
                return
        for stream in others:
            self._cut(stream, _TOO_MUCH, ts_ns, goes_on=True)
            if self._kept_bytes <= KEPT_LIMIT_BYTES:
                return

    def _cut(self, stream: Stream, why: str, ts_ns: int, *, goes_on: bool = False) -> None:
        """Shown as it is. What still comes of one that `goes_on` is shown by itself."""
        stream.note(why)
        self._close_bodies(stream, ts_ns or self._last_ns(stream))
        self._show(stream)
        if goes_on:
            self._ended.pop(stream.number, None)

    @staticmethod
    def _last_ns(stream: Stream) -> int:
        return max((side.head.last_ns for side in (stream.asked, stream.answered) if side.head), default=0)

    @staticmethod
    def _trailers(stream: Stream, head: Request | Response, fields: list[Field]) -> None:
        notes: list[str] = []
        look_at_trailers(fields, notes)
        if head.trailers:
            notes.append("trailers twice")
        before_bytes = sum(len(name) + len(value) for name, value in head.trailers)
        if before_bytes + sum(len(name) + len(value) for name, value in fields) <= TRAILERS_LIMIT_BYTES:
            head.trailers = [*head.trailers, *fields][:FIELDS_LIMIT]
        else:
            notes.append(f"beyond {TRAILERS_LIMIT_BYTES} bytes they are left out")
        for note in notes:
            stream.note(f"trailers: {note}")

    def lost(self, number: int, missing_bytes: int, ts_ns: int, *, asks: bool) -> None:
        """So many bytes of a body."""
        stream = self._open.get(number)
        if stream is None:
            return
        if stream.tunnel:
            stream.tunnel.gap(WRITE if asks == self.outgoing else READ, ts_ns, missing_bytes)
            return
        side = stream.asked if asks else stream.answered
        head = side.head
        if head is None:
            head = side.head = _unseen(ts_ns, asks=asks)
        head.missing_bytes += missing_bytes
        head.body_bytes += missing_bytes
        if _is_encoded(head):
            side.keep_bytes = 0  # a decoder has no use for what follows a hole
        if side.body:
            side.body.gap(ts_ns, missing_bytes)

    def out_of_step(self, missing_bytes: int, ts_ns: int, *, asks: bool) -> None:
        """Frames were lost, and nobody knows of which streams."""
        for stream in self._open.values():
            side = stream.asked if asks else stream.answered
            if side.ended:
                continue
            note = f"frames of the {'request' if asks else 'response'} may be lost"
            stream.note(note)
            if side.head:
                side.lossy = True
                side.keep_bytes *= not _is_encoded(side.head)
            if side.body:
                side.body.gap(ts_ns, missing_bytes)

    def promise(self, number: int, fields: list[Field], ts_ns: int, *, first_ns: int) -> None:
        """The server will answer a request that it makes up."""
        if self.knows(number):
            return
        stream = self._get(number)
        stream.pushed = True
        stream.asked.head = request = self._request(stream, fields, ts_ns, first_ns)
        request.complete = True
        stream.asked.ended = True

    def reset(self, number: int, code: int, ts_ns: int) -> None:
        """Whoever gave up, nothing more comes."""
        stream = self._open.get(number)
        if stream is None:
            return
        if code or not stream.answered.ended:
            stream.note(f"reset: {error_name(code)}")
        self._close_bodies(stream, ts_ns)
        self._show(stream)

    def refuse_beyond(self, last: int, ts_ns: int) -> None:
        """GOAWAY: what the client began after stream `last` is not answered."""
        for number in [number for number in self._open if number & 1 and number > last]:
            stream = self._open[number]
            self._cut(stream, "refused by GOAWAY", ts_ns)

    def note(self, text: str) -> None:
        """Of all that are open."""
        for stream in self._open.values():
            stream.note(text)

    def note_on(self, number: int, text: str) -> None:
        """Of one, while it is open."""
        if stream := self._open.get(number):
            stream.note(text)

    def turn_round(self) -> None:
        """The other side is the client."""
        for stream in self._open.values():
            stream.turn_round()

    def close(self, ts_ns: int) -> None:
        """Nothing more comes: all are shown."""
        for stream in list(self._open.values()):
            self._close_bodies(stream, ts_ns)
            self._show(stream)

    def _end(self, stream: Stream, side: Side, ts_ns: int) -> None:
        side.ended = True
        head = side.head
        if head is not None and not stream.tunnel:  # a tunnel's were shown, and change no more
            head.complete = not side.lossy or _has_its_length(head)
            head.last_ns = ts_ns
        if side.body:
            side.body.close(ts_ns)
        if not stream.answered.ended:
            return
        if stream.asked.ended or (stream.asked.head is None and stream.number <= self._last_asked):
            self._show(stream, ts_ns)
        elif stream.asked.head is None:
            self._unasked.append(stream.number)

    def flush(self) -> None:
        """Answers to requests that were not seen: where two threads use a connection, one may come a moment later."""
        for number in self._unasked:
            stream = self._open.get(number)
            if stream is not None and stream.asked.head is None:
                self._show(stream)
        self._unasked.clear()

    @staticmethod
    def _close_bodies(stream: Stream, ts_ns: int) -> None:
        for side in (stream.asked, stream.answered):
            if side.body and not side.ended:
                side.body.close(ts_ns)
            side.ended = True

    def _exchange(self, stream: Stream) -> Exchange:
        asked, answered = stream.asked.head, stream.answered.head
        assert asked is None or isinstance(asked, Request)
        assert answered is None or isinstance(answered, Response)
        notes: Sequence[str] = tuple(stream.notes) if stream.notes else ()
        return Exchange(
            self._connection,
            "h2",
            self.outgoing,
            asked,
            answered,
            stream.interim,
            stream.more_interim,
            stream.number,
            notes,
            stream.pushed,
        )

    def _show(self, stream: Stream, ts_ns: int = 0) -> None:
        del self._open[stream.number]
        self._kept_bytes -= stream.kept_bytes
        if len(self._ended) >= ENDED_LIMIT:
            del self._ended[next(iter(self._ended))]
        self._ended[stream.number] = None
        if stream.tunnel:
            stream.tunnel.close(ts_ns or (stream.answered.head.last_ns if stream.answered.head else 0))
            return
        if stream.asked.head is None and stream.answered.head is None:
            return
        exchange = self._exchange(stream)
        if stream.asked.body or stream.answered.body:
            finish(exchange, stream.asked.body, stream.answered.body)
        self._emit(exchange)


def _is_encoded(head: Request | Response) -> bool:
    return any(name.lower() == b"content-encoding" for name, _ in head.headers)


def _has_its_length(head: Request | Response) -> bool:
    """Whether it has as many bytes as it says."""
    lengths = [value for name, value in head.headers if name == b"content-length"]
    return bool(lengths) and lengths[0].isdigit() and len(lengths[0]) < 20 and int(lengths[0]) == head.body_bytes


def _unseen(ts_ns: int, *, asks: bool) -> Request | Response:
    """The head of a body that began before the capture."""
    kind = Request if asks else Response
    return kind([], "2", first_ns=ts_ns, last_ns=ts_ns)
