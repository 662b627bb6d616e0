# SPDX-License-Identifier: Apache-2.0
"""The direction of an HTTP/1 connection that asks: bytes to requests, each put among those that wait for an answer."""

from __future__ import annotations

import httptools

from plaintap.messages import Request
from plaintap.protocols.http1_careful import Careful
from plaintap.protocols.http1_framing import transfer_notes
from plaintap.protocols.http1_limits import FIELDS_LIMIT, HttpError
from plaintap.protocols.http1_pairing import UNANSWERED_BY_BODY, Pairing, text_of
from plaintap.protocols.http1_reader import NEVER_NS, Httptools, Reader, strict
from plaintap.protocols.http1_start import PLAIN_METHODS


class RequestReader(Reader[Request]):
    """Requests go to `pairing.pending` as soon as their head is complete."""

    __slots__ = ("_pending", "_url")

    NAME = "request"

    RESUME_LENGTH = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
    RESUME_CHUNKS = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"

    def __init__(self, pairing: Pairing, *, body_limit: int) -> None:
        self._url = b""
        self._pending = pairing.pending
        super().__init__(pairing, body_limit=body_limit)

    def new_parser(self) -> Httptools | Careful:
        self._url = b""
        return Careful(self, is_request=True) if self.careful else strict(httptools.HttpRequestParser(self))

    def on_first_line(self, target: bytes) -> None:
        """Of a `Careful`."""
        self.on_url(target)

    def on_url(self, url: bytes) -> None:
        if self._url:
            url = self._url + url
        elif not self.first_ns:
            self.first_ns = self.now_ns
        self._url = url

    def on_headers_complete(self) -> None:  # noqa: C901 - one piece: calls cost more than what they would hold
        if self._resuming:
            return
        parser = self.parser
        url = self._url
        method = parser.get_method()  # type: ignore[union-attr] # the other kind has other readers
        # Asking httptools for the version formats a string each time.
        is_usual = self.data.startswith(b"HTTP/1.1", len(method) + len(url) + 2)
        version = "1.1" if is_usual else parser.get_http_version()
        try:
            name = PLAIN_METHODS[method]
        except KeyError:
            name = text_of(method)
            if name in UNANSWERED_BY_BODY:
                self.pairing.add_special()
        headers = self.headers
        if len(headers) > FIELDS_LIMIT:
            raise HttpError("too many header fields")
        try:
            target = url.decode()
        except UnicodeDecodeError:
            target = text_of(url)
        now_ns = self.now_ns
        self.head = request = Request(
            headers[:], version, [], 0, 0, self.first_ns or now_ns, now_ns, False, name, target
        )
        if name != "GET" and (len(headers) <= self._type_at or headers[self._type_at] != self._plain_type):
            self.look_at_type(request, request)
        headers.clear()
        self._url = b""
        pending = self._pending
        pending.append(request)
        if self.body_limit or self._unfinished:
            self.begin(request)
        if len(pending) > 1:
            self.pairing.one_more()
        if version != "1.1" and not self.careful:
            for note in transfer_notes(request.headers, version=version):
                self.on_note(note)

    def on_message_complete(self) -> None:
        if self._resuming:
            return
        request = self.head
        if self.headers:
            self.add_trailers(request)  # type: ignore[arg-type] # a message ends behind a head
        if self.stream is not None:
            self.close_stream()
        request.complete = True  # type: ignore[union-attr]
        request.last_ns = self.now_ns  # type: ignore[union-attr]
        self.head = None
        self.first_ns = NEVER_NS
        self.data = b""
        if self.pairing.early:
            self.pairing.emit_early()

    def may_have_body(self) -> bool:
        return True

    def forget_head(self) -> None:
        self._url = b""

    def incomplete(self, missing_bytes: int) -> None:
        head = self.head
        if head is not None:
            head.missing_bytes += missing_bytes
            head.trailers = self.headers[:FIELDS_LIMIT]
            self.close_stream()
        elif self._url:
            request = Request(
                self.headers[:FIELDS_LIMIT],
                missing_bytes=missing_bytes,
                first_ns=self.first_ns,
                last_ns=self.now_ns,
                method=text_of(self.parser.get_method()),  # type: ignore[union-attr] # as above
                target=text_of(self._url),
            )
            if self.pairing.is_special(request):
                self.pairing.add_special()
            self._pending.append(request)
            if len(self._pending) > 1:
                self.pairing.one_more()
            self.take_unfinished()
        self.head = None
        self.first_ns = NEVER_NS
