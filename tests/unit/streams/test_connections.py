# SPDX-License-Identifier: Apache-2.0
"""Connections and their workers: identities, order, gaps, both life cycles, every count. Parsers are a fake."""

from __future__ import annotations

import re
import socket as socket_module
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap import events
from plaintap.events import READ, WRITE, Fact, Kind, Record, SocketSource
from plaintap.messages import Connection, ConnectionEnded, Lost, Message, Raw, RecordSeen
from plaintap.parsing import Outlet, Parser
from plaintap.streams.connections import IDLE_TICKS, Connections, LifeCycle

SESSION = 2**60 + 5


def seen(
    session: int = SESSION,
    *,
    pid: int = 100,
    comm: bytes = b"curl",
    library: int = 3,
    port: int = 0,
    ts_ns: int = 1,
    source: int = SocketSource.NESTED_CALL,
) -> Record:
    header = (events.WIRE_VERSION, Kind.DATA, 0, events.DATA_SIZE, ts_ns, pid, pid + 1)
    raw = events.DATA.pack(*header, session, 0, 0xABC, 0, 1000, library, WRITE, comm)
    family = socket_module.AF_INET if port else 0
    address = bytes([127, 0, 0, 1]).ljust(16, b"\0")
    raw += events.SOCKET.pack(9, address, address, 40000, port, family, source, 77, 5)
    return 0, Kind.DATA, 0, ts_ns, raw, pid + 1


def ended(session: int = SESSION, *, read: int, written: int, ts_ns: int = 90) -> Record:
    header = (events.WIRE_VERSION, Kind.SESSION_END, 0, events.SESSION_END.size, ts_ns, 100, 101)
    return 0, Kind.SESSION_END, 0, ts_ns, events.SESSION_END.pack(*header, session, read, written), 101


def closed(session: int = SESSION, *, read: int, written: int, ts_ns: int = 80) -> Record:
    header = (events.WIRE_VERSION, Kind.SOCKET_CLOSED, 0, events.SESSION_END.size, ts_ns, 100, 0)
    return 0, Kind.SOCKET_CLOSED, 0, ts_ns, events.SESSION_END.pack(*header, session, read, written), 0


def agreed(
    session: int = SESSION, *, version: int = 0, cipher: int = 0, alpn: bytes = b"", sni: bytes = b"", ts_ns: int = 1
) -> Record:
    header = (events.WIRE_VERSION, Kind.TLS, 0, events.TLS.size, ts_ns, 100, 101)
    raw = events.TLS.pack(*header, session, version, cipher, len(alpn), alpn, sni)
    return 0, Kind.TLS, 0, ts_ns, raw, 101


def exited(pid: int = 100, ts_ns: int = 95) -> Record:
    raw = events.HEADER.pack(events.WIRE_VERSION, Kind.PROCESS_EXIT, 0, events.HEADER.size, ts_ns, pid, pid)
    return 0, Kind.PROCESS_EXIT, 0, ts_ns, raw, pid


def data(offset: int, payload: bytes, *, session: int = SESSION, direction: int = WRITE, ts_ns: int = 10) -> Record:
    return session, direction, offset, ts_ns, payload, 101


