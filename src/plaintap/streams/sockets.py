# SPDX-License-Identifier: Apache-2.0
"""What is known of the sockets of connections: the paths of Unix sockets, and which two are the ends of one.

Bounded by its owner's number of connections. No parser and no bytes come here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from plaintap.events import Socket, UnixSocketSeen
from plaintap.messages import Connection

_Ends: TypeAlias = tuple[str, int, str, int]
_LOOPBACK = ("127.", "::1")


class Sockets:
    """`max_sockets` are remembered, of each kind; the oldest go first."""

    def __init__(self, *, max_sockets: int) -> None:
        self._max = max_sockets
        self._unix: dict[int, UnixSocketSeen] = {}
        # By their addresses, of all network namespaces, to the connections, of which there is mostly one.
        self._connections: dict[_Ends, list[Connection]] = {}

    def keep_unix(self, seen: UnixSocketSeen) -> None:
        """It is told before the session is, and once."""
        self._unix[seen.session] = seen
        if len(self._unix) > self._max:
            del self._unix[next(iter(self._unix))]

    def _with_path(self, session: int, socket: Socket) -> Socket:
        seen = self._unix.get(session)
        return replace(socket, path=seen.path, peer_pid=seen.peer_pid) if seen else socket

    def learn(self, connection: Connection, socket: Socket) -> None:
        """Its socket is known now, or another than before: so may be who is at its other end."""
        self._forget_ends(connection)
        if connection.socket and _ends(connection.socket) != _ends(socket):
            connection.peer = None
        connection.socket = socket = self._with_path(connection.session, socket)
        if not socket.remote_port:
            return
        here = _ends(socket)
        there = here[2:] + here[:2]
        known = self._connections.setdefault(here, [])
        if connection not in known:
            known.append(connection)
            if len(self._connections) > self._max:
                del self._connections[next(iter(self._connections))]
        other = _other_end(socket, [other for other in self._connections.get(there, ()) if other is not connection])
        if other:
            connection.peer, other.peer = other, connection

    def forget(self, connection: Connection) -> None:
        """It has ended. Whoever shows a message of the other end may still name it."""
        self._unix.pop(connection.session, None)
        self._forget_ends(connection)

    def _forget_ends(self, connection: Connection) -> None:
        socket = connection.socket
        if socket is None:
            return
        here = _ends(socket)
        known = [other for other in self._connections.get(here, ()) if other is not connection]
        if known:
            self._connections[here] = known
        else:
            self._connections.pop(here, None)


def _ends(socket: Socket) -> _Ends:
    return socket.local_address, socket.local_port, socket.remote_address, socket.remote_port


def _other_end(socket: Socket, candidates: list[Connection]) -> Connection | None:
    """Of the same network namespace; else the only one, where its addresses can be reached from here."""
    same = [other for other in candidates if other.socket and other.socket.netns == socket.netns]
    if same:
        return same[-1]
    if len(candidates) == 1 and not socket.remote_address.startswith(_LOOPBACK):
        return candidates[0]
    return None
