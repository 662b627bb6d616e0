# SPDX-License-Identifier: Apache-2.0
"""MessagePack and protobuf bodies: what they are worth showing, and junk."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.outputs.packed import FIELDS_LIMIT, MSGPACK_LIMIT_BYTES, msgpack_as_json, protobuf_fields

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_msgpack_is_the_same_in_json(value: object) -> None:
    shown = msgpack_as_json(msgspec.msgpack.encode(value))
    assert shown is not None
    assert json.loads(shown) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xdd\xff\xff\xff\xff\x01",
        b"\x91" * 100_000 + b"\xc0",
        b"\x81\x80\x01",
        b"\xa0\xa0",
        b"\xc4\x00" * MSGPACK_LIMIT_BYTES,
    ],
    ids=["empty", "claims much", "deep", "a map as a key", "two", "too long"],
)
def test_what_is_no_msgpack_to_show(data: bytes) -> None:
    assert msgpack_as_json(data) is None


def test_msgpack_extension_is_named() -> None:
    assert msgpack_as_json(b"\xd4\x05x") == '"extension 5, 1 bytes"'


def test_protobuf_fields_are_counted() -> None:
    assert protobuf_fields(b"\x0d1234\x11" + b"12345678") == "fields 1, 2"
    assert protobuf_fields(b"\x08\x01") == "field 1"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x01",
        b"\x08",
        b"\x0b",
        b"\x12\x05abc",
        b"\x08" + b"\xff" * 11,
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ],
)
def test_what_is_no_protobuf(data: bytes) -> None:
    assert protobuf_fields(data) is None


def test_protobuf_with_too_many_fields_is_only_named() -> None:
    data = b"".join(
        bytes([(16 + number) << 3 & 0x7F | 0x80, (16 + number) >> 4, 0]) for number in range(FIELDS_LIMIT + 1)
    )
    assert protobuf_fields(data[: 3 * FIELDS_LIMIT]) is not None
    assert protobuf_fields(data) is None


@given(st.binary())
def test_junk_never_raises(data: bytes) -> None:
    msgpack_as_json(data)
    protobuf_fields(data)
