# SPDX-License-Identifier: Apache-2.0
"""Sessions and processes counted from facts alone, as a capture that shows nothing does."""

from __future__ import annotations

import pytest
from record_bytes import Handshake, Speaker, ipv4_socket

from plaintap import _native, events
from plaintap.events import READ, WRITE, Kind, Meta, ProcessHeld, Record, encode_meta
from plaintap.session.census import Census

SOCKET = ipv4_socket(local_port=40000, remote_port=443)


def taken(*records: bytes) -> Census:
    census = Census()
    decoded, _ = _native.Decoder().decode(b"".join(records))
    for record in decoded:
        census.take(record)
    return census


def counts(census: Census) -> tuple[int, int, int, int]:
    return census.processes, census.connections, census.unattributed, census.undecodable


def process_exit(pid: int) -> bytes:
    return events.HEADER.pack(events.WIRE_VERSION, Kind.PROCESS_EXIT, 0, events.HEADER.size, 9, pid, pid)


def test_nothing() -> None:
    assert counts(taken()) == (0, 0, 0, 0)


def test_a_session_is_one_connection_of_one_process() -> None:
    curl = Speaker(socket=SOCKET)
    census = taken(curl.data(WRITE, b"a"), curl.data(READ, b"b"), curl.data(WRITE, b"c"), curl.end())
    assert counts(census) == (1, 1, 0, 0)


def test_sessions_of_one_process_and_of_several() -> None:
    speakers = [Speaker(session=1, pid=7), Speaker(session=2, pid=7), Speaker(session=3, pid=8)]
    assert counts(taken(*(each.data(WRITE, b"a") for each in speakers))) == (2, 3, 3, 0)


def test_secrets_alone_tell_of_a_session_too() -> None:
    """As where only keys are asked for."""
    known, unknown = Handshake(socket=SOCKET), Handshake(session=6, pid=78)
    census = taken(known.secrets(), known.logged("EXPORTER_SECRET", b"s" * 32), unknown.logged("X", b"s" * 32))
    assert counts(census) == (2, 2, 1, 0)
    curl = Speaker(socket=SOCKET)
    assert counts(taken(known.secrets(), curl.data(WRITE, b"a"), curl.end())) == (1, 1, 0, 0)


def test_a_socket_stays_known() -> None:
    known, unknown = Handshake(socket=SOCKET), Handshake()
    assert counts(taken(known.secrets(), unknown.secrets(), known.secrets())) == (1, 1, 0, 0)


def test_a_socket_that_becomes_known_makes_it_attributed() -> None:
    curl = Speaker()
    first = curl.data(WRITE, b"a")
    curl.socket = SOCKET
    assert counts(taken(first, curl.data(WRITE, b"b"), curl.data(WRITE, b"c"))) == (1, 1, 0, 0)


def test_a_name_that_changes_changes_no_count() -> None:
    shell = Speaker(comm=b"sh", socket=SOCKET)
    first = shell.data(WRITE, b"a")
    shell.comm = b"curl"
    assert counts(taken(first, shell.data(WRITE, b"b"))) == (1, 1, 0, 0)


def test_a_pid_that_is_used_again_is_another_process() -> None:
    first, second = Speaker(session=1), Speaker(session=2)
    assert counts(taken(first.data(WRITE, b"a"), process_exit(77), second.data(WRITE, b"b"))) == (2, 2, 2, 0)


def test_of_what_ended_nothing_is_remembered() -> None:
    census = Census()
    for number in range(100):
        speaker = Speaker(session=number + 1, pid=number + 1)
        records = speaker.data(WRITE, b"a"), speaker.end(), process_exit(number + 1)
        for record in _native.Decoder().decode(b"".join(records))[0]:
            census.take(record)
    assert counts(census) == (100, 100, 100, 0)
    assert not census._open
    assert not census._pids


def test_facts_are_handed_on_and_plaintext_is_not() -> None:
    census = Census()
    held = events.HELD.pack(events.WIRE_VERSION, Kind.HELD, 0, events.HELD.size, 1, 77, 77, 5, 0, 8 << 20 | 1, 99)
    assert census.take((0, Kind.HELD, 0, 1, held, 77)) == ProcessHeld(77, (8, 1), 5, 99)
    meta = encode_meta(Meta(library=1, name="libssl"), 1)
    assert census.take((0, Kind.META, 0, 1, meta, 0)) == Meta(library=1, name="libssl")
    assert census.take((5, WRITE, 0, 1, b"hello", 77)) is None
    assert counts(census) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "record",
    [
        (0, 77, 0, 1, bytes(64), 0),
        (0, Kind.DATA, 0, 1, bytes(8), 0),
        (0, Kind.SESSION_END, 0, 1, b"", 0),
        (0, Kind.META, 0, 1, bytes(32) + b'{"clock_offset_ns": "yesterday"}', 0),
        (0, Kind.META, 0, 1, bytes(32) + b"no JSON", 0),
        (0, Kind.META, 0, 1, bytes(32) + b"\xff\xfe", 0),
    ],
)
def test_what_is_no_fact_is_counted(record: Record) -> None:
    census = Census()
    assert census.take(record) is None
    assert counts(census) == (0, 0, 0, 1)
