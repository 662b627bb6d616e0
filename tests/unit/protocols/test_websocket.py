# SPDX-License-Identifier: Apache-2.0
"""WebSocket: these records in, those messages out; what encodes them is the `websockets` package, not this one."""

from __future__ import annotations

import random
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from plaintap.events import READ, WRITE
from plaintap.messages import Connection, ConnectionEnded, Lost, Message, Raw, Request, Response, WebSocketMessage
from plaintap.parsing import Outlet, Parser
from plaintap.protocols import websocket_deflate
from plaintap.protocols.base import Fit
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.websocket import WEBSOCKET, WebSocket
from plaintap.protocols.websocket_deflate import Agreed, agreed
from plaintap.protocols.websocket_frames import unmask
from plaintap.streams.connections import Connections

DEFLATE = b"permessage-deflate"
NO_FRAME = "what follows is no frame: shown raw until frames are seen again"
SESSION = 7
LIMIT = 1 << 20

Piece = tuple[int, bytes]


def frame(opcode: Opcode, data: bytes = b"", *, mask: bool = True, fin: bool = True, deflate: object = None) -> bytes:
    extensions = [deflate] if deflate else None
    return Frame(opcode, data, fin).serialize(mask=mask, extensions=extensions)  # type: ignore[arg-type]


def text(data: str, *, mask: bool = True, deflate: object = None) -> bytes:
    return frame(Opcode.TEXT, data.encode(), mask=mask, deflate=deflate)


def deflater(*, resets: bool = False, bits: int = 15) -> PerMessageDeflate:
    return PerMessageDeflate(
        remote_no_context_takeover=False,
        local_no_context_takeover=resets,
        remote_max_window_bits=15,
        local_max_window_bits=bits,
    )


def switched(extensions: bytes = b"") -> Response:
    headers = [(b"Sec-WebSocket-Extensions", extensions)] if extensions else []
    return Response(status=101, headers=headers)


@dataclass
class Player:
    """A capture of one connection, after its handshake or (`response` None) in the middle."""

    response: Response | None = field(default_factory=switched)
    body_limit: int = LIMIT
    outgoing: bool = True
    wants: bool = True
    messages: list[Message] = field(default_factory=list)
    now_ns: int = 0
    offset: list[int] = field(default_factory=lambda: [0, 0])
    recognised: int = 0

    def __post_init__(self) -> None:
        self.options = ParserOptions(body_limit=self.body_limit, wants_stream_messages=self.wants)
        self.connections = Connections(self.messages.extend, self._recognise)

    def _recognise(self, direction: int, head: bytes, outlet: Outlet) -> Parser | None:
        self.recognised += 1
        if self.response is not None and self.recognised == 1:
            return WebSocket(
                outlet.connection,
                outlet.emit,
                outgoing=self.outgoing,
                request=Request(method="GET", target="/ws"),
                response=self.response,
                options=self.options,
                outlet=outlet,
            )
        if WEBSOCKET.fit(direction, head) is Fit.YES:
            return WEBSOCKET.create(direction, head, outlet, self.options)
        return None

    def say(self, direction: int, *records: bytes) -> None:
        for data in records:
            self.now_ns += 1
            self.connections.feed([(SESSION, direction, self.offset[direction], self.now_ns, data, 1)])
            self.offset[direction] += len(data)

    def lose(self, direction: int, size: int) -> None:
        self.offset[direction] += size

    def close(self) -> list[Message]:
        self.connections.close(self.now_ns + 1)
        assert self.connections.parser_failures == 0
        ends = [message for message in self.messages if isinstance(message, ConnectionEnded)]
        assert ends == self.messages[-1:]
        return self.messages[:-1]


def play(pieces: Iterable[Piece], response: Response | None = None, **options: object) -> list[Message]:
    player = Player(response or switched(), **options)  # type: ignore[arg-type]
    for direction, data in pieces:
        player.say(direction, data)
    return player.close()


