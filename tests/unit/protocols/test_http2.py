# SPDX-License-Identifier: Apache-2.0
"""HTTP/2: these records in, those messages out; whole, byte by byte, cut anywhere, late, with a gap, malformed."""

from __future__ import annotations

import random
import time
import tracemalloc

import hpack
import pytest
from http2_play import Peers, Piece, Player, answer, ask, block, exchange_line, exchanges, frame, play, show
from hypothesis import given
from hypothesis import strategies as st

from plaintap.events import READ, WRITE
from plaintap.messages import Exchange, GrpcMessage, ServerSentEvent, WebSocketMessage
from plaintap.protocols import http2_streams
from plaintap.protocols.base import Fit
from plaintap.protocols.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    fit,
)
from plaintap.protocols.http2_streams import OPEN_LIMIT

BEGUN: list[Piece] = [(WRITE, PREFACE + frame(SETTINGS, 0, 0)), (READ, frame(SETTINGS, 0, 0))]
ASKED = frame(HEADERS, END_HEADERS | END_STREAM, 1, block(ask("/a")))
ANSWERED = frame(HEADERS, END_HEADERS, 1, block(answer())) + frame(DATA, END_STREAM, 1, b"hello")
ALTSVC, ORIGIN, PRIORITY_UPDATE = 0x0A, 0x0C, 0x10
HELLO = "1 -> GET /a = 200 b'hello'"


def conversation() -> tuple[list[Piece], list[str]]:
    """Some of everything, by two peers that agree; and what it amounts to."""
    peers = Peers()
    peers.exchange(ask("/first", user_agent="test"), answer(200, server="s"), b"one")
    peers.exchange(ask("/second", "POST", user_agent="test"), answer(404, server="s"), b"two", b"upload")
    peers.exchange(ask("/third", user_agent="test"), answer(204, server="s"))
    expected = ["1 -> GET /first = 200 b'one'", "3 -> POST /second b'upload' = 404 b'two'", "5 -> GET /third = 204"]
    return peers.pieces, expected


def test_exchanges() -> None:
    pieces, expected = conversation()
    messages = play(pieces)
    assert show(messages) == expected
    first = exchanges(messages)[0]
    assert first.protocol == "h2"
    assert first.request is not None
    assert (first.request.scheme, first.request.authority, first.request.version) == ("https", "api.test", "2")
    assert first.request.headers == [(b"user-agent", b"test")]
    assert first.response is not None
    assert first.response.headers == [(b"server", b"s")]
    assert first.request.first_ns <= first.request.last_ns < first.response.first_ns <= first.response.last_ns


def test_the_servers_end() -> None:
    pieces, _ = conversation()
    messages = play([(1 - direction, data) for direction, data in pieces])
    assert show(messages)[0] == "1 <- GET /first = 200 b'one'"


def test_byte_by_byte() -> None:
    pieces, expected = conversation()
    cut = [(direction, data[at : at + 1]) for direction, data in pieces for at in range(len(data))]
    assert show(play(cut)) == expected


@given(st.data())
def test_cut_anywhere(data: st.DataObject) -> None:
    pieces, expected = conversation()
    cut = []
    for direction, piece in pieces:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(piece)), max_size=4)))
        cut += [(direction, piece[a:b]) for a, b in zip([0, *cuts], [*cuts, len(piece)], strict=True) if a < b]
    assert show(play(cut)) == expected


def test_fifty_streams_at_once() -> None:
    peers = Peers()
    numbers = []
    for index in range(50):
        number = peers.client.get_next_available_stream_id()
        peers.client.send_headers(number, ask(f"/{index}"), end_stream=True)
        numbers.append(number)
    peers.pass_on()
    for index, number in reversed(list(enumerate(numbers))):
        peers.server.send_headers(number, answer(200, x_index=str(index)))
        peers.server.send_data(number, b"%d" % index)
    for number in numbers:
        peers.server.send_data(number, b"!", end_stream=True)
    peers.pass_on()
    assert show(play(peers.pieces)) == [
        f"{number} -> GET /{index} = 200 {b'%d!' % index!r}" for index, number in enumerate(numbers)
    ]


