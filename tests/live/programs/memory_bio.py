# SPDX-License-Identifier: Apache-2.0
"""memory_bio.py HOST PORT CONNECTIONS EXCHANGES SIZE HOW first|late: `ssl.MemoryBIO` and sockets, each apart.

All connections are driven in step: first everyone's TLS makes its bytes, then, in another order, everyone's socket
sends them; first all sockets receive, then everyone's TLS takes it. So nothing but the bytes says what belongs to what.

HOW bytes come and go:
  whole    as much as there is, by one of the system calls each: recv, recvmsg, read, readv, recv_into; send, ...
  header   five bytes and then the rest of the record
  odd      1000, 7, 4096, 3 and 300 bytes, so that records are cut anywhere; sent in two, of which one has 3 bytes
  byte     one at a time
  peek     looked at with MSG_PEEK first
  threads  by one thread for receiving and one for sending, neither of which calls TLS
  mixed    as with `whole`, while another connection's TLS has its socket itself

Prints "ready" and waits for a line before it connects; with `late` once all have had an exchange, and then what is told
is what came behind: one JSON object per connection.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

MOST = 65536
ODD = (1000, 7, 4096, 3, 300)


def recv_into(sock: socket.socket, most: int) -> bytes:
    buffer = bytearray(most)
    return bytes(buffer[: sock.recv_into(buffer)])


def readv(sock: socket.socket, most: int) -> bytes:
    buffers = [bytearray(100), bytearray(most)]
    done = os.readv(sock.fileno(), buffers)
    return b"".join(buffers)[:done]


def writev(sock: socket.socket, data: bytes) -> None:
    assert os.writev(sock.fileno(), [data[:90], data[90:]]) == len(data)


def sendmsg(sock: socket.socket, data: bytes) -> None:
    assert sock.sendmsg([data[:70], data[70:]]) == len(data)


def sendmsg_odd(sock: socket.socket, data: bytes) -> None:
    assert sock.sendmsg([data[:3], data[3:]]) == len(data)


def write(sock: socket.socket, data: bytes) -> None:
    assert os.write(sock.fileno(), data) == len(data)


RECEIVERS: tuple[Callable[[socket.socket, int], bytes], ...] = (
    lambda sock, most: sock.recv(most),
    lambda sock, most: sock.recvmsg(most)[0],
    lambda sock, most: os.read(sock.fileno(), most),
    readv,
    recv_into,
)
SENDERS: tuple[Callable[[socket.socket, bytes], None], ...] = (
    lambda sock, data: sock.sendall(data),
    sendmsg,
    write,
    writev,
)


def told(sock: socket.socket, read: bytes, written: bytes) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "local": sock.getsockname()[:2],
        "remote": sock.getpeername()[:2],
        "read": (len(read), hashlib.sha256(read).hexdigest()),
        "written": (len(written), hashlib.sha256(written).hexdigest()),
    }


class Connection:
    """One of them."""

    def __init__(self, number: int, address: tuple[str, int], context: ssl.SSLContext, how: str) -> None:
        self.number = number
        self.how = how
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.sizes = itertools.cycle(ODD)
        self.record = b""
        self.arrived = b""
        self.forget()

    def forget(self) -> None:
        self.read, self.written = b"", b""

    def receive(self) -> None:
        """By this connection's way."""
        if self.how == "odd":
            self.arrived = self.socket.recv(next(self.sizes))
        elif self.how == "byte":
            self.arrived = self.socket.recv(1)
        elif self.how == "header":
            head = self.socket.recv(5, socket.MSG_WAITALL)
            self.incoming.write(head)
            self.arrived = self.socket.recv(int.from_bytes(head[3:5]), socket.MSG_WAITALL)
        elif self.how == "peek":
            self.arrived = self.socket.recv(len(self.socket.recv(MOST, socket.MSG_PEEK)))
        else:
            self.arrived = RECEIVERS[self.number % len(RECEIVERS)](self.socket, MOST)
        assert self.arrived, "the server has gone"

    def send(self) -> None:
        data = self.outgoing.read()
        if data and self.how == "odd":
            sendmsg_odd(self.socket, data)
        elif data:
            SENDERS[self.number % len(SENDERS)](self.socket, data)

    def take(self) -> None:
        """What arrived, into TLS."""
        self.incoming.write(self.arrived)
        self.arrived = b""

    def shake_hands(self) -> bool:
        """Whether that is done."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def say(self, data: bytes) -> None:
        done = self.tls.write(data)
        assert done == len(data)
        self.written += data

    def hear(self, expected: int) -> bool:
        """Whether that much has come."""
        while len(self.read) < expected:
            try:
                self.read += self.tls.read(min(MOST, expected - len(self.read)))
            except ssl.SSLWantReadError:
                return False
        return True

    def told(self) -> dict[str, object]:
        return told(self.socket, self.read, self.written)


class Loop:
    """All connections in step."""

    def __init__(self, connections: list[Connection], how: str) -> None:
        self.connections = connections
        self.random = random.Random(4)  # noqa: S311
        self.threads: tuple[ThreadPoolExecutor, ...] = ()
        if how == "threads":
            self.threads = (ThreadPoolExecutor(1), ThreadPoolExecutor(1))

    def shuffled(self, connections: list[Connection]) -> Iterator[Connection]:
        return iter(self.random.sample(connections, len(connections)))

    def send(self, connections: list[Connection]) -> None:
        for connection in self.shuffled(connections):
            if self.threads:
                self.threads[0].submit(connection.send).result()
            else:
                connection.send()

    def receive(self, connections: list[Connection]) -> None:
        for connection in self.shuffled(connections):
            if self.threads:
                self.threads[1].submit(connection.receive).result()
            else:
                connection.receive()

    def until(self, done: Callable[[Connection], bool]) -> None:
        """Sends, receives and takes until everyone's `done` holds."""
        waiting = [connection for connection in self.connections if not done(connection)]
        self.send(self.connections)
        while waiting:
            self.receive(waiting)
            for connection in self.shuffled(waiting):
                connection.take()
            waiting = [connection for connection in waiting if not done(connection)]
            self.send(self.connections)

    def exchange(self, size: int) -> None:
        for connection in self.connections:
            connection.say(b"%010d %010d\n" % (size, size) + os.urandom(size))
        expected = {connection: len(connection.read) + size for connection in self.connections}
        self.until(lambda connection: connection.hear(expected[connection]))


