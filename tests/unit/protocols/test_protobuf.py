# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers without a schema: what the bytes tell, and that no bytes cost much."""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from contextlib import suppress
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.protocols.protobuf import DECODED_LIMIT_BYTES, DEPTH_LIMIT, FIELDS_LIMIT, ProtobufError, decode


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def delimited(number: int, data: bytes) -> bytes:
    return tag(number, 2) + varint(len(data)) + data


def shown(data: bytes) -> object:
    fields, note = decode(data)
    assert note == ""
    return fields


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"", {}),
        (b"\x08\x96\x01", {"1": 150}),
        (tag(536870911, 0) + varint(0), {"536870911": 0}),
        (tag(2, 0) + varint(-5), {"2": -5}),
        (tag(2, 0) + varint((1 << 63) - 1), {"2": str((1 << 63) - 1)}),
        (tag(2, 0) + varint(-1 << 63), {"2": str(-1 << 63)}),
        (b"\x08\x80\x00", {"1": 0}),
        (tag(2, 0) + varint((1 << 53) - 1), {"2": (1 << 53) - 1}),
        (tag(2, 0) + varint(1 << 53), {"2": str(1 << 53)}),
        (tag(2, 0) + varint(1 - (1 << 53)), {"2": 1 - (1 << 53)}),
        (tag(1, 5) + pack("<f", 0.1), {"1": {"fixed32": 0x3DCCCCCD, "float": 0.1}}),
        (tag(1, 5) + pack("<f", 3.4028234663852886e38), {"1": {"fixed32": 0x7F7FFFFF, "float": 3.4028235e38}}),
        (tag(1, 5) + pack("<I", 0x7FC00000), {"1": {"fixed32": 0x7FC00000}}),
        (tag(1, 1) + pack("<d", -2.5), {"1": {"fixed64": str(0xC004000000000000), "double": -2.5}}),
        (tag(1, 1) + pack("<Q", 0xFFF0000000000000), {"1": {"fixed64": str(0xFFF0000000000000)}}),
        (delimited(3, b"caf\xc3\xa9\t\r\n"), {"3": "café\t\r\n"}),
        (delimited(3, b""), {"3": ""}),
        (delimited(3, b"\xff\xfe"), {"3": {"bytes": "//4="}}),
        (delimited(3, b"a\0b"), {"3": {"bytes": "YQBi"}}),
        (delimited(3, b"\x08\x01"), {"3": {"1": 1}}),
        (delimited(3, delimited(1, b"x" * 40)), {"3": {"1": "x" * 40}}),
        (delimited(3, b"\nno message"), {"3": "\nno message"}),
        (tag(4, 3) + b"\x08\x01" + tag(4, 4) + b"\x08\x02", {"4": {"group": {"1": 1}}, "1": 2}),
        (b"\x10\x01\x08\x01\x10\x02\x10\x03", {"2": [1, 2, 3], "1": 1}),
        (b"\x08\x01" + delimited(1, b"x"), {"1": [1, "x"]}),
    ],
)
def test_values_by_wire_type(data: bytes, fields: object) -> None:
    assert shown(data) == fields
    json.dumps(fields, allow_nan=False)


def test_fields_are_in_the_order_in_which_they_came() -> None:
    assert list(decode(b"\x18\x01\x08\x01\x10\x02\x18\x03")[0]) == ["3", "1", "2"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00", "field number 0"),
        (tag(1 << 29, 0) + b"\0", "field number 536870912"),
        (b"\x08", "ends within a varint"),
        (b"\x08" + b"\xff" * 10, "a varint of more than 10 bytes"),
        (b"\x0a\x05abc", "field 1 has 5 bytes, 3 are left"),
        (b"\x0d\0\0\0", "ends within a value of 4 bytes"),
        (b"\x09\0\0\0\0\0\0\0", "ends within a value of 8 bytes"),
        (b"\x0e", "wire type 6"),
        (b"\x0f", "wire type 7"),
        (b"\x0c", "wire type 4"),
        (b"\x0b\x08\x01", "ends within group 1"),
        (b"\x0b\x14", "wire type 4"),
    ],
)
def test_what_is_no_message(data: bytes, why: str) -> None:
    with pytest.raises(ProtobufError, match=f"^{why}$"):
        decode(data)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    try:
        fields, note = decode(data)
    except ProtobufError:
        return
    assert note == ""
    json.dumps(fields, allow_nan=False)