def test_a_large_body() -> None:
    body = random.Random(1).randbytes(1_000_000)  # noqa: S311 - the same each time
    peers = Peers()
    peers.exchange(ask("/large"), answer(), body)
    (exchange,) = exchanges(play(peers.pieces))
    assert exchange.response is not None
    assert b"".join(exchange.response.body) == body
    (exchange,) = exchanges(play(peers.pieces, body_limit=1000))
    assert exchange.response is not None
    assert (b"".join(exchange.response.body), exchange.response.body_bytes) == (body[:1000], len(body))


def test_padding_and_priority() -> None:
    headers = bytes([3]) + bytes(5) + block(ask("/a")) + bytes(3)
    padded = frame(DATA, PADDED | END_STREAM, 1, bytes([200]) + b"hello" + bytes(200))
    pieces = [
        *BEGUN,
        (WRITE, frame(HEADERS, END_HEADERS | END_STREAM | PADDED | WITH_PRIORITY, 1, headers)),
        (READ, frame(HEADERS, END_HEADERS, 1, block(answer())) + padded),
    ]
    assert show(play(pieces)) == [HELLO]
    for size in (1, 2, 9, 10, 11, 50):
        cut = [(direction, data[at : at + size]) for direction, data in pieces for at in range(0, len(data), size)]
        assert show(play(cut)) == [HELLO]


def test_continuations() -> None:
    fields = block(ask("/a", cookie="c" * 100))
    asked = frame(HEADERS, END_STREAM, 1, fields[:10]) + frame(CONTINUATION, 0, 1, fields[10:20])
    asked += frame(CONTINUATION, END_HEADERS, 1, fields[20:])
    assert show(play([*BEGUN, (WRITE, asked), (READ, ANSWERED)])) == [HELLO]


def test_interim_responses_and_trailers() -> None:
    encoder = hpack.Encoder()
    said = frame(HEADERS, END_HEADERS, 1, block(answer(103, link="</a.css>"), encoder))
    said += frame(HEADERS, END_HEADERS, 1, block(answer(), encoder)) + frame(DATA, 0, 1, b"hello")
    said += frame(HEADERS, END_HEADERS | END_STREAM, 1, block([("x-sum", "5")], encoder))
    (exchange,) = exchanges(play([*BEGUN, (WRITE, ASKED), (READ, said)]))
    assert exchange_line(exchange) == HELLO
    assert exchange.interim == [103]
    assert exchange.response is not None
    assert exchange.response.trailers == [(b"x-sum", b"5")]


def test_pushed() -> None:
    encoder = hpack.Encoder()
    promise = frame(PUSH_PROMISE, END_HEADERS, 1, bytes([0, 0, 0, 2]) + block(ask("/pushed"), encoder))
    said = promise + frame(HEADERS, END_HEADERS | END_STREAM, 1, block(answer(), encoder))
    said += frame(HEADERS, END_HEADERS, 2, block(answer(), encoder)) + frame(DATA, END_STREAM, 2, b"pushed")
    assert show(play([*BEGUN, (WRITE, ASKED), (READ, said)])) == [
        "1 -> GET /a = 200",
        "2 -> GET /pushed = 200 b'pushed' pushed",
    ]


@pytest.mark.parametrize(
    ("code", "shown"), [(8, "reset: CANCEL"), (7, "reset: REFUSED_STREAM"), (0, "reset: NO_ERROR"), (99, "error 0x63")]
)
def test_a_stream_that_is_reset(code: int, shown: str) -> None:
    reset = frame(RST_STREAM, 0, 1, code.to_bytes(4, "big"))
    late = frame(DATA, 0, 1, b"late")
    (line,) = show(play([*BEGUN, (WRITE, ASKED), (WRITE, reset), (READ, ANSWERED[:-14]), (READ, late)]))
    assert line.startswith("1 -> GET /a = (")
    assert shown in line


def test_an_answer_before_the_request_is_whole() -> None:
    upload = frame(HEADERS, END_HEADERS, 1, block(ask("/up", "POST"))) + frame(DATA, 0, 1, b"begun")
    stop = frame(RST_STREAM, 0, 1, bytes(4))
    assert show(play([*BEGUN, (WRITE, upload), (READ, ANSWERED), (READ, stop)])) == [
        "1 -> POST /up b'begun' incomplete = 200 b'hello'"
    ]


