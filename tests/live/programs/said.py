# SPDX-License-Identifier: Apache-2.0
"""What the message peers print of themselves, in one shape: harness/shown.py makes the same of plaintap's JSON lines.

An exchange is told by each end: who, over which socket, its heads with pseudo-fields taken out, each body by its count
and SHA-256. Knows no protocol.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

Fields = list[tuple[str, str]]
Digest = tuple[int, str]


def digest(data: bytes) -> Digest:
    return len(data), hashlib.sha256(data).hexdigest()


@dataclass(slots=True)
class Head:
    """A request or a response as one end had it; with HTTP/2's pseudo-fields."""

    fields: Fields = field(default_factory=list)
    trailers: Fields = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    complete: bool = False

    def __getitem__(self, name: str) -> str:
        return next(value for each, value in self.fields if each == name)

    @property
    def plain(self) -> Fields:
        return [(name, value) for name, value in self.fields if not name.startswith(":")]

    @property
    def content(self) -> bytes:
        """The body as it is meant."""
        body = b"".join(self.body)
        return gzip.decompress(body) if ("content-encoding", "gzip") in self.fields else body


@dataclass(slots=True)
class Who:
    """One end of a connection."""

    local: tuple[str, int]
    remote: tuple[str, int]
    is_client: bool

    @classmethod
    def of(cls, raw: socket.socket, *, is_client: bool) -> Who:
        return cls(raw.getsockname()[:2], raw.getpeername()[:2], is_client)

    def told(self) -> dict[str, object]:
        return {"pid": os.getpid(), "local": self.local, "remote": self.remote}


def tell_exchange(who: Who, stream: int, request: Head, response: Head, interim: Iterable[int] = ()) -> None:
    exchange = {
        **who.told(),
        "outgoing": who.is_client,
        "stream": stream,
        "method": request[":method"],
        "url": f"{request[':scheme']}://{request[':authority']}{request[':path']}",
        "request": _part(request),
        "interim": list(interim),
        "status": int(response[":status"]),
        "response": _part(response),
    }
    print(json.dumps({"exchange": exchange}))


def _part(head: Head) -> dict[str, object]:
    return {"headers": head.plain, "body": digest(head.content), "trailers": head.trailers}


def tell_message(who: Who, *, outgoing: bool, data: bytes, **more: object) -> None:
    """One message of a stream: of a WebSocket, of gRPC."""
    message = {**who.told(), "outgoing": outgoing, "data": digest(data), **more}
    print(json.dumps({"message": message}))
