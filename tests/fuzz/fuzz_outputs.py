# SPDX-License-Identifier: Apache-2.0
"""Every form on messages whose contents a peer chose: no exception, valid JSON, nothing that could harm a terminal."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from plaintap.events import Socket
from plaintap.messages import (
    Connection,
    ConnectionEnded,
    Exchange,
    GrpcCall,
    GrpcMessage,
    Lost,
    Message,
    Raw,
    RecordSeen,
    Request,
    Response,
    ServerSentEvent,
    WebSocketMessage,
)
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.registry import FORMATS
from plaintap.protocols.bodies import decode_body

SEEDS = [
    b"\x00\x10GET\x00/a?b=c\x00\x05Host\x00h\x00content-type\x00text/plain\x00\x07hello\xff\x1b[2J",
    b"\x01\x08cookie\x00a=1; b\x00set-cookie\x00a=b; expires=Wed, 21 Oct 2026 07:28:00 GMT\x00\xe2\x80\xae",
    b"\xff\x00content-encoding\x00gzip, br\x00\x1f\x8b\x08\x00\x00\x00\x00\x00",
    b'\x85\x20content-type\x00text/html; charset="utf-16"\x00\xff\xfe\x00\xd8a\x00\xed\xa0\x80',
    b'\x42\x03upgrade\x00websocket\x00host\x00a\x00{"a":[1,2]}',
]
LIMIT_BYTES = 1 << 16
NOTE = "odd"
"""Notes, names of protocols, versions and reasons are of our own making."""
SOCKET = Socket(7, 2, "10.0.0.1", 40001, "93.184.216.34", 443, 1, 5, 1)


class _Choices:
    """Pieces of the input, one after the other; empty ones when it is used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def piece(self) -> bytes:
        end = self._data.find(b"\0", self._at)
        end = len(self._data) if end < 0 else end
        piece, self._at = self._data[self._at : end], end + 1
        return piece

    def text(self) -> str:
        return self.piece().decode("utf-8", ("surrogateescape", "surrogatepass", "replace")[self.number() % 3 and 2])

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(self.piece(), self.piece()) for _ in range(self.number() % 6)]


def _utf8(text: str) -> str:
    """As protobuf's strings are."""
    return text.encode("utf-8", "replace").decode()


def _messages(data: bytes) -> list[Message]:
    take = _Choices(data)
    flags = take.number()
    connection = Connection(
        1,
        2,
        3,
        4,
        take.text(),
        0,
        take.text(),
        SOCKET if flags & 1 else None,
        take.text(),
        take.text(),
        alpn=take.text(),
    )
    text, body, headers = take.text(), take.piece(), take.headers()
    first, last = take.number(), take.number()
    about: dict[str, Any] = {
        "headers": headers,
        "body": [body, body],
        "body_bytes": 2 * len(body) + (flags & 2),
        "missing_bytes": flags & 4,
        "first_ns": first,
        "last_ns": last,
        "trailers": headers,
        "version": "2",
    }
    request = Request(**about, method=text, target=take.text(), authority=take.text())
    response = Response(**about, status=take.number() * 4 if flags & 8 else 101, reason=text)
    call = GrpcCall(text, text, 1, 2, take.number(), text)
    exchange = Exchange(
        connection, "h2", bool(flags & 16), request if flags & 32 else None, response if flags & 64 else None,
        notes=(NOTE,), stream=flags & 128, grpc=call,
    )  # fmt: skip
    web: dict[str, Any] = {"connection": connection, "data": body, "size_bytes": len(body) + (flags & 2)}
    said = WebSocketMessage(
        **web, outgoing=True, kind=("text", "binary", "close", "unknown")[flags & 3], first_ns=first, last_ns=last,
        close_code=first, note=NOTE, request=request, stream=flags & 128,
    )  # fmt: skip
    return [
        said,
        exchange,
        said,
        ServerSentEvent(connection, True, text, take.text(), 9, first, last, text, last, request=request, note=NOTE),
        GrpcMessage(
            **web,
            outgoing=True,
            from_client=True,
            first_ns=first,
            last_ns=last,
            service=text,
            method=text,
            number=1,
            fields={_utf8(text): [first, _utf8(text)]},
            note=NOTE,
        ),
        Raw(connection, flags & 1, first, last, body, "redis"),
        RecordSeen(connection, flags & 1, first, last, body, 3),
        Lost(connection, flags & 1, first, last, 3),
        ConnectionEnded(connection, first, "closed", 1, 2, 3),
    ]


def one(data: bytes) -> None:
    """Raises on anything but safe text, and on JSON that is none."""
    messages = _messages(data)
    for name, form in FORMATS.items():
        for verbose in (0, 2):
            options = FormatOptions(
                verbose=verbose,
                body_limit=7,
                hex_dump=bool(data[:1] > b"\x80"),
                decode_body=partial(decode_body, limit_bytes=LIMIT_BYTES),
                decode_whole=partial(decode_body, limit_bytes=LIMIT_BYTES),
            )
            formatter = form.make(options)
            for message in messages:
                text = formatter.format(message)
                text.encode()
                if text and not (text.endswith("\n") and text.replace("\n", "").replace("\t", "").isprintable()):
                    raise AssertionError(f"{name}: {text!r}")
                if name in {"json", "har"}:
                    for line in text.splitlines():
                        json.loads(line)