def test_a_farewell() -> None:
    encoder = hpack.Encoder()
    asked = b"".join(
        frame(HEADERS, END_HEADERS | END_STREAM, number, block(ask(f"/{number}"), encoder)) for number in (1, 3, 5)
    )
    goaway = frame(GOAWAY, 0, 0, bytes([0, 0, 0, 1, 0, 0, 0, 11]))
    assert show(play([*BEGUN, (WRITE, asked), (READ, goaway), (READ, ANSWERED)])) == [
        "3 -> GET /3 = (refused by GOAWAY)",
        "5 -> GET /5 = (refused by GOAWAY)",
        "1 -> GET /1 = 200 b'hello' (GOAWAY: ENHANCE_YOUR_CALM)",
    ]


def test_what_never_got_its_response() -> None:
    assert show(play([*BEGUN, (WRITE, ASKED)])) == ["1 -> GET /a ="]
    assert show(play([*BEGUN, (WRITE, ASKED), (READ, ANSWERED[:-3])])) == [
        "1 -> GET /a = 200 b'he' incomplete",
    ]


def test_silence_shows_nothing_that_still_runs_and_forgets_nothing() -> None:
    player = Player()
    for direction, data in [*BEGUN, (WRITE, ASKED)]:
        player.say(direction, data)
    for now_ns in range(5, 9):
        player.connections.tick(now_ns)
    player.say(READ, ANSWERED)
    assert show(player.close()) == [HELLO]


def test_events_are_shown_as_they_arrive() -> None:
    player = Player()
    head = frame(HEADERS, END_HEADERS, 1, block(answer(content_type="text/event-stream")))
    for direction, data in [*BEGUN, (WRITE, ASKED), (READ, head), (READ, frame(DATA, 0, 1, b"data: 1\n\ndata: 2"))]:
        player.say(direction, data)
    (event,) = player.messages
    assert isinstance(event, ServerSentEvent)
    assert (event.data, event.stream) == ("1", 1)
    player.say(READ, frame(DATA, END_STREAM, 1, b"\n\n"))
    assert [type(message) for message in player.close()] == [ServerSentEvent, ServerSentEvent, Exchange]


def test_a_grpc_call() -> None:
    asked = frame(HEADERS, END_HEADERS, 1, block(ask("/a.B/C", "POST", content_type="application/grpc")))
    asked += frame(DATA, END_STREAM, 1, b"\0\0\0\0\x02\x08\x07")
    encoder = hpack.Encoder()
    said = frame(HEADERS, END_HEADERS, 1, block(answer(content_type="application/grpc"), encoder))
    said += frame(DATA, 0, 1, b"\0\0\0\0\x02\x08\x09")
    said += frame(HEADERS, END_HEADERS | END_STREAM, 1, block([("grpc-status", "0")], encoder))
    messages = play([*BEGUN, (WRITE, asked), (READ, said)])
    sent, received, call = messages
    assert isinstance(sent, GrpcMessage)
    assert isinstance(received, GrpcMessage)
    assert isinstance(call, Exchange)
    assert (sent.outgoing, received.outgoing) == (True, False)
    assert call.grpc is not None
    assert (call.grpc.service, call.grpc.method, call.grpc.sent, call.grpc.received, call.grpc.status) == (
        "a.B",
        "C",
        1,
        1,
        0,
    )


def test_a_websocket_in_a_stream() -> None:
    connect = [(":method", "CONNECT"), (":protocol", "websocket"), *ask("/chat")[1:]]
    pieces = [
        *BEGUN,
        (WRITE, frame(HEADERS, END_HEADERS, 1, block(connect))),
        (READ, frame(HEADERS, END_HEADERS, 1, block(answer()))),
        (WRITE, frame(DATA, 0, 1, b"\x81\x82\0\0\0\0hi")),
        (READ, frame(DATA, 0, 1, b"\x81\x02yo")),
        (READ, frame(DATA, END_STREAM, 1)),
        (WRITE, frame(DATA, END_STREAM, 1)),
    ]
    opened, sent, received = play(pieces)
    assert isinstance(opened, Exchange)
    assert isinstance(sent, WebSocketMessage)
    assert isinstance(received, WebSocketMessage)
    assert (sent.data, sent.outgoing, received.data, received.outgoing) == (b"hi", True, b"yo", False)


