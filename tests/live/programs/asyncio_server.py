# SPDX-License-Identifier: Apache-2.0
"""asyncio_server.py CERTIFICATE KEY HOST: HTTP over asyncio's TLS, which is over memory (`ssl.MemoryBIO`).

The answer to a request is as long as its path says. Prints "ready" and its port. A line on standard input makes it
forget what passed so far, which it acknowledges; at the end of input it prints one JSON object per connection: who,
which socket, count and SHA-256 per direction.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import ssl
import sys


class Side:
    """One direction: a count and a hash."""

    def __init__(self) -> None:
        self.count = 0
        self.sha256 = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self.count += len(data)
        self.sha256.update(data)

    def told(self) -> tuple[int, str]:
        return self.count, self.sha256.hexdigest()


class Connection:
    """One of them, serving."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.local = writer.get_extra_info("sockname")[:2]
        self.remote = writer.get_extra_info("peername")[:2]
        self.forget()

    def forget(self) -> None:
        self.read, self.written = Side(), Side()

    async def serve(self) -> None:
        while head := await self._head():
            request_line, *lines = head.decode("latin-1").rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            if size := int(headers.get("content-length", "0")):
                self.read.add(await self.reader.readexactly(size))
            path = request_line.split()[1]
            size = int(path.rpartition("/")[2])
            answer = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n".encode()
            answer += path.encode().ljust(size)[:size]
            self.writer.write(answer)
            self.written.add(answer)
            await self.writer.drain()

    async def _head(self) -> bytes:
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            return b""
        self.read.add(head)
        return head

    def told(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "local": self.local,
            "remote": self.remote,
            "read": self.read.told(),
            "written": self.written.told(),
        }


async def serve() -> None:
    certificate, key, host = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    connections: list[Connection] = []

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        connections.append(connection)
        await connection.serve()
        writer.close()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::", backlog=1024)
    server = await asyncio.start_server(on_connection, sock=listener, ssl=context)
    print("ready", listener.getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        for connection in connections:
            connection.forget()
        print("forgot", flush=True)
    server.close()
    for connection in connections:
        print(json.dumps(connection.told()))


if __name__ == "__main__":
    asyncio.run(serve())
