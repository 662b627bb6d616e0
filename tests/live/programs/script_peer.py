# SPDX-License-Identifier: Apache-2.0
"""script_peer.py server|client HOST PORT CERTIFICATE KEY SCRIPT: says its part of a written conversation over TLS.

SCRIPT is JSON, a list of steps in order: `[who, "say", base64, times]`, which `who` sends and the other end must
receive to the byte, and `[who, "pause", name]`, where `who` prints "at NAME" and waits for a line. Prints "ready" and,
a server, its port; a client waits for a line before it connects. At the end it prints one JSON object: the socket, and
count and SHA-256 of what it really read and wrote. Serves one connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import ssl
import sys
from pathlib import Path

PIECE_BYTES = 1 << 16


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


class Player:
    """One end."""

    def __init__(self, tls: ssl.SSLSocket, role: str) -> None:
        self.tls = tls
        self.role = role
        self.local, self.remote = tls.getsockname()[:2], tls.getpeername()[:2]
        self.read, self.written = Side(), Side()
        tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def say(self, data: bytes, times: int) -> None:
        for _ in range(times):
            self.tls.sendall(data)
            self.written.add(data)

    def hear(self, data: bytes, times: int) -> None:
        for number in range(times):
            at = 0
            while at < len(data):
                piece = self.tls.recv(min(PIECE_BYTES, len(data) - at))
                self.read.add(piece)
                assert piece, f"the end, {at} bytes into round {number} of {data[:80]!r}"
                assert piece == data[at : at + len(piece)], f"{piece[:80]!r} instead of {data[at : at + 80]!r}"
                at += len(piece)

    def play(self, steps: list[list[str | int]]) -> None:
        for who, verb, what, *more in steps:
            if verb == "pause":
                if who == self.role:
                    print("at", what, flush=True)
                    sys.stdin.readline()
                continue
            data, times = base64.b64decode(str(what)), int(more[0])
            (self.say if who == self.role else self.hear)(data, times)
        self.tls.close()

    def told(self) -> dict[str, object]:
        return {
            "pid": os.getpid(),
            "local": self.local,
            "remote": self.remote,
            "read": self.read.told(),
            "written": self.written.told(),
        }


def listen(host: str, certificate: str, key: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server((host, 0)) as listener:
        print("ready", listener.getsockname()[1], flush=True)
        raw, _ = listener.accept()
    return context.wrap_socket(raw, server_side=True)


def connect(host: str, port: int, certificate: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=certificate)
    print("ready", flush=True)
    sys.stdin.readline()
    return context.wrap_socket(socket.create_connection((host, port)), server_hostname=host)


def main() -> None:
    role, host, port, certificate, key, script = sys.argv[1:]
    steps = json.loads(Path(script).read_text())
    tls = listen(host, certificate, key) if role == "server" else connect(host, int(port), certificate)
    player = Player(tls, role)
    player.play(steps)
    print(json.dumps(player.told()))


if __name__ == "__main__":
    main()
