# SPDX-License-Identifier: Apache-2.0
"""Asks an ASGI application without a server: one request in, its answer out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message


class Answer(NamedTuple):
    """What came."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | list[bytes] = b"",
    query: str = "",
) -> Answer:
    """`body` in pieces has no length before it."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    if isinstance(body, bytes):
        sent.append((b"content-length", str(len(body)).encode()))
    else:
        sent.append((b"transfer-encoding", b"chunked"))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": sent,
        "server": ("127.0.0.1", 80),
    }
    came: list[Message] = []

    async def receive() -> Message:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        came.append(message)

    asyncio.run(_call(app, scope, receive, send))
    status = next(message["status"] for message in came if message["type"] == "http.response.start")
    return Answer(status, b"".join(message.get("body", b"") for message in came))


async def _call(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    await app(scope, receive, send)
