# SPDX-License-Identifier: Apache-2.0
"""Who claims which first bytes, and what happens to too few of them."""

from __future__ import annotations

import pytest

from plaintap.events import READ, WRITE
from plaintap.messages import Exchange, Message, Raw
from plaintap.protocols.base import Fit
from plaintap.protocols.http1_start import fit
from plaintap.protocols.registry import Registry
from plaintap.streams.connections import Connections


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1",
        b"GET http://example.com/ HTTP/1.1",
        b"M-SEARCH * HTTP/1.1",
        b"CONNECT example.com:443 HTTP/1.1",
        b"CONNECT [::1]:443 HTTP/1.1",
        b"HTTP/1.1 200",
        b"HTTP/1.0 4",
    ],
)
def test_fits(head: bytes) -> None:
    assert fit(WRITE, head) is Fit.YES
    starts = [fit(WRITE, head[:size]) for size in range(1, len(head))]
    assert Fit.NO not in starts
    assert starts[0] is Fit.MAYBE


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"get / HTTP/2.0\r\n",
        b"GETX",
        b"GET key",
        b"GET  /",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/2 200",
        b"HTTP/1.1 OK",
        b"HTTPS",
        b"CONNECT / RTSP/1.0\r\n",
        b"\x16\x03\x01",
        b"*1\r\n",
    ],
)
def test_does_not_fit(head: bytes) -> None:
    assert fit(READ, head) is Fit.NO


def capture() -> tuple[Connections, list[Message]]:
    messages: list[Message] = []
    return Connections(messages.extend, Registry().recognise), messages


def test_first_bytes_cut_by_a_record() -> None:
    connections, messages = capture()
    connections.feed(
        [(1, WRITE, 0, 10, b"G", 1), (1, WRITE, 1, 20, b"E", 1), (1, WRITE, 2, 30, b"T / HTTP/1.1\r\n\r\n", 1)]
    )
    connections.close(99)
    (exchange, _) = messages
    assert isinstance(exchange, Exchange)
    assert exchange.request is not None
    assert (exchange.request.target, exchange.request.first_ns) == ("/", 10)


def test_cut_bytes_that_prove_to_be_something_else() -> None:
    connections, messages = capture()
    connections.feed([(1, WRITE, 0, 10, b"GE", 1), (1, READ, 0, 15, b"+", 1), (1, WRITE, 2, 20, b"RMANY", 1)])
    assert [(m.direction, m.ts_ns, m.offset, m.data) for m in messages if isinstance(m, Raw)] == [
        (WRITE, 10, 0, b"GE"),
        (READ, 15, 0, b"+"),
        (WRITE, 20, 2, b"RMANY"),
    ]


def test_cut_bytes_are_shown_after_silence() -> None:
    connections, messages = capture()
    connections.feed([(1, WRITE, 0, 10, b"GE", 1)])
    connections.tick(1)
    assert messages == []
    connections.tick(2)
    assert [(m.offset, m.data) for m in messages if isinstance(m, Raw)] == [(0, b"GE")]


def test_cut_bytes_are_shown_at_a_gap_and_at_the_end() -> None:
    connections, messages = capture()
    connections.feed([(1, WRITE, 0, 10, b"GE", 1), (1, WRITE, 5, 20, b"PO", 1)])
    connections.close(99)
    assert [(m.offset, m.data) for m in messages if isinstance(m, Raw)] == [(0, b"GE"), (5, b"PO")]


def test_both_directions_wait() -> None:
    connections, messages = capture()
    connections.feed(
        [(1, WRITE, 0, 1, b"PO", 1), (1, READ, 0, 2, b"HT", 1), (1, WRITE, 2, 3, b"ST / HTTP/1.1\r\n\r\n", 1)]
    )
    connections.feed([(1, READ, 2, 4, b"TP/1.1 204 No Content\r\n\r\n", 1)])
    (exchange,) = messages
    assert isinstance(exchange, Exchange)
    assert exchange.response is not None
    assert exchange.response.status == 204


def test_empty_lines_before_a_request() -> None:
    assert fit(WRITE, b"\r\nGET / HTTP/1.1") is Fit.YES
