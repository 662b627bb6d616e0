# SPDX-License-Identifier: Apache-2.0
"""Records as the kernel writes them, for tests that stand on recordings."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from plaintap import events
from plaintap.events import Kind, Meta, encode_meta
from plaintap.runtime.recording import MAGIC

NO_SOCKET = events.SOCKET.pack(0, b"", b"", 0, 0, 0, 0, 0, -1)


def ipv4_socket(*, local_port: int, remote_port: int) -> bytes:
    """A `struct pt_socket` on loopback."""
    address = socket.inet_aton("127.0.0.1")
    return events.SOCKET.pack(0, address, address, local_port, remote_port, socket.AF_INET, 1, 4026531833, -1)


@dataclass
class Speaker:
    """One TLS session of one process; offsets advance by themselves."""

    session: int = 5
    pid: int = 77
    comm: bytes = b"curl"
    socket: bytes = NO_SOCKET
    library: int = 1
    ts_ns: int = 1_000_000_000

    def __post_init__(self) -> None:
        self.offsets = [0, 0]

    def data(self, direction: int, payload: bytes, *, after_ns: int = 1_000_000) -> bytes:
        """A DATA record with the next bytes of a direction."""
        self.ts_ns += after_ns
        offset = self.offsets[direction]
        self.offsets[direction] += len(payload)
        head = (events.WIRE_VERSION, Kind.DATA, 0, events.DATA_SIZE + len(payload), self.ts_ns, self.pid, self.pid)
        fields = (self.session, offset, 0xABC0, len(payload), 1000, self.library, direction, self.comm)
        return events.DATA.pack(*head, *fields) + self.socket + payload

    def lose(self, direction: int, size_bytes: int) -> None:
        """Bytes nobody captured."""
        self.offsets[direction] += size_bytes

    def end(self) -> bytes:
        """A SESSION_END record."""
        head = (events.WIRE_VERSION, Kind.SESSION_END, 0, events.SESSION_END.size, self.ts_ns, self.pid, self.pid)
        return events.SESSION_END.pack(*head, self.session, *self.offsets)

    def unix_socket(self, path: bytes, *, peer_pid: int = 4242) -> bytes:
        """A UNIX_SOCKET record."""
        head = (events.WIRE_VERSION, Kind.UNIX_SOCKET, 0, events.UNIX_SOCKET.size, self.ts_ns, self.pid, self.pid)
        return events.UNIX_SOCKET.pack(*head, self.session, peer_pid, len(path), path)


@dataclass
class Handshake:
    """Secrets of one TLS session, from the same process as `Speaker`'s."""

    client_random: bytes = bytes(range(32))
    session: int = 5
    pid: int = 77
    comm: bytes = b"curl"
    socket: bytes = NO_SOCKET
    library: int = 1
    ts_ns: int = 1_000_000_000
    flags: int = 3

    def _owner(self) -> bytes:
        fields = (self.session, 0xABC0, 1000, self.library, self.flags, self.comm)
        return events.OWNER.pack(*fields) + self.socket + self.client_random

    def _header(self, kind: Kind, body: bytes) -> bytes:
        size = events.HEADER.size + len(body)
        return events.HEADER.pack(events.WIRE_VERSION, kind, 0, size, self.ts_ns, self.pid, self.pid)

    def secrets(
        self, *, version: int = 0x0304, cipher: int = 0x1301, master_key: bytes = b"", block: bytes = b""
    ) -> bytes:
        """A SECRETS record."""
        head = events.SECRETS.pack(0x03000000 | cipher if cipher else 0, version, len(block), master_key)
        body = self._owner() + head + block.ljust(events.SECRETS_BLOCK_SIZE, b"\0")
        return self._header(Kind.SECRETS, body) + body

    def logged(self, label: str, secret: bytes) -> bytes:
        """A SECRET record."""
        body = self._owner() + events.SECRET.pack(len(secret), label.encode(), secret)
        return self._header(Kind.SECRET, body) + body


def recording(
    *records: bytes, clock_offset_ns: int = 0, layout: dict[str, int] | None = None, trusted: bool | None = None
) -> bytes:
    """A whole recording: magic, what is told first, the records. `layout` is that of the library's secrets."""
    told = encode_meta(Meta(clock_offset_ns=clock_offset_ns), 1)
    library = encode_meta(Meta(library=1, name="libssl 3.0.22", layout=layout, trusted=trusted), 1)
    end = encode_meta(Meta(counters={}), 1)
    return b"".join((MAGIC, told, library, *records, end))
