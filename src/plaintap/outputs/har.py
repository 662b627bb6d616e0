# SPDX-License-Identifier: Apache-2.0
"""The har form: an entry of an HTTP Archive 1.2 per exchange, on a line; what surrounds them is har_document.py's.

An exchange that opened a WebSocket waits for its messages until the connection ends; how many may wait is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from plaintap.messages import ConnectionEnded, Exchange, HttpHead, Message, Request, Response, Totals, WebSocketMessage
from plaintap.outputs import who
from plaintap.outputs.base import DecodeBody, FormatOptions
from plaintap.outputs.grpcstatus import status_name
from plaintap.outputs.har_fields import form_fields, query_fields, request_cookies, response_cookies
from plaintap.outputs.har_parts import (
    Content,
    Entry,
    Field,
    HarGrpc,
    HarRequest,
    HarResponse,
    HarTimings,
    NoCache,
    PostData,
    SocketMessage,
)
from plaintap.outputs.har_sockets import OpenSockets, Said
from plaintap.outputs.json_connection import Parties
from plaintap.outputs.json_lines import IN, OUT, cleaned
from plaintap.outputs.sizes import NS_PER_S, count, exact_bytes
from plaintap.outputs.urls import HTTPS, absolute_url, opens_websocket, websocket_url
from plaintap.outputs.utctime import UtcTime
from plaintap.outputs.wiretext import BASE64, base64, body_text, clean, safe_json, wire_text

_NS_PER_MS = 1e6
_MILLISECONDS_END = len("2023-11-14T14:03:07.412")
_FORM = b"application/x-www-form-urlencoded"
_OPCODES = {"unknown": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
_UNKNOWN_VERSION = "HTTP/1.1"
_NAMES = frozenset((b"cookie", b"set-cookie", b"content-type", b"content-encoding", b"transfer-encoding", b"location"))
_NAME_BYTES = frozenset(map(len, _NAMES))
_FIELDS_MAX = 8192
_LONGEST_FIELD_BYTES = 1024
_NO_ANSWER = "no response was seen"
_NO_OPENING = "the opening of this WebSocket was not seen, or is in an entry before"
_encode_lines = msgspec.json.Encoder().encode_lines


UNKNOWN_HOST = "unknown.invalid"
"""Of a request that names no host, over a socket without an address (RFC 6761, 6.4: no such host can be)."""


class HarFormatter:
    """Whole bodies, as far as the parsers kept them; each entry is one line of JSON."""

    def __init__(self, *, clock_offset_ns: int, decode_body: DecodeBody) -> None:
        self.responses_left_out = 0
        """Responses whose request was not seen: a HAR has no place for them."""
        self.messages_left_out = 0
        """Messages of WebSockets whose opening was not seen."""
        self._clock = UtcTime(clock_offset_ns)
        self._decode_body = decode_body
        self._parties = Parties()
        self._sockets = OpenSockets()

    @classmethod
    def of(cls, options: FormatOptions) -> HarFormatter:
        """What the registry makes."""
        return cls(clock_offset_ns=options.clock_offset_ns, decode_body=options.decode_body)

    def set_clock_offset(self, clock_offset_ns: int) -> None:
        """From here on times of day are told with this offset."""
        self._clock.offset_ns = clock_offset_ns

    @property
    def remark(self) -> str:
        """What is not in the file and why, for people; "" when all is."""
        parts = []
        if self.responses_left_out:
            parts.append(f"{count(self.responses_left_out, 'response')} whose request was not seen")
        if self.messages_left_out:
            parts.append(f"{count(self.messages_left_out, 'WebSocket message')} whose opening was not seen")
        return " and ".join(parts)

    def format(self, message: Message) -> str:
        """See `outputs.base.Formatter`."""
        if isinstance(message, Exchange):
            return self._exchange(message)
        if isinstance(message, WebSocketMessage):
            return self._message(message)
        return self._ended(message) if isinstance(message, ConnectionEnded) else ""

    def summary(self, _totals: Totals) -> str:
        """WebSockets of connections whose end nobody told, as with `--count`."""
        return self._lines(self._sockets.end_all())

    def _exchange(self, exchange: Exchange) -> str:
        if exchange.request is None:
            self.responses_left_out += exchange.response is not None
            return ""
        if said := self._sockets.take(exchange):
            return self._line(exchange, said)
        if opens_websocket(exchange.request, exchange.response):
            return self._lines(self._sockets.add(exchange))
        return self._line(exchange)

    def _message(self, message: WebSocketMessage) -> str:
        opener = None
        if message.request is not None:
            asked = message.outgoing is (message.from_client is not False)
            opener = Exchange(message.connection, "http/1.1", asked, message.request, None, stream=message.stream)
        said = self._sockets.said(message.connection.session, message.stream, opener)
        if said is None:
            self.messages_left_out += 1
            return ""
        return self._lines(self._sockets.append(said, self._socket_message(message)))

    def _ended(self, ended: ConnectionEnded) -> str:
        lines = self._lines(self._sockets.end(ended.connection.session))
        self._parties.forget(ended.connection)
        return lines

    def _lines(self, sockets: Sequence[Said]) -> str:
        return "".join([self._line(said.exchange, said) for said in sockets])

    def _line(self, exchange: Exchange, said: Said | None = None) -> str:
        entry = self._entry(exchange)
        if said:
            entry.resource_type, entry.messages = "websocket", said.messages
            if exchange.response is None:
                entry.response.error = _NO_OPENING
        try:
            data = _encode_lines([entry])
        except UnicodeEncodeError:
            data = _encode_lines([cleaned(entry)])
        return safe_json(data).decode()

    def _entry(self, exchange: Exchange) -> Entry:
        request, response = exchange.request, exchange.response
        assert request is not None
        connection = exchange.connection
        _, process, where = self._parties.of(connection)
        timings = _timings(request, response)
        entry = Entry(
            f"{self._clock.text(request.first_ns)[:_MILLISECONDS_END]}Z",
            timings.send + timings.wait + timings.receive,
            self._request(exchange, request),
            self._response(response),
            NoCache(),
            timings,
            str(connection.session),
            process,
            where,
            OUT if exchange.outgoing else IN,
        )
        if socket := connection.socket:
            entry.server_address = socket.remote_address if exchange.outgoing else socket.local_address
        if exchange.stream:
            entry.stream, entry.pushed = exchange.stream, exchange.pushed
        if exchange.interim:
            entry.interim = exchange.interim
        if exchange.notes:
            entry.notes = exchange.notes
        if call := exchange.grpc:
            name = status_name(call.status)
            entry.grpc = HarGrpc(call.service, call.method, call.sent, call.received, call.status, name, call.message)
        return entry

    def _request(self, exchange: Exchange, request: Request) -> HarRequest:
        url = absolute_url(request)
        if request.target[:1] not in {"/", "*"}:
            # CONNECT's host:port, or a target that is unknown.
            url = url if "://" in url else f"{HTTPS}{url or _server(exchange)}"
        elif not url:
            url = f"{HTTPS}{_server(exchange)}{clean(request.target)}"
        if opens_websocket(request, exchange.response):
            url = websocket_url(url)
        headers, unknown = _fields(request.headers)
        named = _named(request)
        made = HarRequest(
            request.method,
            url,
            _version(request),
            request_cookies(named.get(b"cookie", ())),
            headers,
            query_fields(clean(request.target)),
            -1,
            request.body_bytes,
            None,
            request.missing_bytes,
            unknown,
        )
        if request.body_bytes:
            made.post_data = self._post_data(request, named)
        if request.trailers:
            made.trailers, _ = _fields(request.trailers)
        return made

    def _post_data(self, request: Request, named: dict[bytes, list[bytes]]) -> PostData:
        content, note = self._decoded(request, named)
        content_type = _first(named.get(b"content-type"))
        text = body_text(content, content_type, utf8=True)
        made = PostData(wire_text(content_type), base64(content) if text is None else text)
        if text is None:
            made.encoding = BASE64
        elif content_type[: len(_FORM)].lower() == _FORM:
            made.params = form_fields(text)
        made.comment = _comment(request, note)
        return made

    def _response(self, response: Response | None) -> HarResponse:
        if response is None:
            return HarResponse(0, "", _UNKNOWN_VERSION, (), (), Content(0, "x-unknown"), "", -1, -1, error=_NO_ANSWER)
        headers, unknown = _fields(response.headers)
        named = _named(response)
        redirect = _first(named.get(b"location")) if 300 <= response.status < 400 else b""
        made = HarResponse(
            response.status,
            response.reason,
            _version(response),
            response_cookies(named.get(b"set-cookie", ())),
            headers,
            self._content(response, named),
            wire_text(redirect),
            -1,
            response.body_bytes,
            response.missing_bytes,
            unknown,
        )
        if response.trailers:
            made.trailers, _ = _fields(response.trailers)
        return made

    def _content(self, response: Response, named: dict[bytes, list[bytes]]) -> Content:
        content_type = _first(named.get(b"content-type"))
        made = Content(0, wire_text(content_type) or "x-unknown")
        if not response.body_bytes:
            return made
        content, note = self._decoded(response, named)
        text = body_text(content, content_type, utf8=True)
        made.size = len(content)
        made.text = base64(content) if text is None else text
        if text is None:
            made.encoding = BASE64
        made.comment = _comment(response, note)
        if not made.comment:
            made.compression = len(content) - response.body_bytes
        return made

    def _decoded(self, head: HttpHead, named: dict[bytes, list[bytes]]) -> tuple[bytes, str]:
        # RFC 9112, 7: transfer codings may compress too.
        transfer = named.get(b"transfer-encoding")
        coded = b"content-encoding" in named or (transfer is not None and transfer != [b"chunked"])
        return self._decode_body(head.headers, head.body) if coded else (b"".join(head.body), "")

    def _socket_message(self, message: WebSocketMessage) -> SocketMessage:
        text = None if message.kind == "binary" else body_text(message.data, b"text/plain", utf8=True)
        return SocketMessage(
            "send" if message.outgoing else "receive",
            (message.first_ns + self._clock.offset_ns) / NS_PER_S,
            _OPCODES.get(message.kind, 0),
            base64(message.data) if text is None else text,
            message.close_code or 0,
        )


def _timings(request: Request, response: Response | None) -> HarTimings:
    send = max(0, request.last_ns - request.first_ns) / _NS_PER_MS
    if response is None:
        return HarTimings(-1, -1, -1, -1, send, 0, 0)
    wait = max(0, response.first_ns - request.last_ns) / _NS_PER_MS
    # Of a response that began before the request had ended, what came after.
    receive = max(0, response.last_ns - max(response.first_ns, request.last_ns)) / _NS_PER_MS
    return HarTimings(-1, -1, -1, -1, send, wait, receive)


def _version(head: HttpHead) -> str:
    version = head.version if "." in head.version else f"{head.version}.0"
    return f"HTTP/{version}"


def _fields(headers: Sequence[tuple[bytes, bytes]]) -> tuple[list[Field], int]:
    """Those whose name is known, and how many there are beside them."""
    known = [_FIELDS[field] for field in headers if field[0]]
    return known, len(headers) - len(known)


class _Fields(dict[tuple[bytes, bytes], Field]):
    """Remembered; bounded, and long ones, which strangers choose, are not kept."""

    def __missing__(self, field: tuple[bytes, bytes]) -> Field:
        name, value = field
        made = Field(wire_text(name), wire_text(value))
        if len(name) + len(value) <= _LONGEST_FIELD_BYTES:
            if len(self) >= _FIELDS_MAX:
                self.clear()
            self[field] = made
        return made


_FIELDS = _Fields()


def _named(head: HttpHead) -> dict[bytes, list[bytes]]:
    """The values of the fields that a HAR takes apart, by name, from one look at all."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in head.headers:
        if len(name) in _NAME_BYTES and (lower := name.lower()) in _NAMES:
            found.setdefault(lower, []).append(value)
    return found


def _first(values: list[bytes] | None) -> bytes:
    return values[0] if values else b""


def _comment(head: HttpHead, note: str) -> str:
    """What is not as it was, for people; "" when the body is whole."""
    more = max(0, head.body_bytes - head.missing_bytes - sum(map(len, head.body)))
    parts = [note] if note else []
    if more:
        parts.append(f"{exact_bytes(more)} left out")
    if head.missing_bytes:
        parts.append(f"{exact_bytes(head.missing_bytes)} lost")
    return "; ".join(parts)


def _server(exchange: Exchange) -> str:
    """Who was asked, as a URL may have it: a HAR's readers parse it."""
    socket = exchange.connection.socket
    if socket is None or not socket.remote_port:
        return UNKNOWN_HOST
    return who.server(socket, outgoing=exchange.outgoing)
