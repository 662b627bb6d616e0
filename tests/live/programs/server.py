# SPDX-License-Identifier: Apache-2.0
"""server.py CERTIFICATE KEY HOST stream|http: a TLS server that tells what it really read and wrote.

Prints "ready" and its port; serves every connection in a thread of its own until standard input ends, then prints one
JSON object per connection: who, which socket, count and SHA-256 per direction. In `stream` a client says how much it
sends and how much it wants; in `http` the answer to a request is as long as its path says.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import ssl
import sys
import threading

HEAD_BYTES = 22
PIECE_BYTES = 65536


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
    """A TLS connection that remembers what passed."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls
        self.local = tls.getsockname()[:2]
        self.remote = tls.getpeername()[:2]
        self.read_side = Side()
        self.written_side = Side()

    def read(self, most: int) -> bytes:
        """Like recv; empty at the end, however that came about."""
        try:
            data = self.tls.recv(most)
        except OSError:
            return b""
        self.read_side.add(data)
        return data

    def read_exactly(self, size: int) -> bytes:
        pieces = []
        while size and (piece := self.read(min(size, PIECE_BYTES))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            done = self.tls.send(view)
            self.written_side.add(bytes(view[:done]))
            view = view[done:]

    def told(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "local": self.local,
            "remote": self.remote,
            "read": self.read_side.told(),
            "written": self.written_side.told(),
        }


def serve_stream(connection: Connection) -> None:
    """Answers with bytes that differ by place and connection."""
    while head := connection.read_exactly(HEAD_BYTES):
        up, down = map(int, head.split())
        connection.read_exactly(up)
        answer = random.Random(str(connection.remote)).randbytes(down)  # noqa: S311
        for start in range(0, down, PIECE_BYTES):
            connection.write(answer[start : start + PIECE_BYTES])


def serve_http(connection: Connection) -> None:
    while True:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = connection.read(1)
            if not byte:
                return
            head += byte
        request_line, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if headers.get("expect") == "100-continue":
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.read_exactly(int(headers.get("content-length", "0")))
        path = request_line.split()[1]
        size = int(path.rpartition("/")[2])
        body = path.encode().ljust(size)[:size]
        answer = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
        connection.write(answer.encode() + body)


SERVE = {"stream": serve_stream, "http": serve_http}


def main() -> None:
    certificate, key, host, kind = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if kind == "http":
        context.set_alpn_protocols(["http/1.1"])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, backlog=1024)
    threads: list[threading.Thread] = []
    connections: list[Connection] = []

    def serve(raw: socket.socket) -> None:
        with raw:
            try:
                tls = context.wrap_socket(raw, server_side=True)
            except OSError:
                return
            connection = Connection(tls)
            connections.append(connection)
            with tls:
                SERVE[kind](connection)

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(raw,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    print("ready", listener.getsockname()[1], flush=True)
    sys.stdin.read()
    listener.shutdown(socket.SHUT_RDWR)
    accepting.join()
    listener.close()
    for thread in threads:
        thread.join()
    for connection in connections:
        print(json.dumps(connection.told()))


if __name__ == "__main__":
    main()
