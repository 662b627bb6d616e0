# SPDX-License-Identifier: Apache-2.0
"""Process and connection as encoded JSON, made once per connection and change of it; json and har both show them."""

from __future__ import annotations

from operator import attrgetter
from socket import AF_UNIX

import msgspec
from msgspec import Raw

from plaintap.events import Socket
from plaintap.messages import Connection
from plaintap.outputs.json_parts import Address, ConnectionPart, Process, Tls, UnixSocket
from plaintap.outputs.suites import suite_name, version_name
from plaintap.outputs.wiretext import clean

_CONNECTIONS = 8192
_IDENTITY = attrgetter("socket", "comm", "library", "exe", "container", "tls_version", "cipher", "alpn", "sni", "peer")
_encode = msgspec.json.Encoder().encode

Seen = tuple[object, Raw, Raw]
"""What it was made of, process, connection."""


class Parties:
    """By session; bounded."""

    def __init__(self) -> None:
        self._seen: dict[int, Seen] = {}

    def of(self, connection: Connection) -> Seen:
        """As the connection is known by now."""
        seen = self._seen.get(connection.session)
        identity = _IDENTITY(connection)
        if seen is None or seen[0] != identity:
            seen = (identity, process_part(connection), connection_part(connection))
            if len(self._seen) >= _CONNECTIONS:
                self._seen.clear()
            self._seen[connection.session] = seen
        return seen

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""
        self._seen.pop(connection.session, None)


def process_part(connection: Connection) -> Raw:
    """`json_parts.Process`."""
    return Raw(_encode(_process(connection)))


def _process(connection: Connection) -> Process:
    exe, container = clean(connection.exe), clean(connection.container)
    return Process(connection.pid, clean(connection.comm), connection.uid, exe, container)


def connection_part(connection: Connection) -> Raw:
    """`json_parts.ConnectionPart`."""
    tls = Tls(
        clean(connection.library),
        version_name(connection.tls_version),
        suite_name(connection.cipher),
        clean(connection.alpn),
        clean(connection.sni),
    )
    # Of more than 53 bits, which numbers in JSON do not have everywhere.
    number = str(connection.session)
    socket = connection.socket
    peer = _process(connection.peer) if connection.peer else None
    if socket is None:
        return Raw(_encode(ConnectionPart(number, None, None, tls, peer=peer)))
    local = _address(socket.local_address, socket.local_port)
    remote = _address(socket.remote_address, socket.remote_port)
    return Raw(_encode(ConnectionPart(number, local, remote, tls, _unix(socket), socket.netns, socket.fd, peer)))


def _address(address: str, port: int) -> Address | None:
    return Address(address, port) if address else None


def _unix(socket: Socket) -> UnixSocket | None:
    return UnixSocket(clean(socket.path), socket.peer_pid or None) if socket.family == AF_UNIX else None