def said(messages: Iterable[Message]) -> list[tuple[int, str, bytes]]:
    """Of messages that are as they should be: who, what kind, what."""
    found = []
    for message in messages:
        assert isinstance(message, WebSocketMessage), message
        assert message.complete, message
        assert not message.note, message
        found.append((int(message.outgoing), message.kind, message.data))
    return found


def only(messages: Sequence[Message]) -> WebSocketMessage:
    (message,) = messages
    assert isinstance(message, WebSocketMessage)
    return message


def notes(messages: Iterable[Message]) -> list[str]:
    return [message.note for message in messages if isinstance(message, WebSocketMessage)]


def raw(messages: Iterable[Message]) -> list[tuple[int, int, bytes]]:
    return [(message.direction, message.offset, message.data) for message in messages if isinstance(message, Raw)]


# Whole, byte by byte, cut.


@dataclass(frozen=True)
class Sent:
    outgoing: bool
    kind: str
    word: bytes
    times: int = 1
    cuts: tuple[int, ...] = ()
    between: tuple[bytes, ...] = ()
    """Pings behind each fragment."""

    @property
    def data(self) -> bytes:
        return self.word * self.times


_DATA = st.builds(
    Sent,
    outgoing=st.booleans(),
    kind=st.sampled_from(["text", "binary"]),
    word=st.text(max_size=30).map(str.encode),
    times=st.sampled_from([1, 2, 10, 125, 126, 3000]),
    cuts=st.lists(st.integers(0, 300), max_size=3).map(lambda cuts: tuple(sorted(cuts))),
    between=st.lists(st.binary(max_size=125), max_size=3).map(tuple),
)
_CONTROL = st.builds(Sent, outgoing=st.booleans(), kind=st.sampled_from(["ping", "pong"]), word=st.binary(max_size=125))
_OPCODES = {"text": Opcode.TEXT, "binary": Opcode.BINARY, "ping": Opcode.PING, "pong": Opcode.PONG}


def encoded(message: Sent, deflate: object = None) -> bytes:
    """As one client would: fragments at `cuts`."""
    places = [0, *(min(cut, len(message.data)) for cut in message.cuts), len(message.data)]
    out = bytearray()
    for number, (start, end) in enumerate(pairwise(places)):
        opcode = Opcode.CONT if number else _OPCODES[message.kind]
        fin = end == len(message.data) and number == len(places) - 2
        out += frame(opcode, message.data[start:end], mask=message.outgoing, fin=fin, deflate=deflate)
        if number < len(message.between) and not fin:
            out += frame(Opcode.PING, message.between[number], mask=message.outgoing)
    return bytes(out)


def expected(message: Sent) -> list[tuple[int, str, bytes]]:
    direction = int(message.outgoing)
    pings = message.between[: len(message.cuts)]
    return [*((direction, "ping", ping) for ping in pings), (direction, message.kind, message.data)]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Sent], list[object], bytes]:
    sent = draw(st.lists(_DATA | _CONTROL, max_size=8))
    if not draw(st.booleans()):
        return sent, [None, None], b""
    client_resets, server_resets = draw(st.booleans()), draw(st.booleans())
    client_bits, server_bits = draw(st.integers(9, 15)), draw(st.integers(9, 15))
    words = [DEFLATE, b"client_max_window_bits=%d" % client_bits, b'server_max_window_bits="%d"' % server_bits]
    words += [b"client_no_context_takeover"] * client_resets + [b"server_no_context_takeover"] * server_resets
    deflaters: list[object] = [
        deflater(resets=server_resets, bits=server_bits),
        deflater(resets=client_resets, bits=client_bits),
    ]
    return sent, deflaters, b"; ".join(words)


def cut(records: Sequence[Piece], places: Sequence[int]) -> list[Piece]:
    """Each record in pieces, `places` used over and over."""
    out: list[Piece] = []
    for number, (direction, data) in enumerate(records):
        at = 0
        while at < len(data):
            size = places[(number + at) % len(places)] if places else len(data)
            out.append((direction, data[at : at + size]))
            at += size
    return out


