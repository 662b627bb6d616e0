# SPDX-License-Identifier: Apache-2.0
"""Requests and responses of one HTTP/1 connection, paired in order, and the two readers that meet here.

Owns which response answers which request (RFC 9112, 9.3.2: first in, first out) and when an exchange is emitted.
"""

from __future__ import annotations

from collections.abc import Callable

import httptools

from plaintap.messages import Connection, Exchange, Message, Request, Response
from plaintap.protocols.http1_reader import NEVER_NS, Reader
from plaintap.protocols.http1_start import PLAIN_METHODS

PENDING_LIMIT = 256
"""Requests whose response is awaited; one more and the oldest is shown without."""

_PROTOCOLS = {"1.1": "http/1.1", "1.0": "http/1.0"}
_REASONS: dict[bytes, str] = {}
_REASONS_LIMIT = 256
_UNANSWERED_BY_BODY = ("HEAD", "CONNECT")


def text_of(raw: bytes) -> str:
    """Text off the wire; bytes that are no UTF-8 are spelled out."""
    return raw.decode("utf-8", "backslashreplace")


class Pairing:
    """What the readers of both directions share."""

    __slots__ = (
        "connection",
        "early",
        "emit",
        "interim",
        "on_special",
        "outgoing",
        "pending",
        "pipelined",
        "special",
        "upgrading",
    )

    def __init__(
        self,
        connection: Connection,
        emit: Callable[[Message], None],
        *,
        outgoing: bool,
        on_special: Callable[[], None],
    ) -> None:
        self.connection = connection
        self.emit = emit
        self.on_special = on_special
        self.outgoing = outgoing
        self.pending: list[Request] = []
        self.interim: list[int] = []
        """Statuses of interim responses to the oldest pending request."""
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
        return request.method in _UNANSWERED_BY_BODY or request is self.upgrading

    def unanswered(self, *, leave: int = 0) -> None:
        """Emits the oldest pending requests without a response, all but `leave` of them."""
        while len(self.pending) > leave:
            request = self.pending.pop(0)
            if self.special and self.is_special(request):
                self.special -= 1
            protocol = _PROTOCOLS.get(request.version) or f"http/{request.version}"
            self.emit(Exchange(self.connection, protocol, self.outgoing, request, None, self.take_interim()))

    def take_interim(self) -> list[int]:
        interim = self.interim
        self.interim = []
        return interim

    def emit_early(self) -> None:
        if self.early:
            self.emit(self.early)
            self.early = None


class RequestReader(Reader[Request]):
    """Requests go to `pairing.pending` as soon as their head is complete."""

    __slots__ = ("_pending", "_url", "pairing")

    RESUME_LENGTH = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
    RESUME_CHUNKS = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"

    def __init__(self, pairing: Pairing, *, body_limit: int) -> None:
        self._url = b""
        self._pending = pairing.pending
        self.pairing = pairing
        super().__init__(body_limit=body_limit)

    def new_parser(self) -> httptools.HttpRequestParser:
        self._url = b""
        return httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        if self._url:
            url = self._url + url
        elif not self.first_ns:
            self.first_ns = self.now_ns
        self._url = url

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        parser = self.parser
        url = self._url
        method = parser.get_method()  # type: ignore[union-attr] # the other kind has other readers
        # httptools refuses targets that are not ASCII; asking it for the version formats a string each time.
        is_usual = self.data.startswith(b"HTTP/1.1", len(method) + len(url) + 2)
        version = "1.1" if is_usual else parser.get_http_version()
        try:
            name = PLAIN_METHODS[method]
        except KeyError:
            name = text_of(method)
            if name in _UNANSWERED_BY_BODY:
                self.pairing.add_special()
        headers = self.headers
        now_ns = self.now_ns
        self.head = request = Request(
            headers[:], version, [], 0, 0, self.first_ns or now_ns, now_ns, False, name, url.decode()
        )
        headers.clear()
        self._url = b""
        pending = self._pending
        pending.append(request)
        if self.body_limit or self._unfinished:
            self.begin(request)
        if len(pending) > PENDING_LIMIT:
            self.pairing.unanswered(leave=PENDING_LIMIT)

    def on_message_complete(self) -> None:
        if self._resuming:
            return
        request = self.head
        assert request is not None
        request.complete = True
        request.last_ns = self.now_ns
        self.head = None
        self.first_ns = NEVER_NS
        self.data = b""
        if self.headers:
            self.add_trailers(request)
        if self.pairing.early:
            self.pairing.emit_early()

    def forget_head(self) -> None:
        self._url = b""

    def incomplete(self, missing_bytes: int) -> None:
        head = self.head
        if head is not None:
            head.missing_bytes += missing_bytes
        elif self._url:
            request = Request(
                self.headers[:],
                missing_bytes=missing_bytes,
                first_ns=self.first_ns,
                last_ns=self.now_ns,
                method=text_of(self.parser.get_method()),  # type: ignore[union-attr] # as above
                target=text_of(self._url),
            )
            if self.pairing.is_special(request):
                self.pairing.add_special()
            self._pending.append(request)
            self.take_unfinished()
        self.head = None
        self.first_ns = NEVER_NS


