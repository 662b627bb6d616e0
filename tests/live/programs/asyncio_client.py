# SPDX-License-Identifier: Apache-2.0
"""asyncio_client.py HOST PORT CONNECTIONS ROUNDS first|late: HTTP with keep-alive over asyncio's TLS, all at once.

In each round every connection has one request under way at the same time, each with a path of its own. Prints "ready"
and waits for a line before it connects; with `late` once all are connected and have had an exchange, and then what is
told at the end is what came behind: one JSON object per connection: who, which socket, count and SHA-256.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import ssl
import sys


class Connection:
    """One of them."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.read = b""
        self.written = b""
        self.requests = 0

    async def exchange(self) -> None:
        self.requests += 1
        posted = os.urandom(self.number * 7) if self.number % 2 else b""
        size = 100 + self.number * 53 % 1000 + (40_000 if self.requests == 2 else 0)
        path = f"/connection{self.number}/request{self.requests}/{size}"
        request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(posted)}\r\n\r\n".encode() + posted
        self.writer.write(request)
        self.written += request
        await self.writer.drain()
        head = await self.reader.readuntil(b"\r\n\r\n")
        (length,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await self.reader.readexactly(int(length.partition(b":")[2]))
        assert body.startswith(path.encode())
        self.read += head + body

    def told(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "local": self.writer.get_extra_info("sockname")[:2],
            "remote": self.writer.get_extra_info("peername")[:2],
            "read": (len(self.read), hashlib.sha256(self.read).hexdigest()),
            "written": (len(self.written), hashlib.sha256(self.written).hexdigest()),
        }


async def ready() -> None:
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def run() -> None:
    host, port, count, rounds, since = sys.argv[1:]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async def opened(number: int) -> Connection:
        return Connection(number, *await asyncio.open_connection(host, int(port), ssl=context))

    if since == "first":
        await ready()
    connections = await asyncio.gather(*map(opened, range(int(count))))
    if since == "late":
        await asyncio.gather(*(connection.exchange() for connection in connections))
        for connection in connections:
            connection.read = connection.written = b""
        await ready()
    for _ in range(int(rounds)):
        await asyncio.gather(*(connection.exchange() for connection in connections))
    for connection in connections:
        print(json.dumps(connection.told()))
        connection.writer.close()
    await asyncio.gather(*(connection.writer.wait_closed() for connection in connections))


if __name__ == "__main__":
    asyncio.run(run())
