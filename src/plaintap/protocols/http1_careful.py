# SPDX-License-Identifier: Apache-2.0
"""Reads the messages of HTTP/1 that httptools refuses, and stands in for its parser: same methods, same callbacks.

Slower and lenient, and it says what is odd. Heads are http1_heads.py's, framing http1_framing.py's, chunks
http1_chunks.py's.
"""

from __future__ import annotations

import re
from typing import Protocol

import httptools

from plaintap.messages import Headers
from plaintap.protocols.http1_chunks import Chunks
from plaintap.protocols.http1_framing import Framing, framing_of
from plaintap.protocols.http1_heads import OddHead, parse_first_line, parse_head
from plaintap.protocols.http1_limits import HEAD_LIMIT_BYTES, HttpError

_HEAD_END = re.compile(rb"\n\r?\n")
_BLANK_LINES = re.compile(rb"[\r\n]+")
_FIRST_BYTES = 66
_METHOD_BEGUN = re.compile(rb"[!#-'*+\-.^_`|~0-9A-Za-z]{1,64}(?:[ \t]|\Z)")
_STATUS_BEGUN = b"HTTP/"
_BODYLESS = (204, 304)


class Listener(Protocol):
    """Whom a `Careful` tells: a reader of either direction."""

    def on_header(self, name: bytes, value: bytes, /) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, data: bytes, /) -> None: ...
    def on_message_complete(self) -> None: ...

    def on_first_line(self, second: bytes, /) -> None:
        """The target of a request, the reason of a response."""

    def on_note(self, note: str, /) -> None:
        """What is odd about the message in progress."""

    def may_have_body(self) -> bool:
        """Not the response to a HEAD: asked behind `on_headers_complete`."""