class ResponseReader(Reader[Response]):
    """A response takes its request when its head is complete and is emitted with it when its body is."""

    __slots__ = ("_emit", "_pending", "_reason", "_request", "answered", "pairing")

    RESUME_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    RESUME_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def __init__(self, pairing: Pairing, *, body_limit: int) -> None:
        self._reason = b""
        self._pending = pairing.pending
        self._emit = pairing.emit
        self._request: Request | None = None
        self.answered: tuple[Request, Response] | None = None
        """The special request whose response's head was just completed, and that; http1.py takes it."""
        self.pairing = pairing
        super().__init__(body_limit=body_limit)

    def new_parser(self) -> httptools.HttpResponseParser:
        self._reason = b""
        return httptools.HttpResponseParser(self)

    def on_status(self, reason: bytes) -> None:
        if self._reason:
            reason = self._reason + reason
        elif not self.first_ns:
            self.first_ns = self.now_ns
        self._reason = reason

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        parser = self.parser
        status = parser.get_status_code()  # type: ignore[union-attr] # the other kind has other readers
        headers = self.headers
        if status < 200 and status != 101:
            self.pairing.interim.append(status)
            headers.clear()
            self._reason = b""
            if self._unfinished:
                self.take_unfinished()
            return
        version = "1.1" if self.data.startswith(b"HTTP/1.1") else parser.get_http_version()
        reason = _REASONS.get(self._reason)
        if reason is None:
            reason = text_of(self._reason)
            if len(_REASONS) < _REASONS_LIMIT:
                _REASONS[self._reason] = reason
        now_ns = self.now_ns
        self.head = response = Response(
            headers[:], version, [], 0, 0, self.first_ns or now_ns, now_ns, False, status, reason
        )
        headers.clear()
        self._reason = b""
        pending = self._pending
        if pending:
            self._request = pending.pop(0)
            if pending:
                self.pairing.pipelined = True
            if self.pairing.special:
                self._answer_special(response)
        if self.body_limit or self._unfinished:
            self.begin(response)

    def on_message_complete(self) -> None:
        if self._resuming:
            return
        response = self.head
        self.first_ns = NEVER_NS
        self.data = b""
        if response is None:
            self.headers.clear()
            return  # an interim response
        response.complete = True
        response.last_ns = self.now_ns
        self.head = None
        if self.headers:
            self.add_trailers(response)
        request = self._request
        pairing = self.pairing
        if request is None or not request.complete or pairing.early or response.version != "1.1" or pairing.interim:
            self._emit_with_request(response)
        else:
            self._request = None
            self._emit(Exchange(pairing.connection, "http/1.1", pairing.outgoing, request, response, []))

    def forget_head(self) -> None:
        self._reason = b""

    def incomplete(self, missing_bytes: int) -> None:
        response = self.head
        if response is None and self._reason:
            response = Response(
                self.headers[:],
                first_ns=self.first_ns,
                last_ns=self.now_ns,
                status=self.parser.get_status_code(),  # type: ignore[union-attr] # as above
                reason=text_of(self._reason),
            )
            if self._pending:
                self._request = self._pending.pop(0)
                self.pairing.special -= bool(self.pairing.special) and self.pairing.is_special(self._request)
            self.take_unfinished()
        self.head = None
        self.first_ns = NEVER_NS
        if response is not None:
            response.missing_bytes += missing_bytes
            self._emit_with_request(response)

    def _answer_special(self, response: Response) -> None:
        request = self._request
        if request is not None and self.pairing.is_special(request):
            self.pairing.special -= 1
            self.answered = request, response

    def _emit_with_request(self, response: Response) -> None:
        request = self._request
        self._request = None
        pairing = self.pairing
        interim = pairing.take_interim()
        version = response.version
        protocol = _PROTOCOLS.get(version) or f"http/{version}"
        exchange = Exchange(pairing.connection, protocol, pairing.outgoing, request, response, interim)
        if pairing.early:
            pairing.emit_early()
        if request is None or request.complete:
            self._emit(exchange)
        else:
            pairing.early = exchange
