# SPDX-License-Identifier: Apache-2.0
"""gRPC as calls and messages: what two peers say they sent and received, against the JSON lines of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.fetched import fetched, npm_tree
from harness.peers import Client
from harness.require import require_command
from harness.shown import Line, Shown, message_of, other_end, reported
from harness.tap import Taps
from harness.target import PROGRAMS, Target, Targets

GRPC_JS = "@grpc/grpc-js@1.14.7"
SERVICE = "shop.v1.Orders"

FIELDS = ("stream", "service", "method", "from_client", "number", "compressed")
CALL_FIELDS = ("service", "method", "sent", "received", "status", "message")
CALLS: dict[str, tuple[str, int, int, int, str | None]] = {
    # name: method, messages of the client, of the server, status, message
    "unary": ("Unary", 1, 1, 0, None),
    "server_stream": ("ServerStream", 1, 5, 0, None),
    "client_stream": ("ClientStream", 5, 1, 0, None),
    "bidirectional": ("Bidirectional", 5, 5, 0, None),
    "compressed": ("Compressed", 5, 5, 0, None),
    "error": ("Error", 1, 0, 5, "no order 1234: café"),
    "refused": ("Refused", 1, 0, 5, "no order 1234: café"),
}
PROTO = """
syntax = "proto3";
package shop.v1;
message Order { int64 number = 1; string text = 2; }
service Orders {
  rpc Unary (Order) returns (Order);
  rpc ServerStream (Order) returns (stream Order);
  rpc ClientStream (stream Order) returns (Order);
  rpc Bidirectional (stream Order) returns (stream Order);
  rpc Compressed (stream Order) returns (stream Order);
  rpc Error (Order) returns (Order);
  rpc Refused (Order) returns (Order);
}
"""


def start_pair(targets: Targets) -> tuple[Client, Target]:
    server = targets.start(targets.command("grpc_peer.py", "server", "127.0.0.1", 0, targets.certificate, targets.key))
    (port,) = server.expect("ready")
    client = Client(targets.command("grpc_peer.py", "client", "127.0.0.1", port, targets.certificate))
    targets.started.append(client)
    client.expect("ready")
    return client, server


def call_of(line: Line) -> Line:
    grpc: Line = line["grpc"]
    return {name: grpc.get(name) for name in CALL_FIELDS}


def expected_calls() -> dict[str, Line]:
    """By method, in the order in which they are made."""
    return {call[0]: dict(zip(CALL_FIELDS, (SERVICE, *call), strict=True)) for call in CALLS.values()}


def in_streams(lines: list[Line]) -> list[Line]:
    """Ordered by what tells them apart: the two directions of a stream run side by side."""
    return sorted(lines, key=lambda each: (each["pid"], each["stream"], each["from_client"], each["number"]))


def check_messages(shown: Shown, said: list[Line]) -> None:
    lines = shown.type("grpc")
    for line in lines:
        assert line["missing_bytes"] == 0, line
    assert said
    told = [message_of(line, *FIELDS) for line in lines]
    assert in_streams(told) == in_streams(said)
    for pid in {message["pid"] for message in told}:
        numbers = [(each["stream"], each["from_client"], each["number"]) for each in told if each["pid"] == pid]
        for stream, from_client, _ in numbers:
            own = [each[2] for each in numbers if each[:2] == (stream, from_client)]
            assert own == sorted(own), "not in the order in which they were sent"


@pytest.mark.parametrize("with_schema", [False, True], ids=["by number", "by name"])
def test_calls(targets: Targets, taps: Taps, with_schema: bool) -> None:
    client, server = start_pair(targets)
    proto = targets.folder / "orders.proto"
    proto.write_text(PROTO)
    flags = ("--proto", proto) if with_schema else ()
    tap = taps.ready("--pid", f"{client.pid},{server.pid}", "--format", "json", "-t", 0, *flags)
    for name in CALLS:
        client.do(name)
    assert client.wait() == 0, client.errors.decode()
    assert server.wait() == 0, server.errors.decode()
    shown = Shown.of(tap.stop_clean().out)
    shown.check_whole()
    shown.check_exchanges([line for target in (client, server) for line in reported(target.output, "exchange")])
    check_messages(shown, [line for target in (client, server) for line in reported(target.output, "message")])
    for target in (client, server):
        assert [call_of(line) for line in shown.type("exchange", target.pid)] == [*expected_calls().values()]
        unary = next(line for line in shown.type("grpc", target.pid) if line["method"] == "Unary")
        assert set(unary["fields"] or {}) <= ({"number", "text"} if with_schema else {"1", "2"}), unary["fields"]
        assert unary["fields"], unary


def start_node(targets: Targets, role: str, port: str, *files: Path) -> Client:
    """programs/grpc_peer.js, by Node and its package `@grpc/grpc-js`."""
    packages = fetched("grpc-js-1.14.7", npm_tree(GRPC_JS)) / "node_modules"
    words = [require_command("node"), str(PROGRAMS / "grpc_peer.js"), role, "127.0.0.1", port, *map(str, files)]
    client = Client(words, environment={"NODE_PATH": str(packages)})
    targets.started.append(client)
    return client


def _order(message: Line) -> tuple[object, ...]:
    return tuple(str(message[name]) for name in ("pid", "method", "from_client", "number"))


@pytest.mark.matrix
def test_node(targets: Targets, taps: Taps) -> None:
    """Node's own gRPC at both ends: the server says what it heard and said, and the client heard and said that."""
    server = start_node(targets, "server", "0", targets.certificate, targets.key)
    (port,) = server.expect("ready")
    client = start_node(targets, "client", port, targets.certificate)
    client.expect("ready")
    tap = taps.ready("--pid", f"{client.pid},{server.pid}", "--format", "json", "-t", 0)
    for name in CALLS:
        client.do(name)
    assert client.wait() == 0, client.errors.decode()
    assert server.wait() == 0, server.errors.decode()
    shown = Shown.of(tap.stop_clean().out)
    shown.check_whole()
    said = reported(server.output, "message")
    said += [other_end(message, client.pid) for message in said]
    told = [message_of(line, "service", "method", "from_client", "number") for line in shown.type("grpc")]
    assert sorted(told, key=_order) == sorted(said, key=_order)
    coded = {line["method"] for line in shown.type("grpc") if line.get("compressed")}
    assert coded == {"Compressed"}
    for target in (client, server):
        calls = {line["grpc"]["method"]: call_of(line) for line in shown.type("exchange", target.pid)}
        # It sends a message with every status.
        assert calls == {
            method: {**call, "message": call["message"] or "OK"} for method, call in expected_calls().items()
        }
