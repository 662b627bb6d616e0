# SPDX-License-Identifier: Apache-2.0
"""The eCaptureQ server: the log from the start, heartbeats, events to all, and nobody waited for."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from peers import WAIT_S
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from plaintap.outputs.ecaptureq_door import Door, Refusal
from plaintap.outputs.framing import LINES
from plaintap.outputs.sinks.address import parse_peer
from plaintap.outputs.sinks.ecaptureq import FIRST_LINES, EcaptureqFeed, EcaptureqServer, Forms

FORMS = {
    "protobuf": Forms(log=lambda text: b"log " + text.encode(), heartbeat=lambda _s, count: b"beat %d" % count),
    "json": Forms(log=lambda text: json.dumps({"log": text}), heartbeat=lambda _s, count: json.dumps({"beat": count})),
}


class Bench:
    def __init__(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = listening.getsockname()[1]
        self.said: list[str] = []
        door = Door(parse_peer(f"ws://127.0.0.1:{self.port}/", label="x"))
        self.server = EcaptureqServer(listening, door, FORMS, say=self.said.append)

    def client(self, path: str = "/", **options: Any) -> AbstractContextManager[ClientConnection]:
        made: AbstractContextManager[ClientConnection] = connect(f"ws://127.0.0.1:{self.port}{path}", **options)
        return made


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.server.close()


def take(client: ClientConnection, number: int) -> list[Any]:
    return [client.recv(WAIT_S) for _ in range(number)]


def test_the_log_from_the_start_then_a_heartbeat_and_events(bench: Bench) -> None:
    for number in range(FIRST_LINES + 5):
        bench.server.log(f"line {number}")
    with bench.client() as client:
        got = take(client, FIRST_LINES + 1)
        assert got[0] == b"beat 1"
        assert got[1:] == [b"log line %d" % number for number in range(FIRST_LINES)]
        bench.server.log("late")
        bench.server.publish("protobuf", [b"one", b"two"])
        assert take(client, 3) == [b"log late", b"one", b"two"]


def test_json_for_who_asks(bench: Bench) -> None:
    with bench.client("/?format=json") as client:
        assert json.loads(client.recv(WAIT_S)) == {"beat": 1}
        feed = EcaptureqFeed(bench.server, "json", LINES)
        assert bench.server.has_clients("json")
        assert not bench.server.has_clients("protobuf")
        feed.write(b'{"a":1}\n{"b":2}\n')
        feed.close()
        assert [json.loads(message) for message in take(client, 2)] == [{"a": 1}, {"b": 2}]


def test_fifty_clients_one_of_which_never_reads(bench: Bench) -> None:
    with ExitStack() as leaving:
        clients = [leaving.enter_context(bench.client(max_queue=None, compression=None)) for _ in range(49)]
        serve_all(bench, clients)


def serve_all(bench: Bench, clients: list[ClientConnection]) -> None:
    dead = socket.create_connection(("127.0.0.1", bench.port))
    dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    dead.sendall(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    for client in clients:
        assert client.recv(WAIT_S) == b"beat 1"
    counts = [0] * len(clients)

    def read(at: int) -> None:
        while counts[at] < 200:
            assert len(clients[at].recv(WAIT_S)) == 100_000
            counts[at] += 1

    readers = [threading.Thread(target=read, args=(at,)) for at in range(len(clients))]
    for reader in readers:
        reader.start()
    for number in range(200):
        bench.server.publish("protobuf", [b"x" * 100_000])
        while min(counts) < number - 10:  # those that read are not too slow
            time.sleep(0.001)
    for reader in readers:
        reader.join(WAIT_S)
    assert counts == [200] * 49
    assert bench.server.let_go == 1
    assert len(bench.said) == 1
    assert bench.said[0].endswith("does not read, and was let go")
    dead.close()


def test_what_clients_say_is_ignored(bench: Bench) -> None:
    with bench.client() as client:
        client.send("nonsense")
        client.send(b"\0" * 1000)
        assert client.recv(WAIT_S) == b"beat 1"
        bench.server.publish("protobuf", [b"event"])
        assert client.recv(WAIT_S) == b"event"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {"Origin": "http://evil.example"}, 403),
        ("/?format=xml", {}, 400),
    ],
)
def test_who_is_refused(bench: Bench, path: str, headers: dict[str, str], status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        bench.client(path, additional_headers=headers)
    assert caught.value.response.status_code == status


def test_the_rules_of_the_door() -> None:
    local = Door(parse_peer("ws://127.0.0.1:1/", label="x"))
    assert local.check(target="/", host="localhost:1", origin=None) == "protobuf"
    assert local.check(target="/?format=json", host="[::1]:1", origin="http://[::1]:1") == "json"
    for host, origin in (("evil.example:1", None), ("127.0.0.1:1", "null"), ("127.0.0.1:1", "http://127.0.0.1:2")):
        assert isinstance(local.check(target="/", host=host, origin=origin), Refusal)
    wide = Door(parse_peer("ws://0.0.0.0:1/", label="x"))
    assert wide.token_is_ours
    assert len(wide.token) >= 32
    assert isinstance(wide.check(target="/", host="h:1", origin=None), Refusal)
    assert wide.check(target=f"/{wide.token}/?format=json", host="h:1", origin=None) == "json"
    named = Door(parse_peer("ws://0.0.0.0:1/ours", label="x"))
    assert (named.token, named.token_is_ours) == ("ours", False)
