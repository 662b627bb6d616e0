# SPDX-License-Identifier: Apache-2.0
"""WebSockets as messages: every frame that two peers' own library made or read, against the JSON lines of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.fetched import fetched, npm_tree
from harness.peers import Client
from harness.require import require_command
from harness.shown import Line, Shown, message_of, reported
from harness.tap import Taps
from harness.target import PROGRAMS, Target, Targets

WS = "ws@8.23.0"
FIELDS = ("kind", "close_code", "fragments", "compressed", "from_client")
ORDERS = (
    "text 30 400",
    "binary 3 70000",
    "fragments 5 3000",
    "ping hello",
    "text 1 0",
    "text 2 300000",
    "close 4001 enough",
)


def said_by(target: Target) -> list[Line]:
    assert target.wait() == 0, target.errors.decode()
    return reported(target.output, "message")


def check(shown: Shown, said: list[Line], *, exact: bool = True) -> None:
    """The same messages, each direction of each connection in its order; no byte is left over.

    Unless `exact`, nothing is known of fragments.
    """
    shown.check_whole()
    lines = shown.type("websocket")
    for line in lines:
        assert (line["complete"], line["missing_bytes"]) == (True, 0), line
        assert line["url"].startswith("wss://127.0.0.1:"), line
        assert line["url"].endswith("/chat?room=5"), line
    told = [message_of(line, *FIELDS) for line in lines]
    if not exact:
        told = [{**message, "fragments": None} for message in told]
    assert said
    for pid in {message["pid"] for message in said}:
        for outgoing in (True, False):
            expected = [each for each in said if (each["pid"], each["outgoing"]) == (pid, outgoing)]
            assert [each for each in told if (each["pid"], each["outgoing"]) == (pid, outgoing)] == expected
    assert len(told) == len(said)


def start_pair(targets: Targets) -> tuple[Client, Target]:
    """Both ends by the package `websockets`; the server listens."""
    files = (targets.certificate, targets.key)
    server = targets.start(targets.command("websockets_peer.py", "server", "127.0.0.1", 0, *files))
    (port,) = server.expect("ready")
    client = Client(targets.command("websockets_peer.py", "client", "127.0.0.1", port, targets.certificate))
    targets.started.append(client)
    client.expect("ready")
    return client, server


@pytest.mark.parametrize("mode", ["takeover", "fresh", "plain"])
def test_websockets(targets: Targets, taps: Taps, mode: str) -> None:
    client, server = start_pair(targets)
    tap = taps.ready("--pid", f"{client.pid},{server.pid}", "--format", "json", "-t", 0)
    for order in (f"open {mode}", *ORDERS):
        client.do(order)
    said = [*said_by(client), *said_by(server)]
    shown = Shown.of(tap.stop_clean().out)
    check(shown, said)
    assert len(shown.type("exchange")) == 2
    for line in shown.type("exchange"):
        assert line["response"]["status"] == 101
    assert {message["kind"] for message in said} == {"text", "binary", "ping", "pong", "close"}
    assert {message["compressed"] for message in said} == ({None} if mode == "plain" else {None, True})


def start_node(targets: Targets, role: str, port: str, *files: Path) -> Client:
    """programs/ws_peer.js, by Node and its package `ws`."""
    packages = fetched(WS, npm_tree(WS)) / "node_modules"
    words = [require_command("node"), str(PROGRAMS / "ws_peer.js"), role, "127.0.0.1", port, *map(str, files)]
    client = Client(words, environment={"NODE_PATH": str(packages)})
    targets.started.append(client)
    return client


@pytest.mark.matrix
@pytest.mark.parametrize("mode", ["takeover", "fresh", "plain"])
@pytest.mark.parametrize("ends", ["both", "client", "server"])
def test_node(targets: Targets, taps: Taps, mode: str, ends: str) -> None:
    """Node's `ws` at both ends, or with Python's `websockets` at the other."""
    files = (targets.certificate, targets.key)
    if ends == "client":
        server: Target = targets.start(targets.command("websockets_peer.py", "server", "127.0.0.1", 0, *files))
    else:
        server = start_node(targets, "server", "0", *files)
    (port,) = server.expect("ready")
    if ends == "server":
        client = Client(targets.command("websockets_peer.py", "client", "127.0.0.1", port, targets.certificate))
        targets.started.append(client)
    else:
        client = start_node(targets, "client", port, targets.certificate)
    client.expect("ready")
    tap = taps.ready("--pid", f"{client.pid},{server.pid}", "--format", "json", "-t", 0)
    for order in (f"open {mode}", *ORDERS):
        client.do(order)
    said = [*said_by(client), *said_by(server)]
    # Node's does not say in how many pieces a message came.
    check(Shown.of(tap.stop_clean().out), [{**message, "fragments": None} for message in said], exact=False)