@settings(deadline=None)
@given(conversations(), st.lists(st.integers(1, 40), max_size=5))
def test_any_conversation_however_cut(case: tuple[list[Sent], list[object], bytes], places: list[int]) -> None:
    sent, deflaters, extensions = case
    records = []
    for message in sent:
        deflate = None if message.kind in ("ping", "pong") else deflaters[message.outgoing]
        records.append((int(message.outgoing), encoded(message, deflate)))
    want = [line for message in sent for line in expected(message)]
    assert said(play(cut(records, places), switched(extensions))) == want


def test_byte_by_byte_and_all_in_one_record() -> None:
    stream = text("a") + frame(Opcode.PING, b"p") + text("b" * 200) + frame(Opcode.CLOSE, b"\x03\xe8bye")
    whole = said(play([(WRITE, stream)]))
    assert whole == [(1, "text", b"a"), (1, "ping", b"p"), (1, "text", b"b" * 200), (1, "close", b"bye")]
    assert said(play([(WRITE, stream[at : at + 1]) for at in range(len(stream))])) == whole


def test_what_a_message_says() -> None:
    player = Player(outgoing=False)
    start = text("hel")[:4]
    player.say(READ, start[:3], start[3:])
    player.say(WRITE, text("answer", mask=False))
    player.say(WRITE, frame(Opcode.CLOSE, b"\x03\xe9going", mask=False))
    second, third = player.messages
    assert isinstance(second, WebSocketMessage)
    assert (second.outgoing, second.from_client, second.size_bytes) == (True, False, 6)
    assert second.request is not None
    assert (second.first_ns, second.last_ns, second.request.target) == (3, 3, "/ws")
    assert isinstance(third, WebSocketMessage)
    assert (third.close_code, third.data, third.size_bytes, third.kind) == (1001, b"going", 7, "close")
    left = player.close()
    assert raw(left) == [(READ, 0, start)]


def test_times_are_of_the_first_and_the_last_byte() -> None:
    data = text("0123456789")
    message = only(play([(WRITE, data[:1]), (WRITE, data[1:9]), (WRITE, data[9:])]))
    assert (message.first_ns, message.last_ns) == (1, 3)


def test_fragments_are_counted() -> None:
    message = only(play([(WRITE, encoded(Sent(outgoing=True, kind="text", word=b"abcdef", cuts=(2, 4))))]))
    assert (message.fragments, message.data) == (3, b"abcdef")


def test_a_frame_of_more_than_four_gigabytes_is_counted() -> None:
    size = 5 << 30
    head = b"\x82\x7f" + size.to_bytes(8, "big")
    player = Player(body_limit=10)
    player.say(READ, head + b"0123456789abcdef")
    player.lose(READ, size - 16)
    player.say(READ, text("next", mask=False))
    lost, big, small = player.close()
    assert isinstance(lost, Lost)
    assert isinstance(big, WebSocketMessage)
    assert (big.size_bytes, big.missing_bytes, big.data, big.complete) == (size, size - 16, b"0123456789", False)
    assert said([small]) == [(0, "text", b"next")]


# Odd peers.


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (text("x", mask=False), "not masked by the client"),
        (b"\x81\x81\0\0\0\0\xff", "not UTF-8"),
        (b"\x88\x81\0\0\0\0a", "half a code"),
        (b"\x88\x82\0\0\0\0\x03\xed", "a code that must not be sent"),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", "not UTF-8"),
        (b"\x80\x81\0\0\0\0a", "its beginning was not seen"),
        (b"\x81\xfe\x00\x01\0\0\0\0a", "a length takes more bytes than it must"),
        (b"\x01\x81\0\0\0\0a" + text("b"), "never finished"),
    ],
)
def test_odd_frames_are_shown_and_noted(data: bytes, note: str) -> None:
    messages = play([(WRITE, data)])
    assert raw(messages) == []
    assert note in notes(messages)[0]


