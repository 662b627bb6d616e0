# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 as messages: conversations written to the byte, said by two real peers, against the JSON lines of a run."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard
from harness.script import Fields, Script, chunked, play, request, response
from harness.shown import Shown, data_of
from harness.tap import Taps
from harness.target import SLOWNESS, Targets

CHUNKED = ("Transfer-Encoding", "chunked")
TEXT = b"the quick brown fox jumps over the lazy dog\n" * 500
BINARY = bytes(range(256)) * 40
OCTETS = ("Content-Type", "application/octet-stream")
PLAIN = ("Content-Type", "text/plain")
PIECE = os.urandom(1 << 16)
PIECES = 1600
BODY_LIMIT = 1 << 16


def sized(content: bytes, *fields: tuple[str, str]) -> Fields:
    return [*fields, ("Content-Length", str(len(content)))]


def pipelining_with_head() -> Script:
    """Five requests at once, a HEAD among them whose answer names a length it does not have."""
    script = Script()
    upload = b"a=1&b=2"
    asked = [
        request("GET", "/first"),
        request("HEAD", "/second"),
        request("POST", "/third", sized(upload, ("Content-Type", "application/x-www-form-urlencoded")), content=upload),
        request("HEAD", "/fourth"),
        request("GET", "/fifth"),
    ]
    answered = [
        response(200, sized(BINARY, OCTETS), content=BINARY),
        response(200, [PLAIN, ("Content-Length", "123456")]),
        response(204, [("X-Posted", "yes")]),
        response(200, [CHUNKED]),
        response(404, sized(b"nothing", PLAIN), content=b"nothing"),
    ]
    for each in asked:
        script.send("client", each)
    for each, other in zip(asked, answered, strict=True):
        script.send("server", other)
        script.meant(each, other)
    return script


def interim() -> Script:
    """100 before a body is sent, 103 twice before an answer."""
    script = Script()
    asked = request("PUT", "/big", sized(BINARY, OCTETS, ("Expect", "100-continue")), content=BINARY)
    answered = response(201, sized(b"made", PLAIN), content=b"made")
    script.send("client", asked, is_head=True)
    script.say("server", b"HTTP/1.1 100 Continue\r\n\r\n")
    script.say("client", asked.body)
    for style in ("one", "two"):
        script.say("server", f"HTTP/1.1 103 Early Hints\r\nLink: </{style}.css>; rel=preload\r\n\r\n".encode())
    script.send("server", answered)
    script.meant(asked, answered, (100, 103, 103))
    script.exchange(request("GET", "/after"), response(200, sized(b"", PLAIN)))
    return script


def chunks_and_trailers() -> Script:
    script = Script()
    trailers: Fields = [("X-Checksum", "abc"), ("Server-Timing", "all;dur=5")]
    pieces = [BINARY[at : at + 1000] for at in range(0, len(BINARY), 1000)]
    script.exchange(
        request(
            "POST",
            "/up",
            [OCTETS, CHUNKED],
            content=BINARY,
            wire=chunked(*pieces, trailers=trailers),
            trailers=trailers,
        ),
        response(200, [OCTETS, CHUNKED], content=BINARY, wire=chunked(*pieces, extension=";name=value")),
    )
    script.exchange(
        request("GET", "/down"),
        response(
            200,
            [PLAIN, CHUNKED, ("Trailer", "X-Checksum")],
            content=TEXT,
            wire=chunked(TEXT[:1], TEXT[1:], trailers=trailers),
            trailers=trailers,
        ),
    )
    return script


def codings() -> Script:
    """Every content coding, some doubled, and gzip as a transfer coding."""
    script = Script()
    coded = {
        "gzip": gzip.compress(TEXT),
        "deflate": zlib.compress(TEXT),
        "br": brotli.compress(TEXT),
        "zstd": zstandard.compress(TEXT),
        "gzip, br": brotli.compress(gzip.compress(TEXT)),
    }
    for name, wire in coded.items():
        fields = sized(wire, PLAIN, ("Content-Encoding", name))
        script.exchange(
            request("POST", "/coded", fields, content=TEXT, wire=wire), response(200, fields, content=TEXT, wire=wire)
        )
        script.exchange(
            request("GET", "/chunked"),
            response(
                200,
                [OCTETS, ("Content-Encoding", name), CHUNKED],
                content=TEXT,
                wire=chunked(wire[:7], wire[7:]),
            ),
        )
    script.exchange(
        request("GET", "/transfer"),
        response(200, [PLAIN, ("Transfer-Encoding", "gzip, chunked")], content=TEXT, wire=chunked(gzip.compress(TEXT))),
    )
    return script


def until_the_end() -> Script:
    """No length: the body ends with the connection."""
    script = Script()
    script.exchange(request("GET", "/endless"), response(200, [OCTETS, ("Connection", "close")], content=BINARY))
    return script