SCALARS = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    # Of these it is certain what they look like: text is text, and 0xff begins no message.
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    st.binary(max_size=20).map(lambda data: {"bytes": b64encode(b"\xff\xff\xff\xff\xff\xff" + data).decode()}),
)
MESSAGES = st.recursive(
    st.dictionaries(st.integers(1, 1000).map(str), SCALARS),
    lambda inner: st.dictionaries(
        st.integers(1, 1000).map(str), st.one_of(SCALARS, st.lists(SCALARS, min_size=2), inner), min_size=1
    ),
    max_leaves=8,
)


def encoded(fields: dict[str, Any]) -> bytes:
    out = b""
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            number = int(name)
            if isinstance(value, int):
                out += tag(number, 0) + varint(value)
            elif isinstance(value, str):
                out += delimited(number, value.encode())
            elif "bytes" in value:
                out += delimited(number, b64decode(value["bytes"]))
            else:
                out += delimited(number, encoded(value))
    return out


def exact(value: Any) -> Any:
    if isinstance(value, list):
        return [exact(each) for each in value]
    return str(value) if isinstance(value, int) and abs(value) >= 1 << 53 else value


def compare(fields: dict[str, Any], back: dict[str, Any]) -> None:
    assert list(fields) == list(back)
    for name, value in fields.items():
        other = back[name]
        if isinstance(value, dict) and isinstance(other, str):
            assert encoded(value) == other.encode()
        elif isinstance(value, dict) and "bytes" not in value:
            compare(value, other)
        else:
            assert exact(value) == other


@given(MESSAGES)
def test_what_was_encoded_comes_back(fields: dict[str, Any]) -> None:
    """But for messages whose bytes are text throughout, which come back as that."""
    back, note = decode(encoded(fields))
    assert note == ""
    compare(fields, back)


def test_depth_is_bounded() -> None:
    data = b"\x08\x01"
    for _ in range(1000):
        data = delimited(1, data)
    value = shown(data)
    depth = 0
    while isinstance(value, dict) and "1" in value:
        value = value["1"]
        depth += 1
    assert depth == DEPTH_LIMIT + 1
    assert isinstance(value, dict)
    assert list(value) == ["bytes"]
    with pytest.raises(ProtobufError, match="wire type 3"):
        decode(b"\x0b" * 1000)


def test_fields_are_bounded() -> None:
    assert decode(b"\x08\x01" * FIELDS_LIMIT) == ({"1": [1] * FIELDS_LIMIT}, "")
    fields, note = decode(b"\x08\x01" * (FIELDS_LIMIT + 1) + b"\x10\x01")
    assert fields == {"1": [1] * (FIELDS_LIMIT + 1)}
    assert note == f"more than {FIELDS_LIMIT} fields, not all decoded"


def hostile() -> list[bytes]:
    """Guesses that fail late, again and again, each in the one before."""
    data = b"\x08\x01" * 2000 + b"\0"
    for _ in range(2 * DEPTH_LIMIT):
        data = delimited(1, data)
    size = DECODED_LIMIT_BYTES
    return [
        (data * (size // len(data) + 1))[:size],
        delimited(1, b"\n" * size),
        b"\x0a\x00" * (size // 2),
        delimited(1, b"\x08\x01" * (size // 2 - 4) + b"\0") * 2,
        b"\x0b" * size,
        delimited(1, b"\x0a\x01\x00" * (size // 3)),
    ]


@pytest.mark.parametrize("number", range(len(hostile())))
def test_no_bytes_cost_much(number: int) -> None:
    data = hostile()[number]
    start = time.process_time()
    with suppress(ProtobufError):
        decode(data)
    assert time.process_time() - start < 1