@pytest.mark.parametrize(
    "data",
    [b"\x83\x80", b"\xb1\x80", b"\xc1\x80", b"\x09\x80", b"\x89\xfe\0\x7e", b"\x81\xff" + b"\xff" * 8 + b"mask"],
    ids=["opcode", "rsv", "rsv1", "cut-control", "long-control", "length"],
)
def test_what_is_no_frame_is_raw_until_frames_come_again(data: bytes) -> None:
    tail = data + b"mask and more"
    messages = play([(WRITE, text("a")), (WRITE, text("b") + tail), (WRITE, b"more"), (WRITE, text("c"))])
    assert notes(messages) == ["", "", NO_FRAME, ""]
    start = len(text("a") + text("b"))
    assert raw(messages) == [(WRITE, start, tail), (WRITE, start + len(tail), b"more")]
    assert said([messages[-1]]) == [(1, "text", b"c")]


def test_an_unfinished_message_is_shown_before_what_is_no_frame() -> None:
    messages = play([(WRITE, frame(Opcode.TEXT, b"abc", fin=False)), (WRITE, b"\x83\x80....")])
    first = only([message for message in messages if isinstance(message, WebSocketMessage)])
    assert (first.data, first.complete, first.note) == (b"abc", False, NO_FRAME)


def test_when_neither_direction_has_frames_it_is_recognised_afresh() -> None:
    player = Player()
    player.say(WRITE, b"SSH-2.0-x\r\n")
    player.say(READ, b"SSH-2.0-y\r\n")
    assert player.recognised == 1
    player.say(READ, b"more")
    assert player.recognised == 2
    assert len(raw(player.close())) == 3


def test_with_an_extension_nobody_knows_bits_are_no_fault() -> None:
    message = only(play([(WRITE, b"\xb1\x83\0\0\0\0abc")], switched(b"x-webkit-deflate-frame")))
    assert (message.data, message.note) == (b"abc", "bits of an unknown extension are set")


# Ends.


@pytest.mark.parametrize("end", range(1, len(text("hello"))))
def test_with_a_tail(end: int) -> None:
    cut_frame = text("hello")[:end]
    messages = play([(WRITE, text("ok") + cut_frame)])
    assert said(messages[:1]) == [(1, "text", b"ok")]
    if end < 6:
        assert raw(messages) == [(WRITE, len(text("ok")), cut_frame)]
    else:
        message = only(messages[1:])
        assert (message.data, message.size_bytes, message.complete) == (b"hello"[: end - 6], end - 6, False)


def test_nothing_is_emitted_for_those_who_do_not_want_it() -> None:
    assert play([(WRITE, text("a") + frame(Opcode.CLOSE))], wants=False) == []


# Losses.


def test_a_gap_in_a_payload_is_skipped() -> None:
    data = text("0123456789" * 5)
    player = Player()
    player.say(WRITE, data[:16])
    player.lose(WRITE, 13)
    player.say(WRITE, data[29:] + text("next"))
    lost, message, following = player.close()
    assert isinstance(lost, Lost)
    assert isinstance(message, WebSocketMessage)
    whole = b"0123456789" * 5
    assert (message.data, message.missing_bytes, message.size_bytes) == (whole[:10] + whole[23:], 13, 50)
    assert not message.complete
    assert said([following]) == [(1, "text", b"next")]


@given(start=st.integers(0, 80), size=st.integers(1, 80))
def test_a_gap_anywhere(start: int, size: int) -> None:
    """Whatever is lost, the record after next is whole again, and no byte is neither shown nor counted."""
    records = [text(f"message {number} " + "x" * number) for number in range(5)]
    stream = b"".join(records)
    player = Player()
    player.say(WRITE, records[0])
    at = len(records[0])
    start += at
    end = min(start + size, len(stream))
    for record in records[1:]:
        before, after = record[: max(0, start - at)], record[max(0, end - at) :]
        player.offset[WRITE] = at
        if before:
            player.say(WRITE, before)
        player.offset[WRITE] = at + len(record) - len(after)
        if after and before != record:
            player.say(WRITE, after)
        at += len(record)
    player.offset[WRITE] = at
    player.say(WRITE, text("next"), text("last"))
    assert said(player.close()[-1:]) == [(1, "text", b"last")]