def tunnel() -> Script:
    """CONNECT, and other exchanges behind it."""
    script = Script()
    asked = request("CONNECT", "inside.test:443")
    answered = response(200)
    script.send("client", asked)
    script.send("server", answered)
    script.meant(asked, answered)
    script.exchanges[-1]["url"] = "inside.test:443"
    script.exchange(request("GET", "/inside"), response(200, sized(TEXT, PLAIN), content=TEXT))
    return script


CONVERSATIONS: dict[str, Callable[[], Script]] = {
    "pipelining with HEAD": pipelining_with_head,
    "1xx": interim,
    "chunks and trailers": chunks_and_trailers,
    "content codings": codings,
    "until the end": until_the_end,
    "CONNECT": tunnel,
}


def captured(targets: Targets, taps: Taps, folder: Path, script: Script) -> Shown:
    """The whole conversation, asserted."""
    played = play(targets, folder, script)
    tap = taps.ready("--pid", played.pids, "--format", "json", "-t", 0)
    played.client.go()
    said = played.finish()
    ended = tap.stop_clean()
    ended.streams.check_all([said, said.other_end(played.server.pid)], comm=played.comm)
    shown = Shown.of(ended.out)
    shown.check_exchanges(played.exchanges)
    return shown


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations(targets: Targets, taps: Taps, tmp_path: Path, name: str) -> None:
    captured(targets, taps, tmp_path, CONVERSATIONS[name]()).check_whole()


def test_upgrade_to_what_nobody_knows(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """What follows is raw, to the byte."""
    script = Script()
    script.exchange(
        request("GET", "/chat", [("Connection", "Upgrade"), ("Upgrade", "unheard-of/1")]),
        response(101, [("Connection", "Upgrade"), ("Upgrade", "unheard-of/1")]),
    )
    script.say("client", BINARY)
    script.say("server", TEXT)
    script.say("client", b"\x00\x01the end")
    shown = captured(targets, taps, tmp_path, script)
    for process in {line["process"]["pid"] for line in shown.type("raw")}:
        lines = shown.type("raw", process)
        told = {way: b"".join(data_of(line) for line in lines if line["direction"] == way) for way in ("in", "out")}
        assert sorted(told.values()) == sorted([TEXT, BINARY + b"\x00\x01the end"])
    assert len({line["process"]["pid"] for line in shown.type("raw")}) == 2


def test_a_large_download(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """100 MB: its bytes are compared in the recording, its size and beginning in the line."""
    script = Script()
    asked = request("GET", "/large")
    answered = response(200, [OCTETS, ("Content-Length", str(len(PIECE) * PIECES))], content=PIECE, times=PIECES)
    script.exchange(asked, answered)
    script.exchange(request("GET", "/after"), response(200, sized(b"after", PLAIN), content=b"after"))
    played = play(targets, tmp_path, script)
    tap = taps.ready("--pid", played.client.pid, "--format", "json")
    played.client.go()
    said = played.finish()
    ended = tap.stop_clean()
    ended.streams.check_all([said], comm=played.comm)
    shown = Shown.of(ended.out)
    large, after = shown.type("exchange")
    body = large["response"]
    assert (body["body_bytes"], body["complete"], body["missing_bytes"]) == (len(PIECE) * PIECES, True, 0)
    assert body["body_left_out_bytes"] == len(PIECE) * PIECES - BODY_LIMIT
    assert data_of(body, "body") == PIECE[:BODY_LIMIT]
    assert after["response"]["body"] == "after"


@pytest.mark.parametrize("silence_s", [1.5, pytest.param(14, marks=pytest.mark.matrix)])
def test_a_slow_answer(targets: Targets, taps: Taps, tmp_path: Path, silence_s: float) -> None:
    """Silence before an answer, in the middle of it, and between two exchanges is no end of anything."""
    script = Script()
    asked, answered = request("GET", "/slow"), response(200, sized(BINARY, OCTETS), content=BINARY)
    script.send("client", asked)
    script.pause("server", "before-the-answer")
    script.send("server", answered, is_head=True)
    script.say("server", answered.body[:5000])
    script.pause("server", "in-the-middle")
    script.say("server", answered.body[5000:])
    script.meant(asked, answered)
    script.pause("client", "between")
    script.exchange(request("GET", "/next"), response(200, sized(TEXT, PLAIN), content=TEXT))
    played = play(targets, tmp_path, script)
    tap = taps.ready("--pid", played.pids, "--format", "json", "-t", 0)
    played.client.go()
    pauses = (("server", "before-the-answer"), ("server", "in-the-middle"), ("client", "between"))
    for who, name in pauses:
        target = played.at(who, name)
        time.sleep(silence_s * SLOWNESS)  # the silence is what is tested
        target.go()
    played.finish()
    shown = Shown.of(tap.stop_clean().out)
    shown.check_whole()
    shown.check_exchanges(played.exchanges)
