# SPDX-License-Identifier: Apache-2.0
"""websockets_peer.py server|client HOST PORT CERTIFICATE [KEY]: the package `websockets` over asyncio's TLS.

asyncio's TLS is over memory (`ssl.MemoryBIO`). Prints "ready" and, a server, its port. A client does what the lines on
its standard input say, and answers each with "done": first `open takeover`, `open fresh` (a context for each message)
or `open plain`, then `text COUNT SIZE`, `binary COUNT SIZE`, `fragments COUNT SIZE`, `ping WORD`, `close CODE REASON`.
A server turns each message round, in fragments when it came in some. At the end of its input each prints one JSON
object per message, those of a connection and direction in their order: its kind and digest, of `close` the code too.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from programs.said import Who, tell_message
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol

WORDS = "plaintext ciphertext handshake record alert certificate session ticket résumé 鍵\n".split(" ")
MODES = {
    "takeover": [ClientPerMessageDeflateFactory()],
    "fresh": [ClientPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)],
    "plain": None,
}
FRAGMENTS = 5
LARGEST_BYTES = 1 << 24


class Kept:
    """The frames of both directions of one connection, as the package made or read them."""

    def __init__(self) -> None:
        self.frames: list[tuple[bool, Frame]] = []

    def tell(self, who: Who, *, compressed: bool) -> None:
        halves: dict[bool, list[Frame]] = {}
        for outgoing, frame in self.frames:
            if frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                half = halves.setdefault(outgoing, [])
                half.append(frame)
                if not frame.fin:
                    continue
                frames = halves.pop(outgoing)
            else:
                frames = [frame]
            self._tell(who, frames, outgoing=outgoing, compressed=compressed)

    def _tell(self, who: Who, frames: list[Frame], *, outgoing: bool, compressed: bool) -> None:
        kind = frames[0].opcode.name.lower()
        data = b"".join(bytes(frame.data) for frame in frames)
        code = int.from_bytes(data[:2], "big") if kind == "close" and data else None
        tell_message(
            who,
            outgoing=outgoing,
            data=data[2:] if kind == "close" else data,
            kind=kind,
            close_code=code,
            fragments=None if len(frames) == 1 else len(frames),
            compressed=True if compressed and kind in {"text", "binary"} else None,
            from_client=outgoing == who.is_client,
        )


KEPT: dict[Protocol, Kept] = {}
CONNECTIONS: list[tuple[Who, ClientConnection | ServerConnection]] = []


def keep_frames() -> None:
    """Puts itself around what every frame goes through."""
    send, receive = Protocol.send_frame, Protocol.recv_frame

    def sending(self: Protocol, frame: Frame) -> None:
        KEPT.setdefault(self, Kept()).frames.append((True, frame))
        send(self, frame)

    def receiving(self: Protocol, frame: Frame) -> None:
        KEPT.setdefault(self, Kept()).frames.append((False, frame))
        receive(self, frame)

    Protocol.send_frame, Protocol.recv_frame = sending, receiving  # type: ignore[method-assign]


def keep(connection: ClientConnection | ServerConnection) -> None:
    """While it is open: it has no addresses later."""
    is_client = isinstance(connection, ClientConnection)
    CONNECTIONS.append((Who(connection.local_address[:2], connection.remote_address[:2], is_client), connection))


def tell() -> None:
    for who, connection in CONNECTIONS:
        names = [extension.name for extension in connection.protocol.extensions]
        KEPT[connection.protocol].tell(who, compressed="permessage-deflate" in names)


def pieces_of(message: str | bytes) -> list[Any]:
    size = max(1, len(message) // FRAGMENTS)
    return [message[at : at + size] for at in range(0, len(message), size)]


class Client:
    """One connection."""

    def __init__(self, uri: str, certificate: str) -> None:
        self.uri = uri
        self.context = ssl.create_default_context(cafile=certificate)
        self.connection: ClientConnection | None = None
        self.random = random.Random(5)  # noqa: S311
        self.addresses: Any = None

    @property
    def ready(self) -> ClientConnection:
        assert self.connection is not None
        return self.connection

    async def open(self, mode: str) -> None:
        self.connection = await connect(
            self.uri, ssl=self.context, compression=None, extensions=MODES[mode], max_size=LARGEST_BYTES
        )
        keep(self.connection)

    async def _turn(self, message: str | bytes, sent: Any) -> None:
        await self.ready.send(sent)
        assert await self.ready.recv() == message

    def _words(self, size: str) -> str:
        return " ".join(self.random.choices(WORDS, k=int(size) // 8 + 1))[: int(size)]

    async def text(self, count: str, size: str) -> None:
        for _ in range(int(count)):
            message = self._words(size)
            await self._turn(message, message)

    async def binary(self, count: str, size: str) -> None:
        for _ in range(int(count)):
            message = self.random.randbytes(int(size))
            await self._turn(message, message)

    async def fragments(self, count: str, size: str) -> None:
        for _ in range(int(count)):
            message = self._words(size)
            await self._turn(message, pieces_of(message))

    async def ping(self, word: str) -> None:
        await (await self.ready.ping(word))

    async def close(self, code: str, reason: str) -> None:
        await self.ready.close(int(code), reason)


async def lines() -> Any:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        yield line


async def run_client(host: str, port: int, certificate: str) -> None:
    client = Client(f"wss://{host}:{port}/chat?room=5", certificate)
    print("ready", flush=True)
    async for line in lines():
        name, *words = line.split()
        await getattr(client, name)(*words)
        print("done", flush=True)


async def turn_round(connection: ServerConnection) -> None:
    keep(connection)
    await connection.ping("from the server")
    try:
        while True:
            pieces = [piece async for piece in connection.recv_streaming()]
            if len(pieces) > 1:
                await connection.send(pieces)
            else:
                await connection.send(pieces[0])
    except ConnectionClosed:
        return


async def run_server(host: str, port: int, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with serve(turn_round, host, port, ssl=context, max_size=LARGEST_BYTES) as server:
        (listener,) = server.sockets
        print("ready", listener.getsockname()[1], flush=True)
        async for _ in lines():
            pass


def main() -> None:
    role, host, port, *files = sys.argv[1:]
    keep_frames()
    run = run_server if role == "server" else run_client
    asyncio.run(run(host, int(port), *files))
    tell()


if __name__ == "__main__":
    main()
