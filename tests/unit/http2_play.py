# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 connections made by hyper's `h2` and `hpack`, or frame by frame, and played as a capture of one end."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import hpack

from plaintap.events import READ, WRITE
from plaintap.messages import ConnectionEnded, Exchange, Lost, Message, Raw
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.registry import Registry
from plaintap.streams.connections import Connections

SESSION = 7
Piece = tuple[int, bytes]
Fields = Sequence[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BHBBI", len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def block(fields: Fields, encoder: hpack.Encoder | None = None) -> bytes:
    """A header block."""
    return bytes((encoder or hpack.Encoder()).encode(list(fields)))


def ask(path: str = "/", method: str = "GET", **more: str) -> list[tuple[str, str]]:
    head = [(":method", method), (":scheme", "https"), (":authority", "api.test"), (":path", path)]
    return head + [(name.replace("_", "-"), value) for name, value in more.items()]


def answer(status: int = 200, **more: str) -> list[tuple[str, str]]:
    return [(":status", str(status))] + [(name.replace("_", "-"), value) for name, value in more.items()]


class Peers:
    """A client, this process, and a server; `pieces` are what passed between them."""

    def __init__(self) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.pieces: list[Piece] = []
        self.client.initiate_connection()
        self.pass_on()
        self.server.initiate_connection()
        self.pass_on()

    def pass_on(self) -> None:
        """All that either has to say, until both are silent."""
        while sent := self.client.data_to_send():
            self.pieces.append((WRITE, sent))
            self.server.receive_data(sent)
            self._answer()
        self._answer()

    def _answer(self) -> None:
        if sent := self.server.data_to_send():
            self.pieces.append((READ, sent))
            self.client.receive_data(sent)

    def exchange(self, fields: Fields, answered: Fields, body: bytes = b"", upload: bytes = b"") -> int:
        number = int(self.client.get_next_available_stream_id())
        self.client.send_headers(number, list(fields), end_stream=not upload)
        if upload:
            self.client.send_data(number, upload, end_stream=True)
        self.pass_on()
        self.server.send_headers(number, list(answered), end_stream=not body)
        self.say(number, body)
        return number

    def say(self, number: int, body: bytes) -> None:
        """The body of a response, within what the windows let pass."""
        for start in range(0, len(body), 16000):
            self.server.send_data(number, body[start : start + 16000], end_stream=start + 16000 >= len(body))
            self.pass_on()
            self.client.acknowledge_received_data(len(body[start : start + 16000]), number)
            self.pass_on()
        self.pass_on()


@dataclass
class Player:
    """A capture of one connection: `say` is a record, `lose` one that never came, both in order of time."""

    body_limit: int = 1 << 20
    only: str | None = None
    messages: list[Message] = field(default_factory=list)
    now_ns: int = 0
    offset: list[int] = field(default_factory=lambda: [0, 0])

    def __post_init__(self) -> None:
        registry = Registry(ParserOptions(body_limit=self.body_limit), only=self.only)
        self.connections = Connections(self.messages.extend, registry.recognise)

    def say(self, direction: int, data: bytes) -> None:
        self.now_ns += 1
        self.connections.feed([(SESSION, direction, self.offset[direction], self.now_ns, data, 1)])
        self.offset[direction] += len(data)

    def lose(self, direction: int, size: int) -> None:
        self.offset[direction] += size

    def close(self) -> list[Message]:
        self.connections.close(self.now_ns + 1)
        assert self.connections.parser_failures == 0
        return [message for message in self.messages if not isinstance(message, ConnectionEnded)]


def play(pieces: Iterable[Piece], *, body_limit: int = 1 << 20) -> list[Message]:
    player = Player(body_limit=body_limit)
    for direction, data in pieces:
        player.say(direction, data)
    return player.close()


def exchanges(messages: Iterable[Message]) -> list[Exchange]:
    return [message for message in messages if isinstance(message, Exchange)]


def show(messages: Iterable[Message]) -> list[str]:
    """A message in one line, without its times; the bytes of raw ones are joined."""
    lines: list[str] = []
    raw = [bytearray(), bytearray()]
    for message in messages:
        if isinstance(message, Raw):
            raw[message.direction] += message.data
        elif isinstance(message, Exchange):
            lines.append(exchange_line(message))
        elif isinstance(message, Lost):
            lines.append(f"lost {message.missing_bytes}")
        else:
            lines.append(type(message).__name__)
    return lines + [f"raw {bytes(data)!r}" for data in raw if data]


def exchange_line(exchange: Exchange) -> str:
    request, response = exchange.request, exchange.response
    words = [f"{exchange.stream}", "->" if exchange.outgoing else "<-"]
    if request:
        body = b"".join(request.body)
        words += [request.method or "?", request.target or "?", *([repr(body)] if body else [])]
        words += ["incomplete"] * (not request.complete)
    words.append("=")
    if response:
        body = b"".join(response.body)
        words += [str(response.status or "?"), *([repr(body)] if body else [])]
        words += ["incomplete"] * (not response.complete)
    words += [f"lost {head.missing_bytes}" for head in (request, response) if head and head.missing_bytes]
    words += [f"({note})" for note in exchange.notes] + ["pushed"] * exchange.pushed
    return " ".join(words)
