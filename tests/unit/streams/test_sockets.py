# SPDX-License-Identifier: Apache-2.0
"""Which connections are the two ends of one, and which only look like it."""

from __future__ import annotations

import socket as _socket

from plaintap.events import Socket, UnixSocketSeen
from plaintap.messages import Connection
from plaintap.streams.sockets import Sockets


def end(local: str, remote: str, *, netns: int = 1) -> Socket:
    (local_address, local_port), (remote_address, remote_port) = (text.rsplit(":", 1) for text in (local, remote))
    return Socket(1, _socket.AF_INET, local_address, int(local_port), remote_address, int(remote_port), netns, 3, 1)


def connection(session: int) -> Connection:
    return Connection(session, 100 + session, 100 + session, 0, "x")


CLIENT, SERVER = "192.0.2.1:40000", "192.0.2.2:443"


def test_both_ends_know_each_other() -> None:
    sockets = Sockets(max_sockets=8)
    client, server = connection(1), connection(2)
    sockets.learn(client, end(CLIENT, SERVER))
    sockets.learn(server, end(SERVER, CLIENT))
    assert (client.peer, server.peer) == (server, client)


def test_the_same_namespace_goes_first() -> None:
    sockets = Sockets(max_sockets=8)
    client, stranger, server = connection(1), connection(2), connection(3)
    sockets.learn(stranger, end(SERVER, CLIENT, netns=9))
    sockets.learn(server, end(SERVER, CLIENT, netns=1))
    sockets.learn(client, end(CLIENT, SERVER, netns=1))
    assert client.peer is server
    assert stranger.peer is None


def test_another_namespace_that_can_be_reached() -> None:
    sockets = Sockets(max_sockets=8)
    client, server = connection(1), connection(2)
    sockets.learn(server, end(SERVER, CLIENT, netns=9))
    sockets.learn(client, end(CLIENT, SERVER, netns=1))
    assert client.peer is server


def test_loopback_of_another_namespace_is_another_host() -> None:
    sockets = Sockets(max_sockets=8)
    client, server = connection(1), connection(2)
    sockets.learn(server, end("127.0.0.1:443", "127.0.0.1:40000", netns=9))
    sockets.learn(client, end("127.0.0.1:40000", "127.0.0.1:443", netns=1))
    assert client.peer is None


def test_who_has_ended_is_nobodys_peer_any_more() -> None:
    sockets = Sockets(max_sockets=8)
    old, client, server = connection(1), connection(2), connection(3)
    sockets.learn(old, end(SERVER, CLIENT))
    sockets.forget(old)
    sockets.learn(client, end(CLIENT, SERVER))
    assert client.peer is None
    sockets.learn(server, end(SERVER, CLIENT))
    assert client.peer is server


def test_a_socket_that_changed() -> None:
    sockets = Sockets(max_sockets=8)
    client, server = connection(1), connection(2)
    sockets.learn(client, end("192.0.2.1:1", SERVER))
    sockets.learn(client, end(CLIENT, SERVER))
    sockets.learn(server, end(SERVER, "192.0.2.1:1"))
    assert [server.peer] == [None]
    sockets.learn(server, end(SERVER, CLIENT))
    assert server.peer is client
    sockets.learn(server, end(SERVER, "192.0.2.1:2"))
    assert [server.peer] == [None]


def test_the_path_of_a_unix_socket_stays_known_when_it_is_told_again() -> None:
    sockets = Sockets(max_sockets=8)
    client = connection(1)
    sockets.keep_unix(UnixSocketSeen(1, "/run/x", 77))
    unix = Socket(1, _socket.AF_UNIX, "", 0, "", 0, 1, 3, 1)
    for _ in range(2):
        sockets.learn(client, unix)
        assert client.socket is not None
        assert (client.socket.path, client.socket.peer_pid) == ("/run/x", 77)


def test_bounded() -> None:
    sockets = Sockets(max_sockets=4)
    for number in range(100):
        sockets.learn(connection(number), end(f"192.0.2.1:{number + 1}", SERVER))
        sockets.keep_unix(UnixSocketSeen(number, "/x", 1))
    assert len(sockets._connections) == 4
    assert len(sockets._unix) == 4
