# SPDX-License-Identifier: Apache-2.0
"""Server-sent events, shown as they arrive: the line of each is there before the server says the next one."""

from __future__ import annotations

import select
import time
import zlib
from pathlib import Path

import pytest
from harness.script import Part, Script, play, request, response
from harness.shown import Line, Shown, lines_of
from harness.tap import POLL_S, READY_TIMEOUT_S, Tap, Taps
from harness.target import Targets

EVENTS = (
    b"data: first\n\n",
    b": a comment\nid: 7\nevent: greeting\ndata: two\ndata: lines\n\n",
    b"retry: 2500\ndata:third \xe2\x82\xac\r\n\r\n",
    b"data: " + b"x" * 70_000 + b"\n\n",
    b'event: end\ndata: {"done": true}\n\n',
)
MEANT = (
    {"event": "message", "data": "first", "id": None, "retry_ms": None},
    {"event": "greeting", "data": "two\nlines", "id": "7", "retry_ms": None},
    {"event": "message", "data": "third €", "id": "7", "retry_ms": 2500},
    {"event": "message", "data": "x" * 70_000, "id": "7", "retry_ms": None},
    {"event": "end", "data": '{"done": true}', "id": "7", "retry_ms": None},
)
STREAM = b"".join(EVENTS)


class Plain:
    """No content coding."""

    def event(self, event: bytes) -> bytes:
        return event

    def end(self) -> bytes:
        return b""


class Gzip(Plain):
    """One stream for all, flushed behind each event, as servers do it."""

    def __init__(self) -> None:
        self.packer = zlib.compressobj(wbits=31)

    def event(self, event: bytes) -> bytes:
        return self.packer.compress(event) + self.packer.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return chunk(self.packer.flush())


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event_of(line: Line) -> Line:
    return {name: line.get(name) for name in ("event", "data", "id", "retry_ms")}


def wait_for_events(tap: Tap, count: int, *, ends: int) -> list[Line]:
    """Until so many are shown by each end."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while len(found := Shown(lines_of(tap.out)).type("event")) < count * ends:
        assert time.monotonic() < deadline, f"{len(found)} events shown of {count}, at both ends"
        select.select([], [], [], POLL_S)
    return found


@pytest.mark.parametrize("coding", ["", "gzip"])
@pytest.mark.parametrize("cut", [False, pytest.param(True, marks=pytest.mark.matrix)], ids=["whole", "cut"])
def test_events_as_they_arrive(targets: Targets, taps: Taps, tmp_path: Path, coding: str, cut: bool) -> None:
    packer = Gzip() if coding else Plain()
    fields = [("Content-Type", "text/event-stream; charset=utf-8"), ("Transfer-Encoding", "chunked")]
    asked = request("GET", "/events", [("Accept", "text/event-stream")])
    answered = response(200, [*fields, *([("Content-Encoding", coding)] if coding else [])], content=STREAM)
    script = Script()
    script.send("client", asked)
    script.send("server", answered, is_head=True)
    for number, event in enumerate(EVENTS):
        sent = chunk(packer.event(event))
        for piece in [sent[:5], sent[5:9], sent[9:]] if cut else [sent]:
            script.say("server", piece)
        script.pause("server", f"event-{number}")
    script.say("server", packer.end() + b"0\r\n\r\n")
    script.meant(asked, Part(answered.first, answered.fields, content=STREAM))
    played = play(targets, tmp_path, script)
    tap = taps.ready("--pid", played.pids, "--format", "json", "-t", 0)
    played.client.go()
    for number in range(len(EVENTS)):
        # Its end has been said, and nothing behind it.
        server = played.at("server", f"event-{number}")
        shown = wait_for_events(tap, number + 1, ends=2)
        assert len(shown) == 2 * (number + 1)
        assert not Shown(lines_of(tap.out)).type("exchange")
        server.go()
    played.finish()
    ended = Shown.of(tap.stop_clean().out)
    ended.check_whole()
    for target in (played.client, played.server):
        assert [event_of(line) for line in ended.type("event", target.pid)] == list(MEANT)
    first, second = ended.type("exchange")
    assert {first["direction"], second["direction"]} == {"in", "out"}
    assert [line["response"]["complete"] for line in (first, second)] == [True, True]
