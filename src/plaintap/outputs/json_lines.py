# SPDX-License-Identifier: Apache-2.0
"""The json form: one object per line, for programs. Its fields are json_parts.py's, its documentation docs/schema.md.

`_exchange` runs once per exchange of the host: what it needs is remembered per connection and header field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw

from plaintap.events import WRITE
from plaintap.messages import (
    Connection,
    ConnectionEnded,
    Exchange,
    GrpcMessage,
    Lost,
    Message,
    RecordSeen,
    Request,
    Response,
    Secrets,
    ServerSentEvent,
    Totals,
    WebSocketMessage,
)
from plaintap.messages import Raw as RawBytes
from plaintap.outputs.base import DecodeBody, FormatOptions
from plaintap.outputs.handshakes import connection_of
from plaintap.outputs.json_bodies import NO_BODY, Bodies
from plaintap.outputs.json_connection import Parties, connection_part, process_part
from plaintap.outputs.json_headers import HeaderLists
from plaintap.outputs.json_parts import (
    VERSION,
    EndLine,
    ExchangeLine,
    LogLine,
    LostLine,
    Name,
    RawLine,
    RecordLine,
    RequestPart,
    ResponsePart,
    SecretsLine,
    SummaryLine,
    TextHeaders,
    Timings,
)
from plaintap.outputs.json_streams import StreamLines, call_part
from plaintap.outputs.suites import suite_name, version_name
from plaintap.outputs.urls import HTTPS, absolute_url, opens_websocket, websocket_url
from plaintap.outputs.utctime import UtcTime
from plaintap.outputs.wiretext import clean, safe_json, wire_text

OUT, IN = "out", "in"
_NS_PER_MS = 1e6
_FIELDS = 8192
_LONGEST_FIELD_BYTES = 1024
_encode_lines = msgspec.json.Encoder().encode_lines


class _Fields(dict[tuple[bytes, bytes], tuple[Name, Name]]):
    """Header fields as text, remembered; bounded, and long ones, which strangers choose, are not kept."""

    def __missing__(self, field: tuple[bytes, bytes]) -> tuple[Name, Name]:
        name, value = field
        text: tuple[Name, Name] = (wire_text(name), wire_text(value)) if name else (None, wire_text(value) or None)
        if len(name) + len(value) <= _LONGEST_FIELD_BYTES:
            if len(self) >= _FIELDS:
                self.clear()
            self[field] = text
        return text


class JsonFormatter:
    """One object per line, ASCII or UTF-8 without anything that could harm a terminal."""

    def __init__(
        self, *, clock_offset_ns: int, body_limit: int, decode_body: DecodeBody, numbered: bool = False
    ) -> None:
        """With `numbered` every line but the last says which one it is, from 1."""
        self._numbered = numbered
        self._seq = 0
        self._clock = UtcTime(clock_offset_ns)
        self._bodies = Bodies(limit=body_limit, decode_body=decode_body)
        self._fields = _Fields()
        self._headers = HeaderLists(self._fields.__getitem__)
        self._parties = Parties()
        self._streams = StreamLines(clock=self._clock, parties=self._parties, bodies=self._bodies)

    @classmethod
    def of(cls, options: FormatOptions) -> JsonFormatter:
        """What the registry makes."""
        return cls(
            clock_offset_ns=options.clock_offset_ns,
            body_limit=options.body_limit,
            decode_body=options.decode_body,
            numbered=options.numbered,
        )

    def set_clock_offset(self, clock_offset_ns: int) -> None:
        """From here on times of day are told with this offset."""
        self._clock.offset_ns = clock_offset_ns

    def format(self, message: Message) -> str:
        """See `outputs.base.Formatter`."""
        return self.encode([message]).decode()

    def encode(self, messages: Iterable[Message]) -> bytes:
        """The lines of many messages, in one piece: cheaper than one by one."""
        lines: list[msgspec.Struct] = [
            self._exchange(each) if type(each) is Exchange else self._line(each) for each in messages
        ]
        return self._encoded(lines)

    def log(self, text: str, *, ts_ns: int) -> bytes:
        """What we say of ourselves."""
        return self._encoded([LogLine(VERSION, self._clock.text(ts_ns), clean(text))])

    def _encoded(self, lines: list[msgspec.Struct]) -> bytes:
        if self._numbered:
            for number, line in enumerate(lines, self._seq + 1):
                line.seq = number  # type: ignore[attr-defined]
            self._seq += len(lines)
        try:
            data = _encode_lines(lines)
        except UnicodeEncodeError:
            data = _encode_lines([cleaned(line) for line in lines])
        return safe_json(data)

    def _line(self, message: Message) -> msgspec.Struct:
        if isinstance(message, Exchange):
            return self._exchange(message)
        if isinstance(message, WebSocketMessage):
            return self._streams.websocket(message)
        if isinstance(message, ServerSentEvent):
            return self._streams.event(message)
        if isinstance(message, GrpcMessage):
            return self._streams.grpc(message)
        if isinstance(message, Secrets):
            return self._secrets(message)
        return self._ended(message) if isinstance(message, ConnectionEnded) else self._bytes(message)

    def summary(self, totals: Totals) -> str:
        """The last line."""
        line = SummaryLine(
            VERSION,
            round(totals.duration_s, 6),
            totals.processes,
            totals.connections,
            totals.exchanges,
            totals.bytes,
            totals.lost_bytes,
            dict(totals.losses),
            totals.unattributed,
            totals.secret_sets,
        )
        return safe_json(_encode_lines([line])).decode()

    def _exchange(self, exchange: Exchange) -> ExchangeLine:
        request, response = exchange.request, exchange.response
        _, process, connection = self._parties.of(exchange.connection)
        first, last = request or response, response or request
        line = ExchangeLine(
            VERSION,
            self._clock.text(first.first_ns if first else 0),
            process,
            connection,
            OUT if exchange.outgoing else IN,
            exchange.protocol,
            self._request(request, response) if request else None,
            self._response(response) if response else None,
            _timings(request, response),
            self._clock.text(last.last_ns if last else 0),
            exchange.stream,
            exchange.pushed,
        )
        if exchange.interim:
            line.interim, line.more_interim = exchange.interim, exchange.more_interim
        if exchange.notes:
            line.notes = exchange.notes
        if exchange.grpc:
            line.grpc = call_part(exchange.grpc)
        return line

    def _request(self, request: Request, response: Response | None) -> RequestPart:
        seen, target = self._headers[tuple(request.headers)], request.target
        if target[:1] == "/" and seen.host and not request.authority and target.isascii():
            url = f"{HTTPS}{seen.host}{target}"  # as `absolute_url` has it, without looking for the host
        else:
            url = absolute_url(request)
        if opens_websocket(request, response):
            url = websocket_url(url)
        body, encoding, truncated, left_out, note = (
            self._bodies.of(request, seen.content_type, coded=seen.coded) if request.body_bytes else NO_BODY
        )
        return RequestPart(
            request.method or None,
            url or None,
            target or None,
            request.version,
            seen.encoded,
            body,
            encoding,
            request.body_bytes,
            request.missing_bytes,
            request.complete and not request.missing_bytes,
            truncated,
            left_out,
            note,
            self._texts(request.trailers) if request.trailers else (),
        )

    def _response(self, response: Response) -> ResponsePart:
        seen = self._headers[tuple(response.headers)]
        body, encoding, truncated, left_out, note = (
            self._bodies.of(response, seen.content_type, coded=seen.coded) if response.body_bytes else NO_BODY
        )
        return ResponsePart(
            response.status or None,
            response.reason,
            response.version,
            seen.encoded,
            body,
            encoding,
            response.body_bytes,
            response.missing_bytes,
            response.complete and not response.missing_bytes,
            truncated,
            left_out,
            note,
            self._texts(response.trailers) if response.trailers else (),
        )

    def _texts(self, headers: Sequence[tuple[bytes, bytes]]) -> TextHeaders:
        return [self._fields[field] for field in headers]

    def _bytes(self, message: RawBytes | RecordSeen | Lost) -> msgspec.Struct:
        start = self._start(message.connection, message.ts_ns)
        direction = OUT if message.direction == WRITE else IN
        if isinstance(message, Lost):
            return LostLine(*start, direction, message.offset, message.missing_bytes)
        data, encoding, truncated, left_out = self._bodies.payload(message.data, b"")
        size, offset = len(message.data), message.offset
        if isinstance(message, RecordSeen):
            return RecordLine(*start, direction, data, encoding, size, offset, message.tid, truncated, left_out)
        return RawLine(*start, direction, data, encoding, size, offset, truncated, left_out, message.protocol)

    def _ended(self, ended: ConnectionEnded) -> EndLine:
        start = self._start(ended.connection, ended.ts_ns)
        self._parties.forget(ended.connection)
        return EndLine(*start, ended.reason, ended.read_bytes, ended.written_bytes, ended.lost_bytes)

    def _secrets(self, secrets: Secrets) -> SecretsLine:
        version, cipher = version_name(secrets.version), suite_name(secrets.cipher)
        # Not by `_parties`: what is remembered of the connection may say more than its keys do.
        process, connection = process_part(whose := connection_of(secrets)), connection_part(whose)
        time = self._clock.text(secrets.owner.ts_ns)
        number = secrets.gathered or len(secrets.lines)
        return SecretsLine(VERSION, time, process, connection, number, version, cipher, secrets.missing)

    def _start(self, connection: Connection, ts_ns: int) -> tuple[int, str, Raw, Raw]:
        _, process, where = self._parties.of(connection)
        return VERSION, self._clock.text(ts_ns), process, where


def _timings(request: Request | None, response: Response | None) -> Timings:
    if request is None:
        response_ms = (response.last_ns - response.first_ns) / _NS_PER_MS if response else None
        return Timings(None, None, response_ms, None)
    first_ns, asked_ns = request.first_ns, request.last_ns
    if response is None:
        return Timings((asked_ns - first_ns) / _NS_PER_MS, None, None, None)
    answer_ns, last_ns = response.first_ns, response.last_ns
    return Timings(
        (asked_ns - first_ns) / _NS_PER_MS,
        (answer_ns - asked_ns) / _NS_PER_MS if answer_ns > asked_ns else 0,
        (last_ns - answer_ns) / _NS_PER_MS,
        (last_ns - first_ns) / _NS_PER_MS,
    )


def cleaned(value: object) -> object:
    """The same with text that can be encoded, for a line in which something could not; changes structs in place."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list | tuple):
        return [cleaned(each) for each in value]
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            setattr(value, name, cleaned(getattr(value, name)))
    return value
