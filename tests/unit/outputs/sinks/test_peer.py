# SPDX-License-Identifier: Apache-2.0
"""Sinks at the other end of a network: whole events, again and again, and every loss counted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from peers import WAIT_S, Listener, free_port, silent_peer
from websockets.sync.server import ServerConnection, serve

from plaintap.outputs.framing import DELIMITED, LINES, with_length
from plaintap.outputs.sinks.links import Link
from plaintap.outputs.sinks.peer import PeerSink
from plaintap.outputs.sinks.queued import QueuedSink
from plaintap.outputs.sinks.reaching import Trust, opener


def tcp_sink(port: int) -> PeerSink:
    return PeerSink(
        lambda: Link("127.0.0.1", port), name="peer", framing=LINES, bare=False, sleep=lambda _s: time.sleep(0.01)
    )


def ws_sink(port: int, *, binary: bool = False) -> PeerSink:
    open_link, peer, bare = opener(f"ws://127.0.0.1:{port}/x", binary=binary, trust=Trust())
    framing = DELIMITED if binary else LINES
    return PeerSink(open_link, name=str(peer), framing=framing, bare=bare, sleep=lambda _s: time.sleep(0.01))


def test_lines_arrive() -> None:
    listener = Listener()
    sink = tcp_sink(listener.port)
    sink.write(b"a\nb\n")
    sink.flush()
    sink.write(b"c\n")
    sink.flush()
    sink.close()
    listener.join()
    assert listener.received == [b"a\nb\nc\n"]


def test_a_peer_that_drains_and_closes_ten_times_loses_nothing() -> None:
    listener = Listener(close_after=200_000, connections=11)
    sink = QueuedSink(tcp_sink(listener.port), lossless=True, count=LINES.count, name="peer")
    expected: list[bytes] = []
    began_s = time.monotonic()
    while len(listener.received) < 10 and time.monotonic() - began_s < WAIT_S:
        more = [b"%08d %s\n" % (number, b"x" * 90) for number in range(len(expected), len(expected) + 50)]
        expected += more
        sink.write(b"".join(more))
        sink.flush()
    sink.close()
    listener.join()
    assert all(part.endswith(b"\n") for part in listener.received)
    assert b"".join(listener.received) == b"".join(expected)
    assert sink.dropped_writes == 0
    assert sum("connecting again" in news for news in sink.take_news()) == 10


def test_received_and_dropped_is_what_was_written() -> None:
    """With a queue that is too small, and a peer that comes and goes."""
    listener = Listener(close_after=100_000, connections=6)
    sink = QueuedSink(tcp_sink(listener.port), limit_bytes=50_000, count=LINES.count, name="peer")
    written = 0
    while written < 5_000 or len(listener.received) < 5:
        sink.write(b"".join(b"%08d\n" % number for number in range(written, written + 500)))
        sink.flush()
        written += 500
        if written % 10_000 == 0:
            time.sleep(0.002)
    sink.drain()
    sink.close()
    listener.join()
    lines = b"".join(listener.received).split()
    assert all(len(line) == 8 for line in lines)
    assert len(set(lines)) == len(lines)
    assert len(lines) + sink.dropped_writes == written
    assert sink.dropped_writes > 0


def test_a_peer_that_comes_late_is_told_once() -> None:
    port = free_port()
    sink = tcp_sink(port)
    sink.write(b"a\n")
    thread = threading.Thread(target=sink.flush)
    thread.start()
    while not sink.news:
        time.sleep(0.005)
    listener = Listener(port=port)
    thread.join(WAIT_S)
    sink.close()
    listener.join()
    assert listener.received == [b"a\n"]
    first, second = sink.news
    assert first == "cannot connect to peer: connection refused; trying again"
    assert second.startswith("peer: connected after ")


def test_who_reads_nothing_costs_what_does_not_fit_and_no_time() -> None:
    with silent_peer() as port:
        sink = QueuedSink(tcp_sink(port), limit_bytes=1 << 20, count=LINES.count, name="peer", flush_timeout_s=0.05)
        began = time.monotonic()
        for _ in range(200):
            sink.write((b"x" * 999 + b"\n") * 200)
            sink.flush()
        assert time.monotonic() - began < WAIT_S / 2
        sink.close()
    assert 0 < sink.dropped_writes <= 200 * 200
    words = [news.split()[1] for news in sink.take_news()]
    assert words[::2] == ["does"] * (len(words) // 2)  # once per interruption
    # What is left at the end may fit into the buffers between.
    assert words[1::2] in (["keeps"] * (len(words) // 2), [*["keeps"] * (len(words) // 2 - 1), "is"])


def test_a_reset_is_survived_with_whole_lines() -> None:
    taken: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def work() -> None:
            first, _ = listening.accept()
            first.recv(10)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            first.close()
            second, _ = listening.accept()
            with second:
                while data := second.recv(65536):
                    taken.append(data)

        thread = threading.Thread(target=work)
        thread.start()
        sink = QueuedSink(tcp_sink(listening.getsockname()[1]), lossless=True, count=LINES.count, name="peer")
        for number in range(20_000):
            sink.write(b"%0999d\n" % number)
            sink.flush()
        sink.close()
        thread.join(WAIT_S)
    lines = b"".join(taken).splitlines()
    numbers = [int(line) for line in lines]
    assert all(len(line) == 999 for line in lines)
    assert numbers == list(range(numbers[0], 20_000))


@pytest.mark.parametrize("binary", [False, True])
def test_one_message_of_a_websocket_per_event(binary: bool) -> None:
    got: list[str | bytes] = []
    ended = threading.Event()

    def keep(connection: ServerConnection) -> None:
        got.extend(connection)
        ended.set()

    with serve(keep, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        sink = ws_sink(server.socket.getsockname()[1], binary=binary)
        events = [b"one", b"{}" * 100_000, b"three\x80" if binary else b"three"]
        sink.write(b"".join(with_length(event) if binary else event + b"\n" for event in events))
        sink.flush()
        sink.close()
        assert ended.wait(WAIT_S)
        server.shutdown()
        thread.join(WAIT_S)
    assert got == (events if binary else [event.decode() for event in events])


def answering(answer: bytes) -> tuple[int, threading.Thread]:
    listening = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        with listening:
            connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=work)
    thread.start()
    return listening.getsockname()[1], thread


class StopTryingError(Exception):
    """Of the test."""


def give_up(_s: float) -> None:
    raise StopTryingError


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"garbage\r\n\r\n", "no WebSocket answers there"),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: ws://elsewhere/\r\nContent-Length: 0\r\n\r\n",
            "HTTP 301, a redirect to 'ws://elsewhere/' that is not followed",
        ),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "HTTP 403"),
        (b"", "no WebSocket answers there"),
    ],
)
def test_who_is_no_websocket(answer: bytes, why: str, make_sink: Callable[..., Any]) -> None:
    port, thread = answering(answer)
    sink = make_sink(f"ws://127.0.0.1:{port}/")
    with pytest.raises(StopTryingError):
        sink.flush()
    thread.join(WAIT_S)
    assert list(sink.news) == [f"cannot connect to ws://127.0.0.1:{port}/: {why}; trying again"]


@pytest.fixture
def make_sink() -> Callable[..., Any]:
    def make(address: str) -> PeerSink:
        open_link, peer, bare = opener(address, binary=False, trust=Trust())
        sink = PeerSink(open_link, name=str(peer), framing=LINES, bare=bare, sleep=give_up)
        sink.write(b"a\n")
        return sink

    return make
