# SPDX-License-Identifier: Apache-2.0
"""Connections that ask nothing go, before their first request and after it, and keep nobody out meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvicorn

from plaintap.api import connections
from plaintap.api.connections import SILENT_MAX, Acceptor

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE_BYTES = 8 << 20
Peer: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect: TypeAlias = Callable[[], Awaitable[Peer]]


async def hello(scope: Any, _receive: Any, send: Any) -> None:
    body = bytes(LARGE_BYTES) if scope["path"] == "/large" else b"hello"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Connect]:
    config = uvicorn.Config(hello, lifespan="off", log_config=None, ws="none")
    config.load()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(2 * SILENT_MAX)
        task = asyncio.create_task(Acceptor(config, listener, None).run())
        peers: list[Peer] = []

        async def connect() -> Peer:
            peers.append(await asyncio.open_unix_connection(str(folder / "socket")))
            return peers[-1]

        yield connect
        for _, writer in peers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)


async def asked(peer: Peer) -> bytes:
    reader, writer = peer
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return await reader.readexactly(5)


async def ended(peer: Peer) -> bool:
    try:
        return await peer[0].read() == b""
    except ConnectionResetError:
        return True


def test_of_silent_ones_the_oldest_goes_and_who_asks_is_answered(tmp_path: Path) -> None:
    async def play() -> None:
        async with served(tmp_path) as connect:
            busy = await connect()
            assert await asked(busy) == b"hello"
            silent = [await connect() for _ in range(SILENT_MAX)]
            late = await connect()
            assert await asked(late) == b"hello"
            assert await ended(silent[0])
            assert await asked(busy) == b"hello"
            assert await asked(silent[-1]) == b"hello"

    asyncio.run(asyncio.wait_for(play(), 30))


@pytest.mark.parametrize(
    ("before", "then"),
    [(False, b""), (False, REQUEST[:10]), (True, b""), (True, REQUEST[:10])],
    ids=["nothing", "half a head", "nothing more", "half a head more"],
)
def test_who_stays_silent_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool, then: bytes) -> None:
    monkeypatch.setattr(connections, "SILENT_S", 0.05)

    async def play() -> None:
        async with served(tmp_path) as connect:
            peer = await connect()
            if before:
                assert await asked(peer) == b"hello"
            peer[1].write(then)
            assert await ended(peer)

    asyncio.run(asyncio.wait_for(play(), 30))


def test_who_takes_no_answer_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENT_S", 0.05)

    async def play() -> None:
        async with served(tmp_path):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(tmp_path / "socket"))
                peer.send(REQUEST.replace(b"/ ", b"/large ", 1))
                poll = select.poll()
                poll.register(peer, 0)  # nothing but that the other end has gone
                ((_, events),) = await asyncio.to_thread(poll.poll, 20_000)
                assert events & select.POLLHUP

    asyncio.run(asyncio.wait_for(play(), 30))