def test_a_gap_in_a_compressed_message_leaves_unknown_bytes_in_later_ones() -> None:
    deflate = deflater()
    sentences = [f"{number} is in the sentence that is always there" for number in range(3)]
    first, second, third = (text(sentence, deflate=deflate) for sentence in sentences)
    player = Player(switched(DEFLATE))
    player.say(WRITE, first[:20])
    player.lose(WRITE, len(first) - 20)
    player.say(WRITE, second, third)
    _, cut_message, later, last = player.close()
    assert isinstance(cut_message, WebSocketMessage)
    assert not cut_message.complete
    for number, message in ((1, later), (2, last)):
        assert isinstance(message, WebSocketMessage)
        assert message.complete
        assert "copied from before" in message.note
        assert len(message.data) == len(sentences[number])
        assert message.data.startswith(str(number).encode())
        assert all(got in (want, ord("?")) for got, want in zip(message.data, sentences[number].encode(), strict=True))


# permessage-deflate.


@pytest.mark.parametrize(
    ("said", "want"),
    [
        (b"", Agreed(deflate=False)),
        (DEFLATE, Agreed()),
        (b"permessage-deflate; server_no_context_takeover", Agreed(resets=(True, False))),
        (b"permessage-deflate ; Client_No_Context_Takeover;client_max_window_bits", Agreed(resets=(False, True))),
        (b"permessage-deflate; client_max_window_bits=10", Agreed(window_bits=(15, 10))),
        (b"permessage-deflate; server_max_window_bits=8", Agreed(window_bits=(9, 15))),
        (b"permessage-deflate; server_max_window_bits=99", Agreed()),
        (b"mux, permessage-deflate", Agreed(others=True)),
    ],
)
def test_what_was_agreed_on(said: bytes, want: Agreed) -> None:
    assert agreed(switched(said)) == want


def test_messages_beyond_the_limit_still_fill_the_window() -> None:
    deflate = deflater()
    long = "".join(random.Random(1).choices("abcdefghij", k=20000))  # noqa: S311 - data
    records = [text(long, deflate=deflate), text(long[15000:15100], deflate=deflate)]
    assert len(records[1]) < 30
    first, second = play([(WRITE, record) for record in records], switched(DEFLATE), body_limit=500)
    assert isinstance(first, WebSocketMessage)
    assert (first.data, first.note) == (long[:500].encode(), "the first 500 of 20000 inflated bytes")
    assert (first.size_bytes, first.wire_bytes) == (20000, sum(map(len, records[:1])) - 8)
    assert said([second]) == [(1, "text", long[15000:15100].encode())]


def test_without_a_limit_nothing_is_inflated_or_noted() -> None:
    deflate = deflater()
    messages = play([(WRITE, text("hello", deflate=deflate))], switched(DEFLATE), body_limit=0)
    message = only(messages)
    assert (message.data, message.compressed, message.note, message.size_bytes) == (b"", True, "", 7)