def test_h2c() -> None:
    upgrade = b"GET /a HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    pieces = [(WRITE, upgrade), (READ, switched + frame(SETTINGS, 0, 0)), BEGUN[0], (READ, ANSWERED)]
    first, second = exchanges(play(pieces))
    assert first.response is not None
    assert first.response.status == 101
    assert exchange_line(second) == HELLO
    cut = [(WRITE, bytes([byte])) for byte in BEGUN[0][1]]
    assert show(play([*pieces[:2], *cut, pieces[3]]))[1:] == [HELLO]


# Late.


def test_late_the_static_table_is_right_and_the_rest_unknown_until_it_is_sent_again() -> None:
    peers = Peers()
    for number in range(100):
        peers.exchange(ask(f"/{number}", user_agent="test"), answer(200, server="s"), b"x")
    begun = len(peers.pieces)
    for number in range(100, 200):
        peers.exchange(ask(f"/{number}", user_agent="test"), answer(200, server="s"), b"x")
    found = exchanges(play(peers.pieces[begun:]))
    assert len(found) == 100
    for number, exchange in enumerate(found, start=100):
        assert exchange.outgoing
        request, response = exchange.request, exchange.response
        assert request is not None
        assert response is not None
        assert (request.method, request.target, request.scheme, response.status) == ("GET", f"/{number}", "https", 200)
        assert request.authority in ("", "api.test")
        assert request.headers[-1] in ((b"", b""), (b"user-agent", b"test"))
    peers.exchange(ask("/again", accept="x"), answer(200, server="t"))
    last = exchanges(play(peers.pieces[begun:]))[-1]
    assert last.request is not None
    assert last.request.headers == [(b"accept", b"x")]


@pytest.mark.parametrize("skipped", range(3, 12))
def test_late_at_any_record_nothing_is_wrong(skipped: int) -> None:
    pieces, expected = conversation()
    for line in show(play(pieces[skipped:])):
        assert line.startswith("raw ") or any(
            line == right or line.partition("= ")[2] == right.partition("= ")[2] for right in expected
        )


def test_late_in_the_middle_of_a_body() -> None:
    peers = Peers()
    peers.exchange(ask("/a"), answer())
    begun = len(peers.pieces)
    peers.exchange(ask("/b"), answer(), b"body")
    data = peers.pieces[begun:]
    data[0:0] = [(READ, b"the tail of a body, without a head")]
    messages = play(data)
    assert show(messages) == ["3 -> GET /b = 200 b'body'", "raw b'the tail of a body, without a head'"]


def test_late_the_servers_side_is_known_by_what_it_says() -> None:
    pieces = [(WRITE, ANSWERED), (READ, frame(HEADERS, END_HEADERS | END_STREAM, 3, block(ask("/b"))))]
    assert show(play(pieces)) == ["1 <- = 200 b'hello'", "3 <- GET /b ="]


# Losses.


@given(st.integers(0, 4))
def test_a_gap_in_a_body_is_exact(lost: int) -> None:
    player = Player()
    for direction, data in [*BEGUN, (WRITE, ASKED), (READ, ANSWERED[:-5])]:
        player.say(direction, data)
    player.lose(READ, lost)
    player.say(READ, b"hello"[lost:])
    lines = show(player.close())
    body = b"hello"[lost:]
    assert lines[-1] == f"1 -> GET /a = 200 {body!r}{f' lost {lost}' if lost else ''}"


def test_a_gap_that_takes_a_frames_end_with_it() -> None:
    player = Player()
    for direction, data in [*BEGUN, (WRITE, ASKED), (READ, ANSWERED[:-3])]:
        player.say(direction, data)
    player.lose(READ, 3)
    player.say(READ, frame(PING, 0, 0, bytes(8)))
    assert show(player.close()) == ["lost 3", "1 -> GET /a = 200 b'he' lost 3"]


