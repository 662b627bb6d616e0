# SPDX-License-Identifier: Apache-2.0
"""One direction of an HTTP/1 connection: bytes to requests or responses, by httptools.

The common path is `feed`, bound to httptools itself, and five short callbacks; everything else (heads cut by a record,
gaps, bodies resumed, malformed input) is off that path. httptools is told to be strict, so that whatever is odd costs
the usual messages nothing; what it refuses, http1_careful.py reads in its place. Which response answers which request
is http1_pairing.py's, what a connection does between messages http1.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import httptools

from plaintap.messages import HttpHead, Request, Response
from plaintap.parsing import BodyStream
from plaintap.protocols.bodies import content_codings
from plaintap.protocols.http1_framing import Framing
from plaintap.protocols.http1_limits import FIELDS_LIMIT, HEAD_LIMIT_BYTES, HttpError
from plaintap.protocols.http1_pairing import Pairing
from plaintap.protocols.http1_start import framing_by_rule

if TYPE_CHECKING:
    from plaintap.protocols.http1_careful import Careful

_COPIED_LIMIT_BYTES = 256 << 20
_FOLD = re.compile(rb"[\r\n][ \t]")
_SMALL_BYTES = 64
_SMALL_PIECES = 1024
_LOOSE_NOTES_LIMIT = 16
_KEPT_TYPE_BYTES = 256

NEVER_NS = 0
_ANY_LENGTH = 1 << 62

Httptools = httptools.HttpRequestParser | httptools.HttpResponseParser
Head = TypeVar("Head", Request, Response)


def strict(parser: Httptools) -> Httptools:
    """Refuses what two readers could take for different messages; two mistakes of servers that nobody can mistake pass.

    RFC 9112, 9.6 and 7.1.1: data behind a closing message, blanks behind a chunk's size.
    """
    parser.set_dangerous_leniencies(lenient_keep_alive=True, lenient_spaces_after_chunk_size=True)
    return parser


class Reader(Generic[Head]):
    """Base of the two kinds; `on_*` are httptools' callbacks, looked up once when a parser is made.

    A message is in progress while `first_ns` is set; its head is complete once `head` is set.
    """

    __slots__ = (
        "_body_seen",
        "_copied_bytes",
        "_framed",
        "_joined",
        "_joined_pieces",
        "_keep_bytes",
        "_loose_notes",
        "_plain_type",
        "_resuming",
        "_small_pieces",
        "_type_at",
        "_unfinished",
        "body_limit",
        "careful",
        "data",
        "feed",
        "first_ns",
        "framing_bytes",
        "head",
        "head_pieces",
        "headers",
        "now_ns",
        "on_body",
        "on_header",
        "pairing",
        "parser",
        "pieced",
        "seeking",
        "stepped",
        "stream",
    )

    NAME: str
    """For notes."""

    RESUME_LENGTH: bytes
    RESUME_CHUNKS: bytes

    def __init__(self, pairing: Pairing, *, body_limit: int) -> None:
        self.pairing = pairing
        headers: list[tuple[bytes, bytes]] = []
        append = headers.append

        def on_header(name: bytes, value: bytes) -> None:
            append((name, value))

        self.headers = headers
        self.on_header = on_header
        self.on_body = self._keep_body if body_limit else self._count_body
        self.body_limit = body_limit
        self.data = b""
        """The record being parsed, from where its message begins; empty once a message of it has ended."""
        self.now_ns = NEVER_NS
        self.first_ns = NEVER_NS
        self.head: Head | None = None
        self.seeking = False
        self.careful = False
        """httptools refused a message of this direction: its parser is a `Careful` from there on."""
        self.stepped = 0
        """Where, in the record being parsed, what was fed last begins."""
        self.stream: BodyStream | None = None
        """Reads the body in progress, if that is one of messages of their own."""
        # Where the content-type stood when it was last looked for, and what it was: a peer seldom changes that.
        self._type_at = 0
        self._plain_type = (b"", b"")
        self._loose_notes: list[str] = []
        self.pieced: Head | None = None
        self.head_pieces: list[bytes] = []
        """The records before this one that the head of `pieced` was in; until the next record."""
        self.framing_bytes = 0
        """Length of a head, of trailers or of chunk framing in the records so far, while it is not complete."""
        self._framed: HttpHead | None = None
        self._body_seen = 0
        self._copied_bytes = 0
        self._keep_bytes = 0
        self._joined: Head | None = None
        self._small_pieces = 0
        self._joined_pieces = 0
        self._resuming = False
        self._unfinished: list[bytes] = []
        self.feed: Callable[[bytes], None]
        self.parser: Httptools | Careful
        self.restart()

    # Callbacks.

    def on_headers_complete(self) -> None:
        raise NotImplementedError

    def on_message_complete(self) -> None:
        raise NotImplementedError

    def _count_body(self, data: bytes) -> None:
        self.head.body_bytes += len(data)  # type: ignore[union-attr] # a body follows a head
        if self.stream is not None:
            self.stream.receive(self.now_ns, data)

    def _keep_body(self, data: bytes) -> None:
        head = self.head
        assert head is not None
        size = len(data)
        head.body_bytes += size
        if self.stream is not None:
            self.stream.receive(self.now_ns, data)
        keep = self._keep_bytes
        if keep > 0:
            head.body.append(data if size <= keep else data[:keep])
            self._keep_bytes = keep - size
            if size < _SMALL_BYTES:
                self._join_small(head)

    def _join_small(self, head: Head) -> None:
        """Small pieces take many times the memory of what is in them."""
        if head is not self._joined:
            self._joined = head
            self._small_pieces = self._joined_pieces = 0
        self._small_pieces += 1
        if self._small_pieces == _SMALL_PIECES:
            self._small_pieces = 0
            head.body[self._joined_pieces :] = [b"".join(head.body[self._joined_pieces :])]
            self._joined_pieces += 1

    def begin(self, head: Head) -> None:
        """Off the common path: what a head leaves to be set up."""
        self._keep_bytes = self.body_limit
        if self._unfinished:
            self.head_pieces = self._unfinished
            self.pieced = head
            self._unfinished = []
            self.framing_bytes = 0

    def look_at_type(self, head: Head, request: Request | None) -> None:
        """Opens a stream where the content-type asks for one; remembers an ordinary one."""
        for at, field in enumerate(head.headers):
            if len(field[0]) == 12 and field[0].lower() == b"content-type":
                self.stream = self.pairing.open_stream(head, request)
                if self.stream is None and len(field[1]) <= _KEPT_TYPE_BYTES:
                    self._type_at, self._plain_type = at, field
                return

    def close_stream(self) -> None:
        """The body is over, or no more of it will be seen."""
        if self.stream is not None:
            self.stream.close(self.now_ns)
            self.stream = None

    def on_note(self, note: str) -> None:
        """What is odd about the message in progress; of an interim response it goes to the next."""
        notes = self._loose_notes
        if len(notes) < _LOOSE_NOTES_LIMIT:
            notes.append(f"{self.NAME}: {note}")
        if self.head is not None:
            for text in notes:
                self.pairing.add_note(self.head, text)
            notes.clear()

    def add_trailers(self, head: Head) -> None:
        """RFC 9112, 7.1.2: fields behind the last chunk."""
        if len(self.headers) > FIELDS_LIMIT:
            raise HttpError("too many trailers")
        head.trailers = self.headers[:]
        self.headers.clear()

    # Around the callbacks.

    def new_parser(self) -> Httptools | Careful:
        """Nothing has been fed to it."""
        raise NotImplementedError

    def restart(self) -> None:
        """The next byte begins a message."""
        self.stepped = 0
        self.parser = parser = self.new_parser()
        self.headers.clear()
        self.head = None
        self.first_ns = NEVER_NS
        self.seeking = False
        self.feed = parser.feed_data

    def keep_unfinished(self, data: bytes) -> None:
        """The record ended in the middle of a head: should it prove to be none, its bytes are not lost."""
        if self.careful:
            return  # it keeps them itself
        if not self._unfinished:
            self._begin_framing()
        self._add_framing(data)
        self._unfinished.append(data)

    def goes_on(self, head: HttpHead, data: bytes) -> None:
        """The record ended behind a head; when it brought no body, it was chunk framing, trailers or that head."""
        if self.pieced is not None:
            self.forget_pieces()
        if head.body_bytes != self._body_seen:
            self._body_seen = head.body_bytes
            self.framing_bytes = 0
        elif head is not self._framed:
            self._framed = head
            self._begin_framing()
        else:
            self._add_framing(data)

    def idle(self) -> None:
        """Keeps nothing of messages that are over."""
        if self.head is None:
            self._framed = self._joined = None
        self.forget_pieces()

    def forget_pieces(self) -> None:
        """What is read next does not follow them."""
        self.pieced = None
        self.head_pieces = []

    def expect_work(self, data: bytes) -> None:
        """A value that continues is copied for each of its pieces and folded lines: before `data` is fed."""
        self._copied_bytes += self.framing_bytes * (1 + len(_FOLD.findall(data)))
        if self._copied_bytes > _COPIED_LIMIT_BYTES:
            raise HttpError("head in too many pieces")

    def _begin_framing(self) -> None:
        self.framing_bytes = 0
        self._copied_bytes = 0

    def _add_framing(self, data: bytes) -> None:
        if self.framing_bytes + len(data) > HEAD_LIMIT_BYTES:
            raise HttpError("head too long")
        if len(self.headers) > FIELDS_LIMIT:
            raise HttpError("too many header fields")
        self.framing_bytes += len(data)

    def take_unfinished(self) -> bytes:
        """The bytes of a head that is not complete: nothing was made of them."""
        data = b"".join(self._unfinished)
        self._unfinished = []
        self.framing_bytes = 0
        return self.parser.take_held() if self.careful else data  # type: ignore[union-attr] # a `Careful`

    def forget_head(self) -> None:
        """Nothing is to be made of a head that is not complete."""
        raise NotImplementedError

    def incomplete(self, missing_bytes: int) -> None:
        """The message in progress will not be completed; what is known of it is not lost."""
        raise NotImplementedError

    def resume(self, head: Head, *, length: int | None = None) -> None:
        """The next byte is the first of `length` body bytes of a message whose head is known; None for chunks."""
        first_ns = head.first_ns
        keep_bytes = self._keep_bytes
        self.restart()
        if self.careful:
            framing = Framing(chunked=length is None, length=length)
            self.parser.begin_body(framing)  # type: ignore[union-attr] # a `Careful`
        else:
            self._resuming = True
            self.parser.feed_data(self.RESUME_CHUNKS if length is None else self.RESUME_LENGTH % length)
            self._resuming = False
        self._keep_bytes = keep_bytes
        self.headers.clear()
        self.forget_head()
        self.head = head
        self.first_ns = first_ns
        head.complete = False

    def framing(self, head: Head) -> Framing:
        """How the body in progress is read."""
        known = self.parser.framing if self.careful else None  # type: ignore[union-attr] # a `Careful`
        return known or framing_by_rule(head)

    def gap(self, ts_ns: int, missing_bytes: int) -> bool:
        """True when the direction is still in step: the gap lies in a body whose end is known."""
        head = self.head
        if head is None:
            return False
        framing = self.framing(head)
        if framing.chunked:
            return False
        left = _ANY_LENGTH if framing.length is None else max(0, framing.length - head.body_bytes)
        inside = min(missing_bytes, left)
        self.now_ns = head.last_ns = ts_ns
        head.missing_bytes += inside
        head.body_bytes += inside
        if self.stream is not None:
            self.stream.gap(ts_ns, inside)
        if content_codings(head.headers):
            self._keep_bytes = 0  # a decoder has no use for what follows a hole
        if left == _ANY_LENGTH:
            return True
        if missing_bytes < left:
            self.resume(head, length=left - inside)
            return True
        self.restart()
        self.head = head
        self.on_message_complete()
        return missing_bytes == left

    def detach(self) -> None:
        """httptools holds bound methods of this, and this holds it: let go, so that no collector is needed."""
        del self.parser, self.feed, self.on_body, self.on_header
