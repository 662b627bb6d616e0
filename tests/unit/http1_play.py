# SPDX-License-Identifier: Apache-2.0
"""Plays captures of one connection that speaks HTTP/1, and shows in a line each what came of them.

Records go the way they go in a capture, through the streams stage, so that offsets and raw bytes are checked too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from plaintap.events import WRITE
from plaintap.messages import ConnectionEnded, Exchange, Lost, Message, Raw, ServerSentEvent, WebSocketMessage
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.registry import Registry
from plaintap.streams.connections import Connections

GET = b"GET /a?b=1 HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\n6\r\n\nworld\r\n0\r\nX-Trailer: yes\r\n\r\n"
)
POST = b"POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\nwork"
HEAD = b"HEAD /h HTTP/1.1\r\n\r\n"
HEAD_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
CONNECT = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
FRAMES = b"\x81\x85mask....."
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsecret"
BAD = b"GET / HTTP/1.1\r\n\x00\r\n\r\n"

SESSION = 7
HELLO = "-> GET /a?b=1 = 200 'hello'"

Piece = tuple[int, bytes]


@dataclass
class Player:
    """A capture of one connection: `say` is a record, `lose` one that never came, both in order of time."""

    body_limit: int = 1 << 20
    messages: list[Message] = field(default_factory=list)
    now_ns: int = 0
    offset: list[int] = field(default_factory=lambda: [0, 0])
    said: list[bytearray] = field(default_factory=lambda: [bytearray(), bytearray()])

    def __post_init__(self) -> None:
        registry = Registry(ParserOptions(body_limit=self.body_limit))
        self.connections = Connections(self.messages.extend, registry.recognise)

    def say(self, direction: int, data: bytes) -> None:
        self.now_ns += 1
        self.connections.feed([(SESSION, direction, self.offset[direction], self.now_ns, data, 1)])
        self.offset[direction] += len(data)
        self.said[direction] += data

    def lose(self, direction: int, size: int) -> None:
        self.said[direction] += bytes(size)
        self.offset[direction] += size

    def close(self) -> list[Message]:
        self.connections.close(self.now_ns + 1)
        assert self.connections.parser_failures == 0
        ends = [message for message in self.messages if isinstance(message, ConnectionEnded)]
        assert ends == self.messages[-1:]
        return self.messages[: -len(ends)] if ends else []


def play(pieces: Iterable[Piece], **options: int) -> list[Message]:
    player = Player(**options)  # type: ignore[arg-type]
    for direction, data in pieces:
        player.say(direction, data)
    return player.close()


def show(messages: Iterable[Message]) -> list[str]:
    """A message in one line, without its times."""
    return [_line(message) for message in messages]


def raw_line(direction: int, offset: int, data: bytes) -> str:
    return f"raw {'wrote' if direction == WRITE else 'read'}@{offset} {data!r}"


def _line(message: Message) -> str:
    if isinstance(message, Exchange):
        request, response = message.request, message.response
        asked = "?" if request is None else f"{request.method} {request.target}{_state(request)}"
        answer = "?" if response is None else f"{response.status}{_state(response)}"
        interim = "".join(f"{status} " for status in message.interim)
        return f"{'->' if message.outgoing else '<-'} {asked} = {interim}{answer}"
    if isinstance(message, Raw):
        return raw_line(message.direction, message.offset, message.data)
    if isinstance(message, WebSocketMessage):
        return f"ws {'wrote' if message.outgoing else 'read'} {message.data!r}"
    if isinstance(message, ServerSentEvent):
        return f"event {message.event} {message.data!r}"
    if isinstance(message, Lost):
        return f"lost {'wrote' if message.direction == WRITE else 'read'}@{message.offset} {message.missing_bytes}"
    raise AssertionError(message)


def _state(head: object) -> str:
    body = b"".join(head.body)  # type: ignore[attr-defined]
    text = f" {body.decode()!r}" if body else ""
    if head.missing_bytes:  # type: ignore[attr-defined]
        text += f" -{head.missing_bytes}"  # type: ignore[attr-defined]
    return text if head.complete else f"{text} cut"  # type: ignore[attr-defined]


def play_lossy(steps: Iterable[tuple[int, bytes | int]], **options: int) -> list[Message]:
    """A number stands for so many bytes that were lost."""
    player = Player(**options)  # type: ignore[arg-type]
    for direction, step in steps:
        if isinstance(step, int):
            player.lose(direction, step)
        else:
            player.say(direction, step)
    return player.close()