def test_a_gap_among_frames_is_found_out_of_and_header_fields_are_not_guessed() -> None:
    asks, says = hpack.Encoder(), hpack.Encoder()
    player = Player()
    for direction, data in BEGUN:
        player.say(direction, data)
    for number in (1, 3, 5):
        player.say(WRITE, frame(HEADERS, 5, number, block(ask("/a", cookie="secret"), asks)))
        said = frame(HEADERS, 4, number, block(answer(200, server="s"), says)) + frame(DATA, 1, number, b"x")
        if number == 3:
            player.lose(READ, len(said))
        else:
            player.say(READ, said)
    messages = player.close()
    lines = show(messages)
    assert lines[0] == "1 -> GET /a = 200 b'x'"
    assert lines[2] == "5 -> GET /a = 200 b'x' (frames of the response may be lost)"
    assert lines[3] == "3 -> GET /a = (frames of the response may be lost)"
    third = exchanges(messages)[1]
    assert third.response is not None
    assert third.response.headers == [(b"", b"")]


# Malformed, hostile.


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (frame(HEADERS, END_HEADERS, 0, block(answer())), "header fields on no stream"),
        (frame(DATA, 0, 0, b"x"), "DATA on no stream"),
        (frame(DATA, PADDED, 1, b""), "padding without its length"),
        (frame(DATA, PADDED, 1, b"\x09x"), "DATA with more padding than data"),
        (frame(HEADERS, END_HEADERS | PADDED, 1, b"\x09x"), "more padding than there is"),
        (frame(CONTINUATION, 0, 1, b""), "a continuation of nothing"),
        (frame(HEADERS, 0, 1, b"\x88") + frame(DATA, 0, 1, b"x"), "DATA inside a header block"),
        (frame(HEADERS, 0, 1, b"\x88") + frame(PING, 0, 0, bytes(8)), "a header block that is not continued"),
        (frame(HEADERS, END_HEADERS, 1, b"\x80"), "header compression: index 0"),
        (b"\x7f\xff\xff\x01\x04\0\0\0\x01", "a frame that is too long"),
        (frame(GOAWAY, 0, 0, b"x"), "a farewell of another size"),
        (frame(PUSH_PROMISE, END_HEADERS, 1, b"x"), "a promise of no stream of the server's"),
    ],
)
def test_malformed(data: bytes, why: str) -> None:
    player = Player()
    for direction, piece in [*BEGUN, (WRITE, ASKED), (READ, data)]:
        player.say(direction, piece)
    player.say(READ, frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88"))
    lines = show(player.close())
    assert lines[0].startswith("1 -> GET /a = 200 ")
    assert f"(malformed HTTP/2: {why})" in lines[0]
    assert lines[1:] == [f"raw {data!r}"]


def test_a_flood_of_continuations_is_cut() -> None:
    flood = frame(HEADERS, 0, 1, b"\x88") + frame(CONTINUATION, 0, 1, b"") * 2_000_000
    player = Player()
    for direction, data in BEGUN:
        player.say(direction, data)
    tracemalloc.start()
    player.say(READ, flood)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * len(flood)
    player.say(WRITE, ASKED)
    assert show(player.close())[0] == "1 -> GET /a ="


def test_streams_are_bounded() -> None:
    encoder = hpack.Encoder()
    asked = b"".join(frame(HEADERS, 5, number, block(ask("/"), encoder)) for number in range(1, 2 * OPEN_LIMIT + 21, 2))
    found = exchanges(play([*BEGUN, (WRITE, asked)]))
    assert len(found) == OPEN_LIMIT + 10
    assert [exchange.stream for exchange in found[:10]] == list(range(1, 20, 2))
    assert found[0].notes == (f"more than {OPEN_LIMIT} streams at once",)


def test_tiny_pieces_take_little_memory() -> None:
    player = Player(body_limit=64 << 20)
    for direction, data in [*BEGUN, (WRITE, ASKED), (READ, ANSWERED[:-14])]:
        player.say(direction, data)
    tracemalloc.start()
    for _ in range(10):
        player.say(READ, frame(DATA, 0, 1, b"x") * 20_000)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2_000_000


def test_a_frame_in_many_pieces_takes_time_in_proportion() -> None:
    fields = frame(HEADERS, 0, 1, block([("x", "y" * 15000)])) + b"".join(
        frame(CONTINUATION, 0, 1, bytes(16000)) for _ in range(20)
    )
    player = Player()
    for direction, data in BEGUN:
        player.say(direction, data)
    began_s = time.process_time()
    for at in range(0, len(fields), 3):
        player.say(WRITE, fields[at : at + 3])
    assert time.process_time() - began_s < 5


@given(st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=60)), max_size=8), st.booleans())
def test_any_bytes(pieces: list[Piece], begun: bool) -> None:
    player = Player(only="http2")
    for direction, data in BEGUN if begun else []:
        player.say(direction, data)
    for direction, data in pieces:
        if data:
            player.say(direction, data)
    player.close()


