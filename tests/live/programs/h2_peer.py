# SPDX-License-Identifier: Apache-2.0
"""h2_peer.py server|client HOST PORT CERTIFICATE [KEY]: HTTP/2 over Python's ssl, by the package `h2`.

Prints "ready" and, a server, its port. A client does what the lines on its standard input say and answers each with
"done": `get COUNT PATH` (so many streams at once; {} in the path is the number), `post COUNT PATH SIZE`, `one COUNT
PATH` (one after another), `begin PATH` (until the answer has begun) and `finish`. What fields a request has varies with
its number. A server answers with as many bytes as
the path's last part says, and does what stands behind its "?": `trailers`, `hints` (103 first), `gzip`, `push`
(another answer before). At the end of its input each prints one JSON object per exchange.
"""

from __future__ import annotations

import gzip
import hashlib
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from programs.h2_connection import Connection, Stream, accept, connect
from programs.said import Fields

VARIED = 90
"""How many names a varied field takes in turn: more than the encoder's table holds, so that they are sent again."""


def answer(path: str, size: int) -> bytes:
    """Bytes that no other path has, and no text."""
    return hashlib.shake_128(path.encode()).digest(size)


def respond(connection: Connection, stream: Stream) -> None:
    path, _, options = stream.request[":path"].partition("?")
    number = stream.number // 2
    fields: Fields = [
        (":status", "200"),
        ("content-type", "application/octet-stream"),
        ("server", "h2-peer"),
        ("x-constant", "always the same"),
        (f"x-of-{number % VARIED}", f"{number}," * 5),
    ]
    body = answer(path, int(path.rpartition("/")[2]))
    if options == "gzip":
        body = gzip.compress(body, mtime=0)
        fields += [("content-encoding", "gzip")]
    if options == "push":
        respond(connection, connection.promise(stream, path + "0"))
    if options == "hints":
        connection.interim(stream, [(":status", "103"), ("link", "</style.css>; rel=preload")])
    connection.head(stream, fields)
    trailers: Fields = [("x-checksum", hashlib.sha256(body).hexdigest()), ("server-timing", f"n;dur={number}")]
    connection.body(stream, body, end=trailers if options == "trailers" else True)


def serve(connection: Connection) -> None:
    answered: set[int] = set()
    while connection.pump():
        for stream in list(connection.ready):
            if stream.request.complete and stream.number not in answered:
                answered.add(stream.number)
                connection.ready.remove(stream)
                respond(connection, stream)


def run_server(host: str, port: int, certificate: str, key: str) -> list[Connection]:
    listener = socket.create_server((host, port), backlog=1024)
    connections: list[Connection] = []
    threads: list[threading.Thread] = []

    def one(raw: socket.socket) -> None:
        try:
            connection = accept(raw, certificate, key)
        except OSError:
            return
        connections.append(connection)
        serve(connection)
        connection.tls.close()

    def loop() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=one, args=(raw,)))
            threads[-1].start()

    accepting = threading.Thread(target=loop)
    accepting.start()
    print("ready", listener.getsockname()[1], flush=True)
    sys.stdin.read()
    listener.shutdown(socket.SHUT_RDWR)
    accepting.join()
    for thread in threads:
        thread.join()
    return connections


class Client:
    """One connection."""

    def __init__(self, connection: Connection, authority: str) -> None:
        self.connection = connection
        self.authority = authority
        self.number = 0

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Stream:
        number, self.number = self.number, self.number + 1
        fields: Fields = [
            (":method", method),
            (":scheme", "https"),
            (":authority", self.authority),
            (":path", path.replace("{}", str(number))),
            ("user-agent", "h2-peer/1"),
            ("accept-encoding", "gzip, deflate"),
            ("x-constant", "always the same"),
            (f"x-of-{number % VARIED}", f"{number}," * 5),
            ("authorization", f"never indexed {number}"),
        ]
        if body is not None:
            fields += [("content-type", "application/octet-stream"), ("content-length", str(len(body)))]
        stream = self.connection.ask(fields, end=body is None)
        if body is not None:
            self.connection.body(stream, body, end=True)
        return stream

    def get(self, count: str, path: str) -> None:
        self.connection.wait_for(*[self._ask("GET", path) for _ in range(int(count))])

    def post(self, count: str, path: str, size: str) -> None:
        bodies = [answer(f"{path} {number}", int(size)) for number in range(int(count))]
        self.connection.wait_for(*[self._ask("POST", path, body) for body in bodies])

    def begin(self, path: str) -> None:
        """Leaves the answer in the middle: the server may send no more before it is read."""
        self.begun = self._ask("GET", path)
        while not self.begun.response.body:
            assert self.connection.pump()

    def finish(self) -> None:
        self.connection.wait_for(self.begun)

    def one(self, count: str, path: str) -> None:
        for _ in range(int(count)):
            self.connection.wait_for(self._ask("GET", path))


def run_client(host: str, port: int, certificate: str) -> list[Connection]:
    print("ready", flush=True)
    client: Client | None = None
    for line in sys.stdin:
        name, *words = line.split()
        client = client or Client(connect(host, port, certificate), f"{host}:{port}")
        getattr(client, name)(*words)
        print("done", flush=True)
    if client is None:
        return []
    client.connection.close()
    return [client.connection]


def main() -> None:
    role, host, port, *files = sys.argv[1:]
    run = run_server if role == "server" else run_client
    for connection in run(host, int(port), *files):
        connection.tell()


if __name__ == "__main__":
    main()