class Tape:
    """A parser that writes down what happens to it; `BOOM` makes it fail, `LEAVE` makes it go."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.calls: list[tuple[str, int, object]] = []

    def receive(self, direction: int, _ts_ns: int, data: bytes, /) -> None:
        self.calls.append(("receive", direction, data))
        if data == b"BOOM":
            raise RuntimeError(f"boom {data!r}")
        if data == b"LEAVE+rest":
            self.outlet.become(None)
            self.outlet.unclaimed(direction, 0, b"+rest")

    def gap(self, direction: int, _ts_ns: int, missing_bytes: int, /) -> None:
        self.calls.append(("gap", direction, missing_bytes))

    def flush(self, ts_ns: int, /) -> None:
        self.calls.append(("flush", ts_ns, None))

    def close(self, ts_ns: int, /) -> None:
        self.calls.append(("close", ts_ns, None))


class Capture:
    """Connections with everything they gave."""

    def __init__(self, *, claim: bool = True, **options: object) -> None:
        self.messages: list[Message] = []
        self.facts: list[Fact] = []
        self.tapes: list[Tape] = []
        self.claim = claim
        self.failures: list[str] = []
        self.connections = Connections(
            self.messages.extend,
            self._recognise,
            on_fact=self.facts.append,
            on_failure=self.failures.append,
            **options,  # type: ignore[arg-type]
        )
        self.feed = self.connections.feed

    def _recognise(self, _direction: int, head: bytes, outlet: Outlet, /) -> Parser | None:
        if not self.claim or head.startswith(b"raw"):
            return None
        self.tapes.append(Tape(outlet))
        return self.tapes[-1]

    @property
    def open(self) -> int:
        return len(self.connections._workers)

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.messages if isinstance(message, kind)]


def test_identity() -> None:
    capture = Capture()
    capture.connections.libraries[3] = "libssl 3.0.22"
    capture.feed([seen(port=443), data(0, b"hello")])
    connection = capture.tapes[0].outlet.connection
    assert (connection.session, connection.pid, connection.tid, connection.uid) == (SESSION, 100, 101, 1000)
    assert (connection.comm, connection.ssl, connection.library) == ("curl", 0xABC, "libssl 3.0.22")
    assert connection.socket is not None
    assert (connection.socket.remote_address, connection.socket.remote_port) == ("127.0.0.1", 443)


def test_identity_that_becomes_known_is_known_to_earlier_messages() -> None:
    capture = Capture(claim=False)
    capture.feed([seen(), data(0, b"a")])
    (raw,) = capture.messages
    assert isinstance(raw, Raw)
    assert (raw.connection.socket, capture.connections.unattributed) == (None, 1)
    capture.feed([seen(port=443, comm=b"renamed")])
    assert raw.connection.socket is not None
    assert raw.connection.comm == "renamed"
    assert capture.connections.unattributed == 0
    capture.feed([seen()])
    assert raw.connection.socket is not None
    assert capture.connections.connections == 1


def test_data_whose_identity_was_lost() -> None:
    capture = Capture(claim=False)
    capture.feed([data(0, b"a")])
    (raw,) = capture.messages
    assert isinstance(raw, Raw)
    assert (raw.connection.pid, raw.connection.comm, raw.connection.tid) == (0, "?", 101)
    assert capture.connections.processes == 0
    capture.feed([seen()])
    assert raw.connection.pid == 100
    assert capture.connections.processes == 1
    capture.feed([exited()])
    assert capture.open == 0


def test_bytes_in_order_go_to_the_parser() -> None:
    capture = Capture()
    capture.feed([seen(), data(0, b"ab"), data(2, b"c"), data(0, b"xyz", direction=READ)])
    assert capture.tapes[0].calls == [("receive", WRITE, b"ab"), ("receive", WRITE, b"c"), ("receive", READ, b"xyz")]
    assert (capture.connections.read_bytes, capture.connections.written_bytes) == (3, 3)


def test_a_gap_is_told_to_the_parser_and_shown() -> None:
    capture = Capture()
    capture.feed([seen(), data(0, b"ab"), data(10, b"c", ts_ns=20), data(11, b"d")])
    assert capture.tapes[0].calls == [
        ("receive", WRITE, b"ab"),
        ("gap", WRITE, 8),
        ("receive", WRITE, b"c"),
        ("receive", WRITE, b"d"),
    ]
    (lost,) = capture.messages
    assert isinstance(lost, Lost)
    assert (lost.direction, lost.ts_ns, lost.offset, lost.missing_bytes) == (WRITE, 20, 2, 8)
    assert (capture.connections.lost_bytes, capture.connections.written_bytes) == (8, 4)


def test_first_bytes_lost() -> None:
    capture = Capture()
    capture.feed([seen(), data(5, b"ab", direction=READ)])
    (lost,) = capture.messages
    assert isinstance(lost, Lost)
    assert (lost.direction, lost.offset, lost.missing_bytes) == (READ, 0, 5)
    assert capture.tapes[0].calls == [("receive", READ, b"ab")]


def test_last_bytes_lost() -> None:
    capture = Capture()
    capture.feed([seen(), data(0, b"ab"), ended(read=7, written=2)])
    lost, end = capture.messages
    assert isinstance(lost, Lost)
    assert isinstance(end, ConnectionEnded)
    assert (lost.direction, lost.ts_ns, lost.offset, lost.missing_bytes) == (READ, 90, 0, 7)
    assert (end.reason, end.ts_ns, end.read_bytes, end.written_bytes, end.lost_bytes) == ("closed", 90, 0, 2, 7)
    assert capture.tapes[0].calls[1:] == [("gap", READ, 7), ("close", 90, None)]


def test_all_bytes_lost() -> None:
    capture = Capture()
    capture.feed([ended(read=7, written=2)])
    assert [message.missing_bytes for message in capture.messages if isinstance(message, Lost)] == [7, 2]
    assert (capture.connections.lost_bytes, capture.connections.connections, capture.open) == (9, 1, 0)


def test_totals_that_come_after_the_process_has_exited() -> None:
    capture = Capture()
    capture.feed([seen(1), seen(2), data(0, b"ab", session=1), data(0, b"ab", session=2), exited()])
    capture.feed([ended(1, read=0, written=2), ended(2, read=0, written=5)])
    (lost,) = capture.of(Lost)
    assert isinstance(lost, Lost)
    assert (lost.connection.session, lost.connection.comm, lost.missing_bytes) == (2, "curl", 3)
    assert (capture.connections.connections, capture.connections.unattributed) == (2, 2)
    assert capture.connections.written_bytes == 4


def test_repeated_bytes_are_skipped() -> None:
    capture = Capture()
    capture.feed([seen(), data(0, b"abcd"), data(0, b"abcd"), data(2, b"cd"), data(2, b"cdEF"), data(6, b"g")])
    assert [call[2] for call in capture.tapes[0].calls] == [b"abcd", b"EF", b"g"]
    assert capture.messages == []
    assert (capture.connections.lost_bytes, capture.connections.written_bytes) == (0, 7)


def test_nothing_claimed_is_raw_and_asked_again() -> None:
    capture = Capture()
    capture.feed([seen(), data(0, b"raw1"), data(4, b"raw2", ts_ns=11), data(8, b"fits")])
    assert [(m.offset, m.ts_ns, m.data) for m in capture.messages if isinstance(m, Raw)] == [
        (0, 10, b"raw1"),
        (4, 11, b"raw2"),
    ]
    assert capture.tapes[0].calls == [("receive", WRITE, b"fits")]


def test_a_parser_may_leave() -> None:
    capture = Capture()
    capture.feed([seen(), data(0, b"a"), data(1, b"LEAVE+rest"), data(11, b"b")])
    assert [(m.offset, m.data) for m in capture.messages if isinstance(m, Raw)] == [(6, b"+rest")]
    assert [tape.calls[0] for tape in capture.tapes] == [("receive", WRITE, b"a"), ("receive", WRITE, b"b")]


@pytest.mark.parametrize("offset", [1, 0, 3], ids=["in order", "overlapping", "behind a gap"])
def test_a_failing_parser_ends_neither_capture_nor_connection(offset: int) -> None:
    capture = Capture()
    capture.feed([seen(), data(0, b"a"), data(offset, b"aBOOM"[-4 - (offset == 0) :]), data(offset + 9, b"b")])
    assert capture.connections.parser_failures == 1
    assert [m.data for m in capture.messages if isinstance(m, Raw)] == [b"BOOM", b"b"]
    capture.connections.close(99)
    assert capture.connections.parser_failures == 1
    assert len(capture.tapes) == 1


def test_a_failure_is_told_without_plaintext() -> None:
    capture = Capture()
    capture.feed([seen(), data(0, b"a"), data(1, b"BOOM"), data(5, b"b"), data(6, b"BOOM")])
    (text,) = capture.failures
    assert re.fullmatch(r"RuntimeError at streams/test_connections\.py:\d+ in Tape\.receive", text)


@pytest.mark.parametrize("method", ["gap", "flush", "close"])
def test_a_parser_may_fail_anywhere(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Tape, method, fail)
    capture = Capture()
    capture.feed([seen(), data(0, b"a"), data(5, b"b")])
    for now_ns in range(3):
        capture.connections.tick(now_ns)
    capture.connections.close(99)
    assert capture.connections.parser_failures == 1
    assert len(capture.of(ConnectionEnded)) == 1


def test_what_an_output_raises_passes() -> None:
    batches = []

    def emit(messages: list[Message]) -> None:
        batches.append(messages[:])
        if len(batches) == 1:
            raise BrokenPipeError

    connections = Connections(emit, lambda *_: None)
    with pytest.raises(BrokenPipeError):
        connections.feed([seen(), data(0, b"a"), data(1, b"b")])
    assert connections.parser_failures == 0
    connections.feed([])
    connections.feed([data(2, b"c")])
    assert [[m.data for m in batch if isinstance(m, Raw)] for batch in batches] == [[b"a", b"b"], [b"c"]]


def test_records_on_demand() -> None:
    capture = Capture(want_records=True)
    capture.feed([seen(), data(0, b"ab"), data(0, b"ab")])
    (first, second) = capture.of(RecordSeen)
    assert isinstance(first, RecordSeen)
    assert (first.direction, first.ts_ns, first.offset, first.data, first.tid) == (WRITE, 10, 0, b"ab", 101)
    assert first == second


def test_facts_are_passed_on_and_unknown_ones_counted() -> None:
    capture = Capture()
    meta = events.encode_meta(events.Meta(clock_offset_ns=5), ts_ns=1)
    capture.feed([(0, Kind.META, 0, 1, meta, 0), exited(), (0, 77, 0, 1, b"", 0), (0, 0, 0, 0, b"junk", 0)])
    capture.feed([(0, Kind.SESSION_END, 0, 1, b"short", 0), (0, Kind.META, 0, 1, meta[:-1], 0)])
    assert [type(fact).__name__ for fact in capture.facts] == ["Meta", "ProcessExited"]
    assert capture.connections.undecodable == 4


@given(st.integers(0, 200), st.binary(max_size=200))
def test_no_fact_is_fatal(kind: int, raw: bytes) -> None:
    capture = Capture()
    capture.feed([(0, kind, 0, 1, raw, 1)])


def test_a_process_exit_ends_its_sessions_only() -> None:
    capture = Capture()
    capture.feed([seen(1), seen(2), seen(3, pid=200), data(0, b"a", session=1), exited()])
    ends = capture.of(ConnectionEnded)
    assert sorted(end.connection.session for end in ends if isinstance(end, ConnectionEnded)) == [1, 2]
    assert capture.open == 1
    assert (capture.connections.connections, capture.connections.processes) == (3, 2)


def test_silence_flushes_once() -> None:
    capture = Capture()
    capture.feed([seen(), data(0, b"a")])
    for now_ns in range(5):
        capture.connections.tick(now_ns)
    assert capture.tapes[0].calls == [("receive", WRITE, b"a"), ("flush", 1, None)]
    capture.feed([data(1, b"b", ts_ns=50)])
    for now_ns in range(60, 65):
        capture.connections.tick(now_ns)
    assert capture.tapes[0].calls[2:] == [("receive", WRITE, b"b"), ("flush", 61, None)]
    assert capture.open == 1


def test_default_life_cycle_ends_after_idle_ticks_and_may_go_on() -> None:
    def policy(connection: Connection) -> LifeCycle:
        return LifeCycle.DEFAULT if connection.comm == "curl" else LifeCycle.SOCKET

    capture = Capture(idle_ticks=3, life_cycle=policy)
    capture.feed(
        [
            seen(1, port=443, source=SocketSource.CONNECT),
            seen(2, comm=b"node"),
            data(0, b"ab", session=1),
            data(0, b"a", session=2),
        ]
    )
    for now_ns in range(3):
        capture.connections.tick(now_ns)
    assert capture.open == 2
    capture.connections.tick(3)
    (end,) = capture.of(ConnectionEnded)
    assert isinstance(end, ConnectionEnded)
    assert (end.connection.session, end.reason, end.written_bytes) == (1, "idle", 2)
    capture.feed([data(2, b"cd", session=1)])
    connection = capture.tapes[-1].outlet.connection
    assert connection.socket is not None
    assert (connection.comm, capture.connections.lost_bytes, capture.connections.connections) == ("curl", 0, 2)
    capture.connections.close(99)
    assert [end.written_bytes for end in capture.of(ConnectionEnded) if isinstance(end, ConnectionEnded)] == [2, 1, 2]
    assert capture.connections.written_bytes == 5
    assert capture.connections.unattributed == 1


def test_default_life_cycle_with_ten_ticks_goes_on_where_it_was() -> None:
    capture = Capture(life_cycle=lambda _connection: LifeCycle.DEFAULT)
    capture.feed([seen(), data(0, b"ab"), data(0, b"xyz", direction=READ)])
    for round_number, (wrote, read) in enumerate([(2, 3), (3, 4), (4, 5)], 1):
        for now_ns in range(IDLE_TICKS):
            capture.connections.tick(now_ns)
        assert capture.open == 1
        capture.connections.tick(IDLE_TICKS)
        assert (capture.open, len(capture.of(ConnectionEnded))) == (0, round_number)
        capture.feed([data(wrote, b"c", ts_ns=round_number * 100), data(read, b"d", direction=READ)])
        assert capture.open == 1
    assert len(capture.tapes) == 4
    assert capture.of(Lost) == []
    capture.feed([ended(read=6, written=9)])
    assert [
        (lost.direction, lost.offset, lost.missing_bytes) for lost in capture.of(Lost) if isinstance(lost, Lost)
    ] == [(WRITE, 5, 4)]
    assert (capture.connections.connections, capture.connections.written_bytes) == (1, 5)
    assert (capture.connections.read_bytes, capture.connections.unattributed) == (6, 1)


def test_the_life_cycle_is_asked_again_when_the_library_is_known() -> None:
    capture = Capture(
        idle_ticks=1, life_cycle=lambda one: LifeCycle.DEFAULT if one.library == "other" else LifeCycle.SOCKET
    )
    capture.connections.libraries[3] = "other"
    capture.feed([data(0, b"a")])
    capture.connections.tick(1)
    capture.connections.tick(2)
    assert capture.open == 1
    capture.feed([seen()])
    capture.connections.tick(3)
    assert capture.open == 0


def test_workers_are_bounded_the_longest_silent_go() -> None:
    capture = Capture(max_workers=3)
    capture.feed([data(0, b"a", session=session, ts_ns=session) for session in (1, 2, 3)])
    capture.feed([data(1, b"a", session=1, ts_ns=9), data(0, b"a", session=4, ts_ns=10)])
    (end,) = capture.of(ConnectionEnded)
    assert isinstance(end, ConnectionEnded)
    assert (end.connection.session, end.reason) == (2, "evicted")
    assert (capture.connections.evicted, capture.open) == (1, 3)
    capture.feed([data(1, b"b", session=2, ts_ns=11)])
    assert capture.connections.lost_bytes == 0
    assert capture.connections.connections == 4


def test_evicted_sessions_are_not_remembered_for_ever() -> None:
    capture = Capture(max_workers=2)
    capture.feed([data(0, b"a", session=session, ts_ns=session) for session in range(1, 50)])
    assert len(capture.connections._dormant) == 2
    capture.feed([ended(session, read=0, written=1) for session in range(46, 50)])
    assert capture.connections._dormant == {}
    assert capture.connections.lost_bytes == 0


def test_close_ends_everything() -> None:
    capture = Capture()
    capture.feed([seen(1), seen(2, pid=7), data(0, b"a", session=1)])
    capture.connections.close(99)
    assert capture.tapes[0].calls[-1] == ("close", 99, None)
    assert len(capture.of(ConnectionEnded)) == 2
    assert capture.open == 0
    assert capture.connections._sessions_of == {}
    capture.connections.close(100)
    assert len(capture.of(ConnectionEnded)) == 2


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=12))
def test_any_offsets_give_every_byte_once_or_name_it(records: list[tuple[int, int]]) -> None:
    stream = bytes(range(64))
    capture = Capture(claim=False)
    capture.feed([data(offset, stream[offset : offset + size]) for offset, size in records])
    position = 0
    for message in capture.messages:
        assert isinstance(message, Raw | Lost)
        assert message.offset == position
        if isinstance(message, Raw):
            assert message.data == stream[position : position + len(message.data)]
            position += len(message.data)
        else:
            position += message.missing_bytes
    assert position == max((offset + size for offset, size in records), default=0)


def test_struct_of_facts_is_the_wires() -> None:
    """The builders above stand for the kernel: what they make must decode."""
    with pytest.raises(struct.error):
        events.decode_fact(Kind.DATA, seen()[4][:-1])
    assert events.decode_fact(Kind.DATA, seen()[4]) is not None


def tls_of(connection: Connection) -> tuple[int, int, str, str]:
    return connection.tls_version, connection.cipher, connection.alpn, connection.sni


def test_what_was_agreed_on_is_known_before_the_first_message() -> None:
    capture = Capture()
    capture.feed([agreed(version=0x0304, cipher=0x1301, alpn=b"h2", sni=b"example.org"), seen(), data(0, b"hello")])
    assert capture.connections.connections == 1
    assert tls_of(capture.tapes[0].outlet.connection) == (0x0304, 0x1301, "h2", "example.org")


def test_what_is_known_later_is_added() -> None:
    capture = Capture()
    capture.feed([agreed(sni=b"example.org"), seen(), data(0, b"hello"), agreed(version=0x0303, cipher=0xC02F)])
    assert tls_of(capture.tapes[0].outlet.connection) == (0x0303, 0xC02F, "", "example.org")
    assert capture.connections.undecodable == 0


def test_of_a_session_that_sleeps_too() -> None:
    capture = Capture(max_workers=1)
    capture.feed([seen(1), data(0, b"a", session=1), data(0, b"b", session=2), agreed(1, version=0x0304, cipher=1)])
    assert capture.connections.evicted == 1
    assert tls_of(capture.tapes[0].outlet.connection) == (0x0304, 1, "", "")


def test_sessions_that_never_speak_are_forgotten() -> None:
    capture = Capture(max_workers=2)
    capture.feed([agreed(number, version=0x0304) for number in range(1, 6)])
    capture.feed([ended(5, read=0, written=0)])
    assert list(capture.connections._tls) == [4]
    assert capture.connections.connections == 0


def test_a_socket_that_is_gone_ends_the_connection_once_it_is_silent() -> None:
    capture = Capture()
    capture.feed([seen(port=443), data(0, b"ab", ts_ns=10), closed(read=0, written=2, ts_ns=80)])
    assert capture.open == 1
    capture.connections.tick(100)
    capture.connections.tick(200)
    (end,) = capture.of(ConnectionEnded)
    assert isinstance(end, ConnectionEnded)
    assert (end.reason, end.ts_ns, end.written_bytes) == ("closed", 80, 2)
    assert (capture.open, capture.connections.lost_bytes) == (0, 0)
    capture.feed([ended(read=0, written=2)])
    capture.connections.close(300)
    assert len(capture.of(ConnectionEnded)) == 1
    assert capture.connections.connections == 1


def test_what_the_library_holds_then_belongs_to_the_connection() -> None:
    capture = Capture()
    capture.feed([seen(port=443), data(0, b"ab", direction=READ), closed(read=2, written=0)])
    capture.connections.tick(100)
    capture.feed([data(2, b"cd", direction=READ, ts_ns=110)])
    capture.connections.tick(200)
    assert capture.of(ConnectionEnded) == []
    capture.connections.tick(300)
    (end,) = capture.of(ConnectionEnded)
    assert isinstance(end, ConnectionEnded)
    assert (end.reason, end.ts_ns, end.read_bytes) == ("closed", 110, 4)
    assert [call for call in capture.tapes[0].calls if call[0] == "receive"] == [
        ("receive", READ, b"ab"),
        ("receive", READ, b"cd"),
    ]


def test_what_it_hands_out_much_later_is_not_lost() -> None:
    capture = Capture()
    capture.feed([seen(port=443), data(0, b"ab", direction=READ), closed(read=2, written=0)])
    for now_ns in (100, 200):
        capture.connections.tick(now_ns)
    capture.feed([data(2, b"cd", direction=READ, ts_ns=500), ended(read=4, written=0, ts_ns=600)])
    assert [(end.ts_ns, end.read_bytes) for end in capture.of(ConnectionEnded) if isinstance(end, ConnectionEnded)] == [
        (80, 2),
        (600, 2),
    ]
    assert capture.connections.lost_bytes == 0


def test_freed_at_once_it_ends_at_once() -> None:
    capture = Capture()
    capture.feed([seen(port=443), data(0, b"ab"), closed(read=0, written=2), ended(read=0, written=2, ts_ns=90)])
    (end,) = capture.of(ConnectionEnded)
    assert isinstance(end, ConnectionEnded)
    assert end.ts_ns == 90
    capture.connections.tick(100)
    capture.connections.tick(200)
    assert len(capture.of(ConnectionEnded)) == 1


def test_what_is_missing_at_the_end_of_a_socket_is_said() -> None:
    capture = Capture()
    capture.feed([seen(port=443), data(0, b"ab"), closed(read=0, written=5)])
    capture.connections.close(100)
    (end,) = capture.of(ConnectionEnded)
    assert isinstance(end, ConnectionEnded)
    assert (end.reason, end.ts_ns, capture.connections.lost_bytes) == ("closed", 80, 3)


def test_a_socket_of_nobody() -> None:
    capture = Capture()
    capture.feed([closed(read=0, written=0)])
    capture.connections.tick(1)
    capture.connections.close(2)
    assert (capture.messages, capture.connections.connections) == ([], 0)


@pytest.mark.parametrize(
    ("port", "source", "idle"),
    [(443, SocketSource.NESTED_CALL, False), (443, SocketSource.CONNECT, True), (0, SocketSource.UNKNOWN, True)],
)
def test_only_where_no_end_can_be_seen_silence_is_one(port: int, source: SocketSource, idle: bool) -> None:
    capture = Capture(idle_ticks=2, life_cycle=lambda _connection: LifeCycle.DEFAULT)
    capture.feed([seen(port=port, source=source), data(0, b"ab")])
    for now_ns in range(5):
        capture.connections.tick(now_ns)
    assert capture.open == (not idle)
