# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 as messages, with peers that remember what they said and were told: every field and every body's hash."""

from __future__ import annotations

import pytest
from harness.peers import Client
from harness.require import require_command
from harness.shown import Line, Shown, other_end, reported
from harness.tap import Tap, Taps
from harness.target import Target, Targets

STREAMS = 50
BEFORE = 100
AFTER = 120
REFILLED = 20
"""Requests behind the 100 that fill the table of 4,096 bytes anew."""


class H2:
    """programs/h2_peer.py at both ends."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self.server = self.start_server()
        (port,) = self.server.expect("ready")
        self.port = int(port)

    def start_server(self) -> Target:
        words = ("server", "127.0.0.1", 0, self.targets.certificate, self.targets.key)
        return self.targets.start(self.targets.command("h2_peer.py", *words))

    def client(self, port: int | None = None) -> Client:
        words = ("client", "127.0.0.1", port or self.port, self.targets.certificate)
        client = Client(self.targets.command("h2_peer.py", *words))
        self.targets.started.append(client)
        client.expect("ready")
        return client


def finish(target: Target) -> list[Line]:
    """Its exchanges."""
    assert target.wait() == 0, target.errors.decode()
    return reported(target.output, "exchange")


def check(tap: Tap, *said: list[Line]) -> Shown:
    """That they are shown, and nothing else is."""
    shown = Shown.of(tap.stop_clean().out)
    shown.check_whole()
    shown.check_exchanges([exchange for exchanges in said for exchange in exchanges])
    return shown


@pytest.mark.parametrize(
    "orders",
    [
        ("get 50 /many/{}/1000", "get 50 /again/{}/20000"),
        ("post 3 /large/10 5000000", "one 1 /large/5000000"),
        ("get 5 /trailers/{}/100?trailers", "get 5 /hints/{}/0?hints", "get 5 /gzip/{}/50000?gzip"),
        ("one 300 /{}/10",),
    ],
    ids=["multiplexed", "5 MB each way", "trailers, 103, gzip", "300 header lists"],
)
def test_client_and_server(targets: Targets, taps: Taps, orders: tuple[str, ...]) -> None:
    h2 = H2(targets)
    client = h2.client()
    tap = taps.ready("--pid", f"{client.pid},{h2.server.pid}", "--format", "json", "-t", 0)
    for order in orders:
        client.do(order)
    asked, served = finish(client), finish(h2.server)
    # Byte for byte: what one says it said is what the other says it heard.
    assert [other_end(exchange, h2.server.pid) for exchange in asked] == served
    check(tap, asked, served)


def check_late(shown: list[Line], said: list[Line]) -> None:
    """Every field is what the peer said or unknown; at first some are unknown, at last none is."""
    assert len(shown) == len(said)
    unknown = [0] * len(said)
    for number, (exchange, truth) in enumerate(zip(shown, said, strict=True)):
        where = f"exchange {number} after the attaching: {exchange}, said: {truth}"
        exact = ("pid", "local", "remote", "outgoing", "stream", "method", "status", "interim")
        assert [exchange[name] for name in exact] == [truth[name] for name in exact], where
        assert exchange["url"] in {None, truth["url"]}, where
        for side in ("request", "response"):
            part, meant = exchange[side], truth[side]
            assert (part["body"], part["trailers"]) == (meant["body"], meant["trailers"]), where
            assert len(part["headers"]) == len(meant["headers"]), where
            for field, right in zip(part["headers"], meant["headers"], strict=True):
                for told, wanted in zip(field, right, strict=True):
                    assert told in {None, wanted}, where
                unknown[number] += field != right
        # RFC 7541, appendix A, entry 16: never of the dynamic table.
        assert ["accept-encoding", "gzip, deflate"] in exchange["request"]["headers"], where
        # Literals, whatever their names are.
        assert truth["request"]["headers"][-1] in exchange["request"]["headers"], where
    assert unknown[0] > 0, "nothing came from the dynamic table: this tests nothing"
    assert unknown[-REFILLED:] == [0] * REFILLED, unknown
    assert shown[-REFILLED:] == said[-REFILLED:]


@pytest.mark.parametrize("flags", ["pid", pytest.param("everybody", marks=pytest.mark.matrix)])
def test_attached_late(targets: Targets, taps: Taps, flags: str) -> None:
    """100 requests have been made: what refers to them is unknown until it is sent again, and nothing is guessed."""
    h2 = H2(targets)
    client = h2.client()
    client.do(f"one {BEFORE} /before/{{}}/50")
    pids = ("--pid", f"{client.pid},{h2.server.pid}") if flags == "pid" else ()
    tap = taps.ready(*pids, "--format", "json", "-t", 0)
    client.do(f"one {AFTER} /after/{{}}/50")
    asked, served = finish(client), finish(h2.server)
    shown = Shown.of(tap.stop_clean().out)
    shown.check_whole()
    for target, said in ((client, asked), (h2.server, served)):
        assert len(said) == BEFORE + AFTER
        check_late([exchange for exchange in shown.exchanges if exchange["pid"] == target.pid], said[BEFORE:])


CURL_URLS = [f"/curl/{number}/{1000 + number}" for number in range(STREAMS)]


def test_curl(targets: Targets, taps: Taps) -> None:
    """50 streams over one connection, as curl makes them when it is told to work in parallel."""
    h2 = H2(targets)
    tap = taps.ready("--format", "json", "-t", 0)
    urls = [f"https://127.0.0.1:{h2.port}{path}" for path in CURL_URLS]
    words = ("-sS", "--http2", "--parallel", "--parallel-max", STREAMS, "--cacert", targets.certificate)
    command = [require_command("curl"), *words, "-H", "X-Long: " + "x" * 300, *urls]
    curl = targets.start([str(word) for word in command])
    assert curl.wait() == 0, curl.errors
    served = finish(h2.server)
    assert len({tuple(exchange["remote"]) for exchange in served}) == 1
    assert len(served) == STREAMS
    shown = check(tap, served, [other_end(exchange, curl.pid) for exchange in served])
    assert {line["connection"]["tls"].get("alpn") for line in shown.type("exchange")} == {"h2"}