# Recognition.


@pytest.mark.parametrize(
    "head",
    [
        PREFACE,
        PREFACE + frame(SETTINGS, 0, 0),
        frame(SETTINGS, 0, 0, bytes([0, 3, 0, 0, 0, 100])),
        frame(SETTINGS, 1, 0),
        ASKED,
        ANSWERED,
        frame(WINDOW_UPDATE, 0, 0, bytes(4)) + ASKED[:30],
        frame(DATA, 0, 7, bytes(16384))[:9000],
        frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1, i") + ASKED,
        ASKED + frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=0"),
        frame(ALTSVC, 0, 1, b'\0\0h3=":443"'),
        frame(ORIGIN, 0, 0, b"\0\x0dhttps://a.test"),
        ASKED + frame(0x0B + 3 * 0x1F, 0xA5, 0, b"made up") + frame(PING, 0, 0, bytes(8)),
    ],
)
def test_fits(head: bytes) -> None:
    assert fit(READ, head) is Fit.YES
    assert fit(READ, head[:1]) is Fit.MAYBE


def test_a_long_data_frame_fits_by_its_head() -> None:
    assert fit(READ, frame(DATA, 0, 7, bytes(512 << 10))[:16384]) is Fit.YES
    assert fit(READ, frame(DATA, 0, 7, bytes(512 << 10))[:8]) is Fit.NO
    assert fit(READ, frame(HEADERS, END_HEADERS, 7, bytes(512 << 10))[:16384]) is Fit.NO


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x81\x05hello",
        b"\x00\x00\x00\x55\x00\x03\x00\x00 SELECT user",
        b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x04test",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        frame(0x0B, 0, 0, b"made up") + ASKED,
        ASKED + frame(0x0B, 0, 0, bytes(300)),
        frame(HEADERS, 0, 1, b"x") + frame(0x0B, 0, 0) + frame(CONTINUATION, END_HEADERS, 1, b"x"),
        frame(PRIORITY_UPDATE, 0, 1, bytes(8)),
        b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id",
        b"\x01\x00\x00\x00\x01",
        b"\0" * 40,
    ],
)
def test_does_not_fit(head: bytes) -> None:
    assert fit(READ, head) in ((Fit.NO, Fit.MAYBE) if len(head) < 9 and head[:1] == b"\0" else (Fit.NO,))


def test_noise_does_not_fit() -> None:
    chance = random.Random(1)  # noqa: S311 - the same each time
    sizes = [chance.randint(9, 300) for _ in range(50_000)]
    assert sum(fit(READ, chance.randbytes(size)) is Fit.YES for size in sizes) == 0
    assert sum(fit(READ, b"\0" + chance.randbytes(size)) is Fit.YES for size in sizes) <= 5


def test_a_reason_is_kept_once_however_often_it_is_given() -> None:
    encoder = hpack.Encoder()
    asked = b"".join(frame(HEADERS, 4, number, block(ask("/"), encoder)) for number in range(1, 200, 2))
    farewells = frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\x01") * 1000
    found = exchanges(play([*BEGUN, (WRITE, asked), (READ, farewells)]))
    assert {exchange.notes for exchange in found} == {("GOAWAY: PROTOCOL_ERROR",)}


def test_what_is_kept_of_all_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2_streams, "KEPT_LIMIT_BYTES", 40_000)
    encoder = hpack.Encoder()
    player = Player()
    for direction, data in BEGUN:
        player.say(direction, data)
    for number in range(1, 20, 2):
        player.say(WRITE, frame(HEADERS, 4, number, block(ask("/"), encoder)) + frame(DATA, 0, number, bytes(10_000)))
    assert player.messages == []
    found = exchanges(player.close())
    assert [sum(map(len, exchange.request.body)) for exchange in found if exchange.request][:6] == [0] * 6
    assert found[0].notes[0] == "too much to keep of all streams"
    assert {exchange.request.body_bytes for exchange in found if exchange.request} == {10_000}


