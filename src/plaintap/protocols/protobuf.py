# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers without a schema: what the bytes of a message tell by themselves, in a form that JSON takes.

A message is an object; its keys are field numbers in decimal, in the order in which they first came. A field that
came once is its value, one that came more often a list of its values. What a value is, by wire type:

- varint: a number, from -2^63 to 2^63-1, and beyond 2^53, which not everything that reads JSON keeps, a string of
  its digits. Zigzag (`sint32`, `sint64`) is not undone, `true` is 1.
- 64 bits: `{"fixed64": n, "double": x}`, without `double` where that is no finite number.
- 32 bits: `{"fixed32": n, "float": x}`, likewise.
- length-delimited: a string where the bytes are UTF-8 without control characters (tab and line ends are none); else
  an object where they are a valid message; else `{"bytes": "<base64>"}`. What begins with a line end and is a message
  too is taken for a message: field 1 with a length looks so. Packed fields are not guessed: they are bytes, or what
  they happen to look like.
- group: `{"group": {...}}`.

Keys that are words, as opposed to digits, are thus never fields. With a schema fields have names and types, and
protobuf_schema.py decodes them.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from struct import Struct

DECODED_LIMIT_BYTES = 1 << 20
"""Of one message; a bigger one is not decoded."""
FIELDS_LIMIT = 10_000
"""Of one message, those of nested ones included, and those of guesses that came to nothing."""
DEPTH_LIMIT = 32
"""Messages in messages; what is deeper is shown as bytes."""
EXACT_LIMIT = (1 << 53) - 1
"""The largest integer that a double, and so many a reader of JSON, keeps apart from its neighbours."""
NUMBER_LIMIT = (1 << 29) - 1
"""The largest number a field can have."""

VARINT, I64, LEN, GROUP, END_GROUP, I32 = range(6)
"""Wire types."""

U32 = Struct("<I")
U64 = Struct("<Q")
FLOAT = Struct("<f")
DOUBLE = Struct("<d")

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class ProtobufError(ValueError):
    """The bytes are no message, or none of the type they should be; says why."""


def decode(data: bytes) -> tuple[dict[str, object], str]:
    """The fields, and a note where they are not all of them, else ""; ProtobufError where `data` is no message."""
    steps = Steps()
    fields, _ = _message(data, 0, depth=0, steps=steps, group=0)
    return fields, f"more than {FIELDS_LIMIT} fields, not all decoded" if steps.left <= 0 else ""


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, without sign, and where it ends."""
    value = shift = 0
    try:
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
            if shift >= 70:
                raise ProtobufError("a varint of more than 10 bytes")
    except IndexError:
        raise ProtobufError("ends within a varint") from None


def exact(value: int) -> int | str:
    """A number that is the same wherever JSON is read; a string where it might not be."""
    return value if -EXACT_LIMIT <= value <= EXACT_LIMIT else str(value)


def signed(value: int) -> int:
    """As int64 means it: negative numbers are sent as if they were large ones."""
    return value - (1 << 64) if value >> 63 else value


def read_delimited(data: bytes, at: int, name: object) -> tuple[bytes, int]:
    """The bytes behind the length at `at`, and where they end; `name` is the field's, for an error."""
    length, at = read_varint(data, at)
    end = at + length
    if end > len(data):
        raise ProtobufError(f"field {name} has {length} bytes, {len(data) - at} are left")
    return data[at:end], end


def add(fields: dict[str, object], name: str, value: object) -> None:
    """A field that comes again is a list of its values; no value is a list."""
    if name not in fields:
        fields[name] = value
        return
    before = fields[name]
    if isinstance(before, list):
        before.append(value)
    else:
        fields[name] = [before, value]


def finite_float(raw: bytes) -> float | None:
    """The 32-bit float, in the fewest digits that make it; None where JSON has no such number."""
    (value,) = FLOAT.unpack(raw)
    if not math.isfinite(value):
        return None
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        try:
            if FLOAT.pack(short) == raw:
                return short
        except OverflowError:
            continue  # the largest ones, rounded up
    return float(f"{value:.9g}")


class Steps:
    """How many fields may still be looked at."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = FIELDS_LIMIT + 1


def _message(data: bytes, at: int, *, depth: int, steps: Steps, group: int) -> tuple[dict[str, object], int]:
    """The fields from `at` to the end, or to the end of `group`, and where that is."""
    fields: dict[str, object] = {}
    end = len(data)
    while at < end:
        if steps.left <= 0:
            return fields, end
        steps.left -= 1
        key = data[at]
        at += 1
        if key >= 0x80:
            key, at = read_varint(data, at - 1)
        number = key >> 3
        wire_type = key & 7
        if not 0 < number <= NUMBER_LIMIT:
            raise ProtobufError(f"field number {number}")
        if wire_type == END_GROUP and number == group:
            return fields, at
        value, at = read_value(data, at, number=number, wire_type=wire_type, depth=depth, steps=steps)
        add(fields, str(number), value)
    if group:
        raise ProtobufError(f"ends within group {group}")
    return fields, at


def read_value(data: bytes, at: int, *, number: int, wire_type: int, depth: int, steps: Steps) -> tuple[object, int]:
    if wire_type == VARINT:
        value, at = read_varint(data, at)
        return (value if value <= EXACT_LIMIT else exact(signed(value))), at
    if wire_type == LEN:
        raw, at = read_delimited(data, at, number)
        return _delimited(raw, depth=depth, steps=steps), at
    if wire_type == GROUP and depth < DEPTH_LIMIT:
        fields, at = _message(data, at, depth=depth + 1, steps=steps, group=number)
        return {"group": fields}, at
    return _fixed(data, at, wire_type)


def _fixed(data: bytes, at: int, wire_type: int) -> tuple[dict[str, object], int]:
    size = {I32: 4, I64: 8}.get(wire_type)
    if size is None:
        raise ProtobufError(f"wire type {wire_type}")
    raw = data[at : at + size]
    if len(raw) < size:
        raise ProtobufError(f"ends within a value of {size} bytes")
    value: dict[str, object]
    real: float | None
    if wire_type == I32:
        value, real, name = {"fixed32": U32.unpack(raw)[0]}, finite_float(raw), "float"
    else:
        (real,) = DOUBLE.unpack(raw)
        value, name = {"fixed64": exact(U64.unpack(raw)[0])}, "double"
    if real is not None and math.isfinite(real):
        value[name] = real
    return value, at + size


def _delimited(data: bytes, *, depth: int, steps: Steps) -> object:
    text = _text(data)
    if text is not None and not text.startswith("\n"):
        return text
    if depth < DEPTH_LIMIT and steps.left > 0:
        try:
            fields, _ = _message(data, 0, depth=depth + 1, steps=steps, group=0)
        except ProtobufError:
            pass
        else:
            if steps.left > 0:
                return fields
    return text if text is not None else {"bytes": b64encode(data).decode()}


def _text(data: bytes) -> str | None:
    if _CONTROL.search(data):
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