@pytest.mark.parametrize("final", [b"\xf3\x48\xcd\xc9\xc9\x07\x00", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"])
def test_final_blocks(final: bytes) -> None:
    """RFC 7692, 7.2.3.4 and 7.2.3.5."""
    record = b"\xc1" + bytes([len(final)]) + final
    assert said(play([(READ, record), (READ, record)], switched(DEFLATE))) == [(0, "text", b"Hello")] * 2


def test_many_final_blocks_are_given_up() -> None:
    blocks = b"\x03\x00" * 8000
    record = b"\xc2\x7e" + len(blocks).to_bytes(2, "big") + blocks
    started = time.process_time()
    message = only(play([(READ, record)], switched(DEFLATE)))
    assert message.note == "too many final blocks; shown compressed"
    assert message.data == blocks
    assert time.process_time() - started < 1


def test_what_does_not_inflate_is_shown_compressed() -> None:
    messages = play([(READ, b"\xc1\x04\xff\xff\xff\xff"), (READ, text("after", mask=False))], switched(DEFLATE))
    first = only(messages[:1])
    assert (first.data, first.note, first.complete) == (b"\xff" * 4, "damaged; shown compressed", True)
    assert said(messages[1:]) == [(0, "text", b"after")]


def bomb(size: int) -> bytes:
    deflater_ = zlib.compressobj(wbits=-15)
    return (deflater_.compress(bytes(size)) + deflater_.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_a_bomb_is_given_up_and_the_next_message_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_deflate, "FREE_BYTES", 1 << 20)
    data = bomb(256 << 20)
    head = b"\xc2\x7f" + len(data).to_bytes(8, "big")
    tracemalloc.start()
    player = Player(switched(DEFLATE + b"; server_no_context_takeover"), body_limit=1000)
    player.say(READ, head + data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    player.say(READ, text("hello", mask=False, deflate=deflater()))
    first, second = player.close()
    assert isinstance(first, WebSocketMessage)
    assert "unfolds more than 100 times, given up; the first 1000 of" in first.note
    assert peak_bytes < 8 << 20
    assert said([second]) == [(0, "text", b"hello")]


def test_a_direction_that_unfolds_too_much_pays_before_it_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_deflate, "FREE_BYTES", 0)
    small = bomb(60000)
    record = b"\xc2\x7e" + len(small).to_bytes(2, "big") + small
    assert len(record) < 126
    record = bytes([0xC2, len(small)]) + small
    messages = play([(READ, record)] * 3, switched(DEFLATE), body_limit=10)
    assert all("given up" in note for note in notes(messages))


def test_a_long_message_in_single_bytes_takes_no_time_and_little_memory() -> None:
    data = frame(Opcode.BINARY, bytes(50_000))
    player = Player()
    tracemalloc.start()
    started = time.process_time()
    for at in range(len(data)):
        player.say(WRITE, data[at : at + 1])
    assert time.process_time() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()
    assert said(player.close()) == [(1, "binary", bytes(50_000))]


# Late.


def late(*records: Piece) -> list[Message]:
    player = Player(response=None)
    for direction, data in records:
        player.say(direction, data)
    return player.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda mask: text('{"a": 1}', mask=mask),
        lambda mask: text("x" * 70000, mask=mask)[:16384],
        lambda mask: frame(Opcode.BINARY, bytes(range(100)), mask=mask),
        lambda mask: frame(Opcode.PING, b"12345678", mask=mask),
        lambda mask: frame(Opcode.CLOSE, b"\x03\xe8done", mask=mask),
        lambda mask: text("a", mask=mask) + text("b", mask=mask),
        lambda mask: text('{"a": "compressed, all of it"}', mask=mask, deflate=deflater()),
    ],
    ids=["text", "long", "binary", "ping", "close", "two", "deflated"],
)
@pytest.mark.parametrize("mask", [True, False])
def test_late_it_is_recognised_by_its_frames(make: Callable[[bool], bytes], *, mask: bool) -> None:
    first = late((WRITE, make(mask)))[0]
    assert isinstance(first, WebSocketMessage)
    assert (first.outgoing, first.from_client, first.request) == (True, mask, None)


def test_late_both_directions_and_their_roles() -> None:
    messages = late(
        (READ, text("tick one", mask=False)), (WRITE, text("subscribe")), (READ, text("tick two", mask=False))
    )
    assert said(messages) == [(0, "text", b"tick one"), (1, "text", b"subscribe"), (0, "text", b"tick two")]
    assert [message.from_client for message in messages if isinstance(message, WebSocketMessage)] == [
        False,
        True,
        False,
    ]


