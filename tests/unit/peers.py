# SPDX-License-Identifier: Apache-2.0
"""The other ends of network sinks, on loopback, in threads."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

WAIT_S = 30


class Listener:
    """Takes one connection after another and keeps what each sent; `close_after` ends a connection cleanly.

    Cleanly: it says that it will send no more, reads to the end, and only then closes.
    """

    def __init__(self, *, close_after: int = 1 << 62, connections: int = 1, port: int = 0) -> None:
        self.received: list[bytes] = []
        self._close_after = close_after
        self._connections = connections
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        for _ in range(self._connections):
            connection, _ = self._listening.accept()
            with connection:
                self.received.append(self._read(connection))

    def _read(self, connection: socket.socket) -> bytes:
        parts: list[bytes] = []
        size, last = 0, len(self.received) == self._connections - 1
        asked = False
        while data := connection.recv(65536):
            parts.append(data)
            size += len(data)
            if size >= self._close_after and not asked and not last:
                connection.shutdown(socket.SHUT_WR)
                asked = True
        return b"".join(parts)

    def join(self) -> None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self._listening.close()


@contextlib.contextmanager
def silent_peer() -> Iterator[int]:
    """Takes connections and never reads; its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listening:
        yield listening.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
