# SPDX-License-Identifier: Apache-2.0
"""The direction of an HTTP/1 connection that answers: bytes to responses, each emitted with its request."""

from __future__ import annotations

import httptools

from plaintap.messages import Exchange, Request, Response
from plaintap.protocols.http1_careful import Careful
from plaintap.protocols.http1_framing import transfer_notes
from plaintap.protocols.http1_limits import FIELDS_LIMIT, HttpError
from plaintap.protocols.http1_pairing import Pairing, Turn, protocol_of, text_of
from plaintap.protocols.http1_reader import NEVER_NS, Httptools, Reader, strict

_FRAMING = (b"content-length", b"transfer-encoding")
_REASONS: dict[bytes, str] = {}
_REASONS_LIMIT = 256
_REASON_LIMIT_BYTES = 64


def _new_reason(raw: bytes) -> str:
    reason = text_of(raw)
    if len(_REASONS) < _REASONS_LIMIT and len(raw) < _REASON_LIMIT_BYTES:
        _REASONS[raw] = reason
    return reason


class ResponseReader(Reader[Response]):
    """A response takes its request when its head is complete and is emitted with it when its body is."""

    __slots__ = ("_emit", "_pending", "_reason", "_request", "answered")

    NAME = "response"

    RESUME_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    RESUME_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    def __init__(self, pairing: Pairing, *, body_limit: int) -> None:
        self._reason = b""
        self._pending = pairing.pending
        self._emit = pairing.emit
        self._request: Request | None = None
        self.answered: tuple[Request, Response] | None = None
        """The special request whose response's head was just completed, and that; http1.py takes it."""
        super().__init__(pairing, body_limit=body_limit)

    def new_parser(self) -> Httptools | Careful:
        self._reason = b""
        return Careful(self, is_request=False) if self.careful else strict(httptools.HttpResponseParser(self))

    def on_first_line(self, reason: bytes) -> None:
        """Of a `Careful`."""
        self.on_status(reason)

    def on_status(self, reason: bytes) -> None:
        if self._reason:
            reason = self._reason + reason
        elif not self.first_ns:
            self.first_ns = self.now_ns
        self._reason = reason

    def on_headers_complete(self) -> None:  # noqa: C901, PLR0912 - one piece: calls cost more than what they would hold
        if self._resuming:
            return
        parser = self.parser
        status = parser.get_status_code()  # type: ignore[union-attr] # the other kind has other readers
        headers = self.headers
        if len(headers) > FIELDS_LIMIT:
            raise HttpError("too many header fields")
        if status < 200:
            if status != 101:
                # httptools would read a body.
                if status < 100 or (not self.careful and any(name.lower() in _FRAMING for name, _ in headers)):
                    raise HttpError("an interim response has no body")
                self.pairing.add_interim(status)
                headers.clear()
                self._reason = b""
                if self._unfinished:
                    self.take_unfinished()
                return
            self.pairing.mark_next()
        version = "1.1" if self.data.startswith(b"HTTP/1.1") else parser.get_http_version()
        reason = _REASONS.get(self._reason)
        if reason is None:
            reason = _new_reason(self._reason)
        now_ns = self.now_ns
        self.head = response = Response(
            headers[:], version, [], 0, 0, self.first_ns or now_ns, now_ns, False, status, reason
        )
        try:
            looks = headers[self._type_at] != self._plain_type
        except IndexError:
            looks = True
        headers.clear()
        self._reason = b""
        pending = self._pending
        if pending:
            self._request = pending.pop(0)
            if pending:
                self.pairing.pipelined = True
            if self.pairing.special:
                self._answer_special(response)
        if looks:
            self.look_at_type(response, self._request)
        if self.body_limit or self._unfinished:
            self.begin(response)

    def on_message_complete(self) -> None:
        if self._resuming:
            return
        response = self.head
        if self.headers and response is not None:
            self.add_trailers(response)
        self.first_ns = NEVER_NS
        self.data = b""
        if response is None:
            self.headers.clear()
            return  # an interim response
        response.complete = True
        response.last_ns = self.now_ns
        self.head = None
        request = self._request
        pairing = self.pairing
        if (
            request is None
            or not request.complete
            or pairing.early
            or response.version != "1.1"
            or pairing.interim
            or pairing.extras
        ):
            self._emit_with_request(response)
        else:
            self._request = None
            self._emit(Exchange(pairing.connection, "http/1.1", pairing.outgoing, request, response, []))

    def may_have_body(self) -> bool:
        return self._request is None or self._request.method != "HEAD"

    def forget_head(self) -> None:
        self._reason = b""

    def incomplete(self, missing_bytes: int) -> None:
        response = self.head
        if response is not None:
            response.trailers = self.headers[:FIELDS_LIMIT]
        elif self._reason:
            response = Response(
                self.headers[:FIELDS_LIMIT],
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
        if type(request) is Turn:
            request = None
        pairing = self.pairing
        self.close_stream()
        if response.version != "1.1" and not self.careful:
            for note in transfer_notes(response.headers, version=response.version):
                pairing.add_note(response, f"{self.NAME}: {note}")
        exchange = pairing.exchange(request, response, protocol_of(response.version))
        if response.status == 101:
            pairing.switched = exchange
        if pairing.early:
            pairing.emit_early()
        if request is None or request.complete:
            pairing.show(exchange)
        else:
            pairing.early = exchange
