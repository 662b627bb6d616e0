# SPDX-License-Identifier: Apache-2.0
"""tls_peer.py python|foreign|pyopenssl server|client HOST PORT ...: HTTP/1.1 over TLS with a chosen library.

Prints "ready" and, a server, its port. A client does what the lines on its standard input say and answers each with
"done": `connect`, `resume` (connect, with the session of the connection before), `get PATH`, `update` (its keys, and
asks for the peer's), `close`, `many N PATH` (connect, get, close). A server serves until its input ends. At the end
of its input each prints one JSON object per connection: the socket's own addresses, and count and SHA-256 of what the
library took and gave. The answer to a path is as long as its last part says.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from programs.tls_backends import LIBRARIES, Connection, Library

HEAD_END = b"\r\n\r\n"


class Peer:
    """A connection that remembers what passed."""

    def __init__(self, library: Library, raw: socket.socket, session: Any = None) -> None:
        # Asked before: Python's ssl takes the socket over.
        self.local, self.remote = raw.getsockname()[:2], raw.getpeername()[:2]
        # Else a server's answer waits for the client to acknowledge its tickets.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw = raw
        self.read_bytes = b""
        self.written_bytes = b""
        self.pending = b""
        self.tls: Connection = library.connection(raw, session)

    def write(self, data: bytes) -> None:
        while data:
            done = self.tls.write(data)
            self.written_bytes += data[:done]
            data = data[done:]

    def more(self) -> bool:
        data = self.tls.read()
        self.read_bytes += data
        self.pending += data
        return bool(data)

    def take(self, size: int) -> bytes:
        while len(self.pending) < size and self.more():
            pass
        taken, self.pending = self.pending[:size], self.pending[size:]
        return taken

    def head(self) -> bytes:
        """Up to the empty line; nothing at the end."""
        while HEAD_END not in self.pending:
            if not self.more():
                return b""
        return self.take(self.pending.index(HEAD_END) + len(HEAD_END))

    def close(self) -> None:
        self.tls.close()
        self.raw.close()

    def told(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "local": self.local,
            "remote": self.remote,
            "read": (len(self.read_bytes), hashlib.sha256(self.read_bytes).hexdigest()),
            "written": (len(self.written_bytes), hashlib.sha256(self.written_bytes).hexdigest()),
        }


def answer(path: str) -> bytes:
    size = int(path.rpartition("/")[2])
    body = (path.encode() * (size // len(path) + 1))[:size]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


def ask(peer: Peer, path: str) -> None:
    peer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Pid: {os.getpid()}\r\n\r\n".encode())
    head = peer.head().decode()
    fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
    body = peer.take(int(fields["Content-Length"]))
    assert body == answer(path)[-len(body) :], f"another answer to {path}"


def serve(peer: Peer) -> None:
    while head := peer.head():
        peer.write(answer(head.split()[1].decode()))
    peer.close()


class Server:
    """A thread per connection."""

    def __init__(self, library: Library, address: tuple[str, int]) -> None:
        self.library = library
        self.listener = socket.create_server(address, backlog=1024)
        self.peers: list[Peer] = []
        self.threads: list[threading.Thread] = []

    def accept(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.serve, args=(raw,)))
            self.threads[-1].start()

    def serve(self, raw: socket.socket) -> None:
        peer = Peer(self.library, raw)
        self.peers.append(peer)
        serve(peer)

    def run(self) -> list[Peer]:
        accepting = threading.Thread(target=self.accept)
        accepting.start()
        print("ready", self.listener.getsockname()[1], flush=True)
        sys.stdin.read()
        self.listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for thread in self.threads:
            thread.join()
        return self.peers


class Client:
    """Does one thing after another."""

    def __init__(self, library: Library, address: tuple[str, int]) -> None:
        self.library = library
        self.address = address
        self.peers: list[Peer] = []

    def connect(self, session: Any = None) -> None:
        # An address of loopback for each: ports come again, and no two connections may look alike.
        high, low = divmod(len(self.peers) + 1, 256)
        raw = socket.create_connection(self.address, source_address=(f"127.1.{high}.{low}", 0))
        self.peers.append(Peer(self.library, raw, session))

    def resume(self) -> None:
        self.connect(self.session)

    def get(self, path: str) -> None:
        ask(self.peers[-1], path)

    def update(self) -> None:
        self.peers[-1].tls.update_keys()

    def close(self) -> None:
        self.session = self.peers[-1].tls.session()
        self.peers[-1].close()

    def many(self, count: str, path: str) -> None:
        for _ in range(int(count)):
            self.connect()
            self.get(path)
            self.peers[-1].close()

    def run(self) -> list[Peer]:
        print("ready", flush=True)
        for line in sys.stdin:
            name, *arguments = line.split()
            getattr(self, name)(*arguments)
            print("done", int(bool(self.peers) and self.peers[-1].tls.resumed), flush=True)
        return self.peers


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("role", choices=("server", "client"))
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--certificate", required=True)
    for name in ("key", "tls", "cipher", "keylog", "libssl", "libcrypto", "site"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--no-tickets", action="store_true")
    words = parser.parse_args()
    library = LIBRARIES[words.library](words)
    runner: Server | Client = (Server if words.role == "server" else Client)(library, (words.host, words.port))
    for peer in runner.run():
        print(json.dumps(peer.told()))


if __name__ == "__main__":
    main()