class Ordinary:
    """A connection whose TLS reads and writes its socket."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self.tls = context.wrap_socket(socket.create_connection(address))
        self.forget()

    def forget(self) -> None:
        self.read, self.written = b"", b""

    def exchange(self, size: int) -> None:
        data = b"%010d %010d\n" % (size, size) + os.urandom(size)
        self.tls.sendall(data)
        self.written += data
        expected = len(self.read) + size
        while len(self.read) < expected:
            self.read += self.tls.recv(expected - len(self.read))

    def told(self) -> dict[str, object]:
        return told(self.tls, self.read, self.written)


def ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def main() -> None:
    host, port, count, exchanges, size, how, since = sys.argv[1:]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if since == "first":
        ready()
    address = (host, int(port))
    ordinary = [Ordinary(address, context)] if how == "mixed" else []
    for other in ordinary:
        other.exchange(int(size))
    loop = Loop([Connection(number, address, context, how) for number in range(int(count))], how)
    loop.until(Connection.shake_hands)
    everyone: list[Ordinary | Connection] = [*ordinary, *loop.connections]
    if since == "late":
        loop.exchange(int(size))
        for connection in everyone:
            connection.forget()
        ready()
    for _ in range(int(exchanges)):
        for other in ordinary:
            other.exchange(int(size))
        loop.exchange(int(size))
    for connection in everyone:
        print(json.dumps(connection.told()))


if __name__ == "__main__":
    main()
