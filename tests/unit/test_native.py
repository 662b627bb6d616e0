# SPDX-License-Identifier: Apache-2.0
"""The native decoder: records to tuples, and what it makes of bytes that are none."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_bytes import Speaker, ipv4_socket

from plaintap import _native, events
from plaintap.events import READ, WRITE, Kind, Meta, encode_meta


def decode(data: bytes) -> tuple[list[events.Record], int]:
    return _native.Decoder().decode(data)


def test_a_record_is_its_identity_once_and_its_bytes() -> None:
    speaker = Speaker()
    first, second = speaker.data(WRITE, b"hello"), speaker.data(READ, b"you")
    records, taken = decode(first + second)
    assert taken == len(first + second)
    identity, said, heard = records
    assert identity == (0, Kind.DATA, 0, 1_001_000_000, first[: events.DATA_SIZE], 77)
    assert said == (5, WRITE, 0, 1_001_000_000, b"hello", 77)
    assert heard == (5, READ, 0, 1_002_000_000, b"you", 77)


def test_an_identity_that_changed_is_told_again() -> None:
    speaker = Speaker()
    before = speaker.data(WRITE, b"a")
    speaker.socket = ipv4_socket(local_port=1, remote_port=443)
    records, _ = decode(before + speaker.data(WRITE, b"b") + speaker.data(WRITE, b"c"))
    assert [record[0] for record in records] == [0, 5, 0, 5, 5]


def test_facts_come_as_they_are() -> None:
    end, meta = Speaker().end(), encode_meta(Meta(name="a"), 7)
    records, _ = decode(end + meta)
    assert records == [(0, Kind.SESSION_END, 0, 1_000_000_000, end, 77), (0, Kind.META, 0, 7, meta, 0)]


@pytest.mark.parametrize("cut", [1, 8, 24, 100, 140])
def test_a_record_cut_short_waits_for_its_rest(cut: int) -> None:
    speaker = Speaker()
    whole, half = speaker.data(WRITE, b"hello"), speaker.data(WRITE, b"again")[:cut]
    records, taken = decode(whole + half)
    assert taken == len(whole)
    assert len(records) == 2


def damaged(record: bytes, position: int, value: int) -> bytes:
    return record[:position] + bytes([value]) + record[position + 1 :]


@pytest.mark.parametrize(
    ("position", "value"),
    [(0, 9), (4, 3), (48, 6), (58, 2)],
    ids=["version", "size below a header", "length against size", "direction"],
)
def test_what_is_no_record_is_refused(position: int, value: int) -> None:
    good = Speaker().data(WRITE, b"hello")
    bad = damaged(good, position, value)
    records, taken = decode(good + bad)
    assert (len(records), taken) == (2, len(good))
    with pytest.raises(ValueError, match="no record"):
        decode(bad)


@given(st.binary(max_size=600))
def test_no_bytes_crash_it(data: bytes) -> None:
    try:
        _, taken = decode(data)
    except ValueError:
        return
    assert taken <= len(data)


@given(st.integers(0, 140), st.integers(0, 255))
def test_no_damage_crashes_it(position: int, value: int) -> None:
    record = damaged(Speaker().data(WRITE, b"hello"), position, value)
    try:
        records, taken = decode(record + record)
    except ValueError:
        return
    assert taken <= 2 * len(record)
    assert all(len(item) == 6 for item in records)


def test_a_failed_call_says_what_it_was() -> None:
    with pytest.raises(_native.NativeError) as caught:
        _native.map_lookup(-1, b"\0\0\0\0", 8)
    assert caught.value.operation == "read map information"
    assert caught.value.errno in {errno.EBADF, errno.EBADFD}


def test_an_object_that_is_none_is_refused_with_libbpfs_words() -> None:
    with pytest.raises(_native.NativeError) as caught:
        _native.Object(b"no ELF at all", "nothing")
    assert caught.value.operation == "open object"
    assert "nothing" in caught.value.log