def test_silence_ends_no_request_that_goes_on_behind_its_answer() -> None:
    player = Player()
    for direction, data in [*BEGUN, (WRITE, frame(HEADERS, 4, 1, block(ask("/up", "POST"))))]:
        player.say(direction, data)
    player.say(READ, frame(HEADERS, 5, 1, block(answer(413))))
    for _ in range(2):
        player.connections.tick(1 << 40)
    player.say(WRITE, frame(DATA, 1, 1, b"late"))
    assert show(player.close()) == ["1 -> POST /up b'late' = 413"]


def test_what_may_have_ended_in_a_loss_is_shown_at_the_end() -> None:
    player = Player()
    for direction, data in [*BEGUN, (WRITE, ASKED), (READ, frame(HEADERS, 4, 1, block(answer())))]:
        player.say(direction, data)
    player.lose(READ, 30)
    player.say(READ, frame(PING, 0, 0, bytes(8)))
    (found,) = exchanges(player.close())
    assert found.notes == ("frames of the response may be lost",)


def test_an_acknowledgement_seen_first_is_no_beginning() -> None:
    encoder = hpack.Encoder()
    block(ask("/a", x_a="1"), encoder)
    asked = frame(HEADERS, 5, 3, block(ask("/a", x_a="1"), encoder))
    (found,) = exchanges(play([(WRITE, frame(SETTINGS, 1, 0)), (WRITE, asked)]))
    assert found.request is not None
    assert (found.request.method, found.request.target, found.notes) == ("GET", "", ())


def test_a_header_block_that_is_not_finished_is_shown_raw() -> None:
    begun = frame(HEADERS, 1, 1, b"\x82\x87") + frame(CONTINUATION, 0, 1, b"\x84")
    assert show(play([*BEGUN, (WRITE, begun)])) == [f"raw {begun!r}"]
    player = Player()
    for direction, data in [*BEGUN, (WRITE, begun)]:
        player.say(direction, data)
    player.lose(WRITE, 3)
    assert show(player.close()) == [f"raw {begun!r}"]


def test_what_never_was_http2_is_recognised_afresh() -> None:
    answered = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    messages = play([(READ, frame(DATA, 0, 1, b"x" * 64)[:40]), (READ, b"\xff" * 200), (READ, answered)])
    assert [exchange.protocol for exchange in exchanges(messages)] == ["h2", "http/1.1"]


def test_data_behind_the_end_is_not_taken_for_the_body() -> None:
    asked = frame(HEADERS, 4, 1, block(ask("/")))
    answered = frame(HEADERS, 4, 1, block(answer())) + frame(DATA, 1, 1, b"ab") + frame(DATA, 0, 1, b"cd")
    messages = play([*BEGUN, (WRITE, asked), (READ, answered), (WRITE, frame(DATA, 1, 1))])
    assert show(messages) == ["1 -> GET / = 200 b'ab' (response: DATA behind its end)"]


def test_late_a_body_is_its_senders_once_it_is_known_who_asks() -> None:
    pieces = [(WRITE, frame(DATA, 0, 1, b"x" * 300)), (READ, ASKED.replace(b"\0\0\0\x01", b"\0\0\0\x03", 1))]
    first = exchanges(play([*pieces, (WRITE, frame(DATA, 1, 1, b"y"))]))[0]
    assert (first.stream, first.outgoing, first.request) == (1, False, None)
    assert first.response is not None
    assert first.response.body_bytes == 301


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ([("x", "a\r\nHost: b")], 'request: line break or NUL in the value of "x"'),
        ([("transfer-encoding", "chunked")], 'request: field "transfer-encoding", which HTTP/2 does not have'),
        ([("x", "1"), (":path", "/other")], 'request: pseudo-field ":path" twice'),
        ([(":path", "/other")], 'request: pseudo-field ":path" twice'),
        ([(":status", "200")], 'request: pseudo-field ":status" has no place here'),
        ([("x", "1"), (":protocol", "p")], 'request: pseudo-field ":protocol" behind others'),
        ([("X-Y", "1")], 'request: capitals in the field name "X-Y"'),
        ([("", "1")], "request: a field without a name"),
    ],
)
def test_fields_that_are_read_in_two_ways(fields: list[tuple[str, str]], note: str) -> None:
    (found,) = exchanges(play([*BEGUN, (WRITE, frame(HEADERS, 5, 1, block([*ask("/one"), *fields])))]))
    assert found.notes == (note,)
    assert found.request is not None
    assert found.request.target == "/one"


