# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.0 and 1.1 on one connection: both directions driven, switched to other protocols, resynchronised after losses.

Reading messages is http1_reader.py's with http1_requests.py and http1_responses.py, pairing them http1_pairing.py's,
how they start http1_start.py's.
"""

from __future__ import annotations

from functools import partial

import httptools

from plaintap.events import READ, WRITE
from plaintap.messages import Request, Response
from plaintap.parsing import Outlet
from plaintap.protocols import upgrades
from plaintap.protocols.base import Fit, ProtocolEntry
from plaintap.protocols.http1_careful import Careful
from plaintap.protocols.http1_framing import transfer_notes
from plaintap.protocols.http1_limits import HttpError
from plaintap.protocols.http1_pairing import Pairing
from plaintap.protocols.http1_reader import NEVER_NS
from plaintap.protocols.http1_replay import end_of_messages
from plaintap.protocols.http1_requests import RequestReader
from plaintap.protocols.http1_responses import ResponseReader
from plaintap.protocols.http1_start import (
    REQUEST_START,
    RESPONSE_START,
    content_length,
    fit,
    is_chunked,
)
from plaintap.protocols.options import ParserOptions

_HELD_LIMIT_BYTES = 65536
_ANSWERS_LIMIT_BYTES = 256 << 10
_SWITCHES = b" 101"


class Http1:
    """`direction` is where `head`, the first bytes, came from: it says who asks whom."""

    __slots__ = (
        "_answers",
        "_answers_ns",
        "_has_left",
        "_held",
        "_held_bytes",
        "_holding",
        "_options",
        "_outlet",
        "_pairing",
        "_readers",
        "_requests",
        "_responses",
    )

    def __init__(self, direction: int, head: bytes, outlet: Outlet, options: ParserOptions) -> None:
        asking = 1 - direction if RESPONSE_START.match(head) else direction
        self._outlet = outlet
        self._options = options
        self._pairing = Pairing(
            outlet.connection,
            outlet.emit,
            outgoing=asking == WRITE,
            on_special=self._step_through_responses,
            options=options,
        )
        self._requests = RequestReader(self._pairing, body_limit=options.body_limit)
        self._responses = ResponseReader(self._pairing, body_limit=options.body_limit)
        self._readers: tuple[RequestReader | ResponseReader, RequestReader | ResponseReader] = (
            (self._requests, self._responses) if asking == READ else (self._responses, self._requests)
        )
        # Bytes behind a request for another protocol: whose they are, its response says.
        self._holding = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        # Answers to nothing: where two threads use a connection, the request may be seen a moment later.
        self._answers = bytearray()
        self._answers_ns = NEVER_NS
        # Feeding one direction may end in `_leave`, through the other one too: asked wherever feeding goes on.
        self._has_left = False

    def receive(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        if self._answers or (not self._responses.first_ns and not self._pairing.pending):
            self._receive_unasked(direction, ts_ns, data)
        else:
            self._read(direction, ts_ns, data)

    def _read(self, direction: int, ts_ns: int, data: bytes) -> None:
        reader = self._readers[direction]
        reader.now_ns = ts_ns
        reader.data = data
        between = not reader.first_ns
        try:
            if between:
                reader.first_ns = ts_ns
            elif reader.framing_bytes:
                reader.expect_work(data)
            reader.feed(data)
            if reader.first_ns:
                head = reader.head
                if head is not None:
                    head.last_ns = ts_ns
                    if not between:
                        reader.goes_on(head, data)
                else:
                    reader.keep_unfinished(reader.data or self._behind_messages(reader, data, between=between))
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(direction, ts_ns, data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, HttpError):
                raise error.__context__ or error from None
            self._refused(direction, data, between=between, why=str(error.__context__))
        except HttpError as error:
            self._refused(direction, data, between=between, why=str(error))

    def gap(self, direction: int, ts_ns: int, missing_bytes: int, /) -> None:
        self._release_answers()
        if self._has_left:
            return
        reader = self._readers[direction]
        if reader.seeking:
            return
        if reader.gap(ts_ns, missing_bytes):
            self._step_through_responses()
            return
        reader.incomplete(missing_bytes)
        self._give_back(direction, ts_ns)
        reader.restart()
        self._seek_from_here(direction)

    def flush(self, _ts_ns: int, /) -> None:
        self._release_answers()
        if self._has_left:
            return
        self._pairing.emit_early()
        self._requests.idle()
        self._responses.idle()

    def close(self, ts_ns: int, /) -> None:
        self._release_answers()
        if self._has_left:
            return
        responses = self._responses
        response = responses.head
        if response is not None:
            framing = responses.framing(response)
            if framing.length is None and not framing.chunked:
                for note in () if responses.careful else transfer_notes(response.headers, version="1.1"):
                    responses.on_note(note)
                responses.on_message_complete()
        self._leave(ts_ns)

    # Answers whose request was not seen yet.

    def _receive_unasked(self, direction: int, ts_ns: int, data: bytes) -> None:
        """While no request waits for its answer."""
        waits = not (self._requests.first_ns or self._responses.seeking)
        if self._readers[direction] is not self._responses or not (waits or self._answers):
            self._read(direction, ts_ns, data)
            if self._has_left or self._pairing.pending:
                self._release_answers()
            return
        if not self._answers:
            self._answers_ns = ts_ns
        begin = max(0, len(self._answers) - len(_SWITCHES))
        self._answers += data
        # What switches to another protocol must not do so on an idle tick, or as the connection ends.
        if len(self._answers) > _ANSWERS_LIMIT_BYTES or self._answers.find(_SWITCHES, begin) >= 0:
            self._release_answers()

    def _release_answers(self) -> None:
        """Their request is there, or is not to be waited for any longer."""
        if not self._answers:
            return
        answers, self._answers = bytes(self._answers), bytearray()
        if not self._has_left:
            self._read(1 - self._asking, self._answers_ns, answers)
        else:
            self._outlet.receive(READ if self._pairing.outgoing else WRITE, self._answers_ns, answers)

    # Other ways to feed a reader.

    def _seek_from_here(self, direction: int) -> None:
        reader = self._readers[direction]
        reader.seeking = True
        reader.feed = partial(self._seek, direction)

    def _seek(self, direction: int, data: bytes) -> None:
        """After a loss: raw until a record starts like a message."""
        reader = self._readers[direction]
        is_response = reader is self._responses
        reader.first_ns = NEVER_NS
        if not (RESPONSE_START if is_response else REQUEST_START).match(data):
            self._outlet.unclaimed(direction, reader.now_ns, data)
            return
        reader.restart()
        reader.first_ns = reader.now_ns
        if is_response:
            # One who waits for each answer has asked only the last one since the loss; else it cannot be told.
            self._pairing.unanswered(leave=0 if self._pairing.pipelined else 1)
            if not self._pairing.pending:
                self._release_requests()
                if self._has_left:
                    self._outlet.receive(direction, reader.now_ns, data)
                    return
            self._step_through_responses()
        reader.feed(data)

    def _step_through_responses(self) -> None:
        if self._pairing.special and not self._responses.seeking:
            self._responses.feed = self._step

    def _step(self, data: bytes) -> None:
        """Line by line: httptools frames a response without knowing its request, and heads end with a line."""
        reader = self._responses
        start = 0
        while start < len(data):
            reader.stepped = start
            if not reader.first_ns:
                reader.first_ns = reader.now_ns
                reader.data = data[start:]
            end = data.find(b"\n", start) + 1 or len(data)
            try:
                reader.parser.feed_data(data[start:end])
            except httptools.HttpParserUpgrade as upgrade:
                raise httptools.HttpParserUpgrade(start + upgrade.args[0]) from None
            if reader.answered:
                request, response = reader.answered
                reader.answered = None
                self._answered(request, response, end)
                if self._has_left:
                    if end < len(data):
                        self._outlet.receive(1 - self._asking, reader.now_ns, data[end:])
                    return
            start = end
        reader.stepped = 0
        reader.feed = self._step if self._pairing.special else reader.parser.feed_data

    def _answered(self, request: Request, response: Response, end: int) -> None:
        reader = self._responses
        accepted = request.method == "CONNECT" and 200 <= response.status < 300
        if (accepted or request.method == "HEAD") and reader.head is not None:
            # RFC 9112, 6.3: whatever its header says, it has no body.
            reader.restart()
            reader.head = response
            reader.on_message_complete()
        if accepted:
            raise httptools.HttpParserUpgrade(end)
        if request is self._pairing.upgrading or request.method == "CONNECT":
            self._release_requests()

    def _hold(self, data: bytes) -> None:
        self._requests.first_ns = NEVER_NS
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _HELD_LIMIT_BYTES:
            self._give_back(self._asking, self._requests.now_ns)

    # Switching protocols.

    @property
    def _asking(self) -> int:
        return self._readers.index(self._requests)

    def _upgrade(self, direction: int, ts_ns: int, rest: bytes) -> None:
        if direction != self._asking:
            self._switch(direction, ts_ns, rest)
            return
        request = self._pairing.pending[-1]
        if request.method != "CONNECT":
            self._pairing.upgrading = request
            self._pairing.add_special()
            length = content_length(request)
            if is_chunked(request) or length:
                self._requests.resume(request, length=length)
                self._requests.forget_pieces()
                if rest:
                    self._read(direction, ts_ns, rest)
                return
        self._holding = True
        self._requests.feed = self._hold
        if rest:
            self._hold(rest)

    def _release_requests(self) -> None:
        """It stays HTTP: what was held is requests."""
        self._pairing.upgrading = None
        if self._holding:
            self._holding = False
            held = self._take_held()
            self._requests.restart()
            if held and fit(self._asking, held) is Fit.NO:
                self._outlet.unclaimed(self._asking, self._responses.now_ns, held)
                self._seek_from_here(self._asking)
            elif held:
                self._read(self._asking, self._responses.now_ns, held)

    def _switch(self, direction: int, ts_ns: int, rest: bytes) -> None:
        """What follows in both directions is another protocol."""
        asking, held = self._asking, self._take_held()
        self._leave(ts_ns)
        switched = self._pairing.switched
        self._outlet.become(upgrades.parser_after(switched, self._outlet, self._options) if switched else None)
        if rest:
            self._outlet.receive(direction, ts_ns, rest)
        if held:
            self._outlet.receive(asking, ts_ns, held)

    # Ends.

    def _refused(self, direction: int, data: bytes, *, between: bool, why: str) -> None:
        """A parser can make nothing of what was just fed."""
        reader = self._readers[direction]
        ts_ns = reader.now_ns
        if reader.careful:
            assert isinstance(reader.parser, Careful)
            rest = reader.take_unfinished() + data[reader.stepped + reader.parser.offset :]
        elif reader.head is None:
            earlier = reader.take_unfinished()
            rest = earlier + (reader.data or self._behind_messages(reader, data, between=between))
            self._read_carefully(reader, direction, rest, first_ns=reader.first_ns if earlier else NEVER_NS)
            return
        else:
            message = self._message_in_progress(reader, data, between=between)
            if message:
                self._catch_up(reader, direction, message)
                return
            rest = data if reader.data or not between else self._behind_messages(reader, data, between=between)
        reader.forget_head()
        reader.on_note(f"cannot be read on: {why}")
        self._leave(ts_ns)
        self._outlet.unclaimed(direction, ts_ns, rest)
        self._outlet.become(None)

    def _read_carefully(
        self, reader: RequestReader | ResponseReader, direction: int, message: bytes, *, first_ns: int
    ) -> None:
        """From the message on that was refused; a direction that is odd once stays with the slower parser."""
        reader.careful = True
        reader.restart()
        reader.first_ns = first_ns
        if reader is self._responses:
            self._step_through_responses()
        self._read(direction, reader.now_ns, message)

    def _catch_up(self, reader: RequestReader | ResponseReader, direction: int, message: bytes) -> None:
        """The same, where the body of a message was refused whose head was not."""
        head = reader.head
        assert head is not None
        reader.careful = True
        reader.headers.clear()
        reader.parser = careful = Careful(reader, is_request=reader is self._requests)

        def feed(data: bytes) -> None:
            reader.stepped = 0
            reader.feed = careful.feed_data
            if reader is self._responses:
                self._step_through_responses()
            careful.catch_up(data, head.body_bytes)

        reader.feed = feed
        self._read(direction, reader.now_ns, message)

    def _message_in_progress(self, reader: RequestReader | ResponseReader, data: bytes, *, between: bool) -> bytes:
        """From its beginning; empty when that is in another record."""
        if reader.pieced is not None and reader.pieced is reader.head:
            return b"".join(reader.head_pieces) + reader.data
        if reader.data:
            return reader.data if between or len(reader.data) < len(data) else b""
        return self._behind_messages(reader, data, between=True) if between else b""

    def _behind_messages(self, reader: RequestReader | ResponseReader, data: bytes, *, between: bool) -> bytes:
        """The part of a record that follows its last complete message; all of it when that cannot be told."""
        if isinstance(reader.parser, Careful):
            return data
        if between:
            return data[end_of_messages(type(reader.parser), data) :]
        # Its last byte came now: it is not from long ago.
        if reader.pieced is not None and reader.pieced.last_ns == reader.now_ns:
            data = b"".join(reader.head_pieces) + data
            return data[end_of_messages(type(reader.parser), data) :]
        return data

    def _leave(self, ts_ns: int) -> None:
        """Emits everything there is, complete or not."""
        self._has_left = True
        self._responses.incomplete(0)
        self._requests.incomplete(0)
        self._pairing.emit_early()
        self._pairing.unanswered()
        for direction in (READ, WRITE):
            self._give_back(direction, ts_ns)
        self._requests.detach()
        self._responses.detach()
        del self._pairing.on_special  # a bound method too

    def _give_back(self, direction: int, ts_ns: int) -> None:
        reader = self._readers[direction]
        data = reader.take_unfinished()
        if reader is self._requests:
            data += self._take_held()
        self._outlet.unclaimed(direction, ts_ns, data)

    def _take_held(self) -> bytes:
        held = b"".join(self._held)
        self._held = []
        self._held_bytes = 0
        return held


HTTP1 = ProtocolEntry(name="http1", fit=fit, create=Http1)
