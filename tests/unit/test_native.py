# SPDX-License-Identifier: Apache-2.0
"""The native decoder: records to tuples, and what it makes of bytes that are none; how the rest says what failed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_bytes import Handshake, Speaker, ipv4_socket

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


@pytest.mark.parametrize(
    "record",
    [
        Handshake().secrets(block=b"b" * 900),
        Handshake().logged("EXPORTER_SECRET", b"s" * 32),
        Speaker().unix_socket(b"/run/api.sock"),
    ],
    ids=["secrets", "a logged secret", "a path"],
)
def test_secrets_and_paths_are_facts(record: bytes) -> None:
    kind = record[1]
    records, taken = decode(record + record)
    assert taken == 2 * len(record)
    assert records == [(0, kind, 0, 1_000_000_000, record, 77)] * 2
    assert events.decode_fact(kind, records[0][4])


@given(st.integers(0, 1500), st.integers(0, 255))
def test_no_damage_to_secrets_crashes_it(position: int, value: int) -> None:
    record = Handshake().secrets(block=b"b" * 900)
    bad = damaged(record, position % len(record), value)
    try:
        records, taken = decode(bad + record)
    except ValueError:
        return
    assert taken <= 2 * len(record)
    assert all(len(item) == 6 for item in records)


def installed(variant: str) -> _native.Object:
    image = resources.files("plaintap").joinpath(f"bpf/tls.{variant}.bpf.o").read_bytes()
    return _native.Object(image, "tls")


@pytest.mark.parametrize("variant", ["core", "noncore", "core_less52", "noncore_less52"])
def test_programs_and_maps_are_known_by_name(variant: str) -> None:
    programs = installed(variant)
    assert programs.program_fd("pt_call_enter") < 0  # not loaded
    with pytest.raises(KeyError, match="no program pt_nothing"):
        programs.program_fd("pt_nothing")
    with pytest.raises(KeyError, match="no map pt_nothing"):
        programs.map_fd("pt_nothing")
    programs.close()
    with pytest.raises(KeyError, match="no program pt_call_enter"):
        programs.program_fd("pt_call_enter")


def test_what_no_kernel_has_is_not_there() -> None:
    assert _native.has_program_type(9999) is False
    assert _native.has_program_type(-1) is False


def test_an_empty_program_is_loaded_or_refused_for_lack_of_privilege() -> None:
    refusal = None
    try:
        os.close(_native.empty_program(0))
    except _native.NativeError as error:
        refusal = (error.errno, error.operation)
    takes_kprobes = _native.has_program_type(2)  # BPF_PROG_TYPE_KPROBE, of which it is one
    assert refusal == (None if takes_kprobes else (errno.EPERM, "load a program"))


LINKS: list[tuple[Callable[[], object], str]] = [
    (lambda: _native.link_tracing(-1), "link tracing program"),
    (lambda: _native.link_raw_tracepoint(-1, "sys_exit"), "link raw tracepoint"),
    (lambda: _native.link_kprobe(-1, "pt_no_such_function", returns=True), "open probe event"),
    (lambda: _native.link_uprobe_perf(-1, "/nonexistent", 0, 0), "open probe event"),
    (lambda: _native.link_uprobe_multi(-1, "/nonexistent", [0], [0]), "link uprobe_multi"),
]


@pytest.mark.parametrize(("link", "operation"), LINKS, ids=[operation for _, operation in LINKS])
def test_a_link_that_cannot_be_says_which(link: Callable[[], object], operation: str) -> None:
    with pytest.raises(_native.NativeError) as caught:
        link()
    assert caught.value.operation == operation
    assert caught.value.errno


def test_as_many_cookies_as_offsets() -> None:
    with pytest.raises(ValueError, match="as many cookies as offsets"):
        _native.link_uprobe_multi(-1, "/proc/self/exe", [1, 2], [1])