class Careful:
    """`offset` is where, in the bytes fed last, the message in progress or what cannot be read begins."""

    __slots__ = (
        "_chunks",
        "_framing",
        "_head",
        "_held",
        "_is_request",
        "_left",
        "_line_is_checked",
        "_listener",
        "_skip",
        "offset",
    )

    def __init__(self, listener: Listener, *, is_request: bool) -> None:
        self._listener = listener
        self._is_request = is_request
        self._held = bytearray()
        self._line_is_checked = False
        self._head = OddHead()
        self._framing: Framing | None = None
        """Of the body in progress."""
        self._chunks: Chunks | None = None
        self._left = 0
        self._skip = 0
        self.offset = 0

    # What httptools' parsers have.

    def feed_data(self, data: bytes) -> None:
        at = self.offset = 0
        while at < len(data):
            at = self._feed_head(data, at) if self._framing is None else self._feed_body(data, at)

    def get_method(self) -> bytes:
        return self._head.first

    def get_status_code(self) -> int:
        return int(self._head.first)

    def get_http_version(self) -> str:
        return self._head.version

    # What they have not.

    def begin_body(self, framing: Framing) -> None:
        """The next byte is the first of a body whose head is known."""
        self._framing = framing
        self._left = framing.length or 0
        self._chunks = Chunks(self._on_body, self._listener.on_note) if framing.chunked else None

    def catch_up(self, data: bytes, delivered_bytes: int) -> None:
        """Another parser gave up within the body of the message that `data` begins with, having told so much of it."""
        match = _HEAD_END.search(data)
        if match is None:
            raise HttpError("no end of the head")
        self._head = head = parse_head(data[: match.end()].lstrip(b"\r\n"), is_request=self._is_request)
        notes = head.notes
        framing, names_framing = framing_of(
            head.headers, is_request=self._is_request, version=head.version, notes=notes
        )
        if names_framing and notes:
            notes.append(framing.words)
        self._tell(notes)
        self.begin_body(framing)
        self._skip = delivered_bytes
        at = self._feed_body(data, match.end())
        while at < len(data):
            at = self._feed_head(data, at) if self._framing is None else self._feed_body(data, at)

    @property
    def framing(self) -> Framing | None:
        """How the body in progress is read."""
        return self._framing

    def take_held(self) -> bytes:
        """The bytes fed earlier of a head that is not complete."""
        held = bytes(self._held)
        self._held.clear()
        return held

    # One part of a message; each returns where the next begins.

    def _feed_head(self, data: bytes, start: int) -> int:
        self.offset = start
        held = self._held
        if not held:
            # RFC 9112, 2.2: empty lines before a message are not part of it.
            blank = _BLANK_LINES.match(data, start)
            start = self.offset = blank.end() if blank else start
        searched = max(0, len(held) - 2)
        room = HEAD_LIMIT_BYTES - len(held)
        if held:
            tail = bytes(held[searched:]) + data[start : start + room]
            match = _HEAD_END.search(tail)
            end = start + match.end() - (len(held) - searched) if match else -1
        else:
            match = _HEAD_END.search(data, start, start + room)
            end = match.end() if match else -1
        if end < 0:
            if len(data) - start > room:
                raise HttpError("head too long")
            self._check_beginning(data[start:])
            held += data[start:]
            return len(data)
        whole = bytes(held) + data[start:end]
        self._head = head = parse_head(whole, is_request=self._is_request)
        held.clear()
        self._line_is_checked = False
        self.offset = end
        return self._begin(head, end)

    def _check_beginning(self, data: bytes) -> None:
        """A head is not waited for where none has begun."""
        held = self._held
        if len(held) < _FIRST_BYTES:
            beginning = bytes(held) + data[:_FIRST_BYTES]
            if self._is_request:
                begins = not beginning or _METHOD_BEGUN.match(beginning) is not None
            else:
                begins = beginning.startswith(_STATUS_BEGUN[: len(beginning)])
            if not begins:
                raise HttpError("no beginning of a message")
        if not self._line_is_checked and b"\n" in data:
            self._line_is_checked = True
            line = (bytes(held) + data).partition(b"\n")[0].removesuffix(b"\r")
            parse_first_line(line, OddHead(), is_request=self._is_request)

    def _begin(self, head: OddHead, at: int) -> int:
        listener = self._listener
        bodyless, upgrades = self._exceptions(head)
        notes = head.notes
        framing, names_framing = framing_of(
            head.headers, is_request=self._is_request, version=head.version, notes=notes
        )
        if bodyless:
            framing = Framing(length=0)
        listener.on_first_line(head.second)
        for name, value in head.headers:
            listener.on_header(name, value)
        listener.on_headers_complete()
        self._tell(notes)
        if names_framing and notes and listener.may_have_body():
            listener.on_note(framing.words)
        if upgrades or framing.length == 0:
            listener.on_message_complete()
            if upgrades:
                raise httptools.HttpParserUpgrade(at)
        else:
            self.begin_body(framing)
        return at

    def _exceptions(self, head: OddHead) -> tuple[bool, bool]:
        """Whether there is no body whatever the fields say, and whether another protocol follows; as httptools does."""
        if self._is_request:
            return False, head.first == b"CONNECT" or _asks_to_upgrade(head.headers)
        status = int(head.first)
        return status < 200 or status in _BODYLESS, status == 101

    def _feed_body(self, data: bytes, start: int) -> int:
        assert self._framing is not None
        if self._chunks is not None:
            try:
                end = self._chunks.feed(data, start)
            finally:
                self.offset = self._chunks.line_at
            if end is None:
                return len(data)
            for name, value in self._chunks.trailers:
                self._listener.on_header(name, value)
        elif self._framing.length is None:
            self._on_body(data[start:] if start else data)
            return len(data)
        else:
            piece = data[start : start + self._left]
            end = start + len(piece)
            self._left -= len(piece)
            if piece:
                self._on_body(piece)
            if self._left:
                return end
        self._framing = self._chunks = None
        self.offset = end
        self._listener.on_message_complete()
        return end

    def _on_body(self, data: bytes) -> None:
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if data:
            self._listener.on_body(data)

    def _tell(self, notes: list[str]) -> None:
        for note in notes:
            self._listener.on_note(note)


def _asks_to_upgrade(headers: Headers) -> bool:
    connection = b",".join(value for name, value in headers if name.lower() == b"connection").lower()
    named = any(name.lower() == b"upgrade" for name, _ in headers)
    return named and b"upgrade" in (option.strip() for option in connection.split(b","))
