# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 of which the beginning was not seen: what is shown is right or said to be unknown, and soon all is right."""

from __future__ import annotations

import pytest
from harness.h2 import H2, finish
from harness.shown import Line, Shown
from harness.tap import Taps
from harness.target import Targets

BEFORE = 100
AFTER = 120
REFILLED = 20
"""Requests behind the 100 that fill the table of 4,096 bytes anew."""


def check_late(shown: list[Line], said: list[Line]) -> None:
    """Every field is what the peer said or unknown; at first some are unknown, at last none is."""
    assert len(shown) == len(said)
    if shown[0]["request"] is None:
        # The server waited for it in a call that is older than the probes.
        assert not shown[0]["outgoing"]
        shown, said = shown[1:], said[1:]
    unknown = [0] * len(said)
    for number, (exchange, truth) in enumerate(zip(shown, said, strict=True)):
        where = f"exchange {number} after the attaching: {exchange}, said: {truth}"
        exact = ("pid", "local", "remote", "outgoing", "stream", "method", "status", "interim")
        assert [exchange[name] for name in exact] == [truth[name] for name in exact], where
        assert exchange["url"] in {None, truth["url"]}, where
        for side in ("request", "response"):
            part, meant = exchange[side], truth[side]
            assert (part["body"], part["trailers"]) == (meant["body"], meant["trailers"]), where
            # A field that may be `:authority` is among those nobody knows the name of.
            nameless = [[":authority", ""]] if side == "request" and exchange["url"] is None else []
            assert len(part["headers"]) == len(nameless + meant["headers"]), where
            for field, right in zip(part["headers"], nameless + meant["headers"], strict=True):
                for told, wanted in zip(field, right, strict=True):
                    assert told in {None, wanted}, where
                unknown[number] += field != right
        # RFC 7541, appendix A, entry 16: never of the dynamic table.
        assert ["accept-encoding", "gzip, deflate"] in exchange["request"]["headers"], where
        # Never indexed, and its name is of the static table.
        named = [field for field in exchange["request"]["headers"] if field[0] == "authorization"]
        assert named == [field for field in truth["request"]["headers"] if field[0] == "authorization"], where
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
    shown = Shown.of(tap.stop_clean().out).of_processes({client.pid, h2.server.pid})
    shown.check_whole()
    for target, said in ((client, asked), (h2.server, served)):
        assert len(said) == BEFORE + AFTER
        check_late([exchange for exchange in shown.exchanges if exchange["pid"] == target.pid], said[BEFORE:])


@pytest.mark.parametrize("begun_bytes", [3_000_000, pytest.param(100_000, marks=pytest.mark.matrix)])
def test_attached_in_the_middle_of_a_body(targets: Targets, taps: Taps, begun_bytes: int) -> None:
    """The next frame's beginning is found, and from there everything is right but for what was not seen."""
    h2 = H2(targets)
    client = h2.client()
    client.do("one 10 /before/{}/50")
    client.do(f"begin /begun/{begun_bytes}")
    tap = taps.ready("--pid", client.pid, "--format", "json", "-t", 0)
    client.do("finish")
    client.do(f"one {AFTER} /after/{{}}/50")
    asked = finish(client)
    finish(h2.server)
    shown = Shown.of(tap.stop_clean().out)
    assert not shown.type("lost")
    exchanges = [exchange for exchange in shown.exchanges if exchange["stream"] > asked[10]["stream"]]
    check_late(exchanges, asked[11:])