def test_late_a_head_written_apart_from_its_payload() -> None:
    player = Player(response=None)
    player.say(READ, text("tick", mask=False))
    data = text("subscribe")
    player.say(WRITE, data[:6], data[6:])
    assert said(player.close()) == [(0, "text", b"tick"), (1, "text", b"subscribe")]


def test_late_and_compressed_it_becomes_right_once_the_window_is_full() -> None:
    deflate, chance = deflater(), random.Random(3)  # noqa: S311 - data
    sentences = [bytes(chance.choices(range(0x40, 0x7F), k=200)).decode() for _ in range(600)]
    records = [text(sentence, deflate=deflate) for sentence in sentences]
    messages = late(*((WRITE, record) for record in records[100:]))
    assert len(messages) == 500
    for message, sentence in zip(messages, sentences[100:], strict=True):
        assert isinstance(message, WebSocketMessage)
        assert len(message.data) == len(sentence)
        known = [(got, want) for got, want in zip(message.data, sentence.encode(), strict=True) if got != ord("?")]
        assert all(got == want for got, want in known)
        assert bool(message.note) == (message.data != sentence.encode())
    assert "copied from before" in notes(messages)[0]
    assert said(messages[-100:]) == [(1, "text", sentence.encode()) for sentence in sentences[-100:]]


OTHERS = [
    bytes.fromhex("160301020001000200fc0303"),
    bytes.fromhex("1403030001011703030028") + bytes(40),
    bytes.fromhex("000012040000000000000300000080000400010000000500004000"),
    bytes.fromhex("0000040800000000000000ffff"),
    bytes.fromhex("00000401000000018286848100000500010000000168656c6c6f"),
    bytes.fromhex("0000000005") + b"\x0a\x03abc",
    bytes.fromhex("820d0001000861626364656667680000"),
    bytes.fromhex("820a000100056162632f6400"),
    bytes.fromhex("020105"),
    bytes.fromhex("300c020101600702010304008000"),
    b"*1\r\n$4\r\nPING\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"AUTH PLAIN abc\r\n",
    b"BEGIN\r\n",
    b"220 mail ESMTP\r\n",
    bytes.fromhex("0000000f51") + b"select 1;\0",
    b"\x00",
    b"\x81",
    b"",
    bytes.fromhex("8100"),
    bytes.fromhex("8900"),
]


@pytest.mark.parametrize("data", OTHERS, ids=range(len(OTHERS)))
def test_other_protocols_are_not_taken_for_it(data: bytes) -> None:
    assert WEBSOCKET.fit(READ, data) is not Fit.YES


def test_chance_is_seldom_taken_for_it() -> None:
    chance = random.Random(1)  # noqa: S311 - the same each time
    taken = sum(WEBSOCKET.fit(READ, chance.randbytes(chance.randint(1, 400))) is Fit.YES for _ in range(50_000))
    assert taken <= 5


# HTTP/2.


def test_on_a_stream_of_http2_what_is_no_frame_is_a_message() -> None:
    messages: list[Message] = []
    connection = Connection(1, 2, 3, 0, "x")
    parser = WebSocket(
        connection,
        messages.append,
        outgoing=True,
        request=Request(method="CONNECT"),
        response=Response(status=200),
        stream=5,
        options=ParserOptions(body_limit=100),
    )
    parser.receive(WRITE, 1, text("hi"))
    parser.receive(READ, 2, b"\x83nothing")
    parser.close(3)
    first, second = messages
    assert isinstance(first, WebSocketMessage)
    assert isinstance(second, WebSocketMessage)
    assert (first.stream, second.stream) == (5, 5)
    assert (second.kind, second.data, second.complete, second.note) == ("unknown", b"\x83nothing", False, "no frame")


# The mask.


@given(st.binary(max_size=5000), st.binary(min_size=4, max_size=4))
def test_unmask(data: bytes, key: bytes) -> None:
    assert unmask(data, key) == bytes(byte ^ key[place % 4] for place, byte in enumerate(data))