def test_trailers_twice() -> None:
    encoder = hpack.Encoder()
    blocks = [block(fields, encoder) for fields in (answer(), [("a", "1")], [("b", "2")])]
    answered = b"".join(frame(HEADERS, flags, 1, each) for flags, each in zip((4, 4, 5), blocks, strict=True))
    (found,) = exchanges(play([*BEGUN, (WRITE, ASKED), (READ, answered)]))
    assert found.response is not None
    assert found.response.trailers == [(b"a", b"1"), (b"b", b"2")]
    assert found.notes == ("trailers: trailers twice",)


def test_silence_after_a_loss_ends_no_stream_that_goes_on() -> None:
    player = Player()
    head = frame(HEADERS, END_HEADERS, 1, block(answer(content_type="text/event-stream")))
    for direction, data in [*BEGUN, (WRITE, ASKED), (READ, head)]:
        player.say(direction, data)
    player.lose(READ, 17)
    player.say(READ, frame(DATA, 0, 1, b"data: 1\n\n"))
    for now_ns in range(50, 53):
        player.connections.tick(now_ns)
    player.say(READ, frame(DATA, 0, 1, b"data: 2\n\ndata: 3\n\n"))
    assert [message.data for message in player.messages if isinstance(message, ServerSentEvent)][-2:] == ["2", "3"]


def test_a_body_with_a_hole_is_not_complete() -> None:
    player = Player()
    head = frame(HEADERS, END_HEADERS, 1, block(answer(content_length="30"))) + frame(DATA, 0, 1, b"a" * 10)
    for direction, data in [*BEGUN, (WRITE, ASKED), (READ, head)]:
        player.say(direction, data)
    player.lose(READ, 19)
    player.say(READ, frame(DATA, END_STREAM, 1, b"c" * 10))
    (exchange,) = exchanges(player.close())
    assert exchange.response is not None
    assert not exchange.response.complete


def test_trailers_are_bounded() -> None:
    player = Player()
    for direction, data in [*BEGUN, (WRITE, ASKED), (READ, ANSWERED[:-14])]:
        player.say(direction, data)
    for _ in range(50):
        player.say(READ, frame(HEADERS, END_HEADERS, 1, block([("x", "y" * 15_000)])))
    (exchange,) = exchanges(player.close())
    assert exchange.response is not None
    assert sum(len(value) for _, value in exchange.response.trailers) <= 65_536
    assert any("left out" in note for note in exchange.notes)


def test_what_is_behind_a_frame_of_a_wrong_size_is_read() -> None:
    odd = frame(RST_STREAM, 0, 1, b"x") + frame(PING, 0, 0, b"x") + frame(2, 0, 3, b"1234")
    assert show(play([*BEGUN, (WRITE, ASKED), (READ, odd + ANSWERED)])) == [f"{HELLO} (a frame of a wrong size)"]


def test_an_answer_that_is_seen_before_its_request() -> None:
    """Two threads use a connection; later requests of its client have higher numbers."""
    player = Player()
    for direction, piece in BEGUN:
        player.say(direction, piece)
    player.say(READ, frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88"))
    player.say(READ, frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x89"))
    player.say(WRITE, ASKED)
    assert show(player.messages) == ["1 -> GET /a = 200"]
    player.connections.tick(10)
    player.connections.tick(20)
    assert show(player.close()) == ["1 -> GET /a = 200", "3 -> = 204"]


@pytest.mark.parametrize("cut", [4, 10, 23, 24, 27, 33])
def test_a_sender_may_be_slow_at_the_beginning(cut: int) -> None:
    player = Player()
    begins = b"".join(piece for direction, piece in BEGUN if direction == WRITE) + ASKED
    player.say(WRITE, begins[:cut])
    for now_ns in (10, 20):
        player.connections.tick(now_ns)
    player.say(WRITE, begins[cut:])
    for direction, piece in BEGUN:
        if direction == READ:
            player.say(READ, piece)
    player.say(READ, frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88"))
    assert show(player.close()) == ["1 -> GET /a = 200"]
