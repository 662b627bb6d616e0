# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers with a schema: the fields of a message by name, in a form that JSON takes.

- Names are those of the .proto file. A field that was not sent is left out; one that is not in the schema has its
  number in decimal for a key and the value it has without a schema (protobuf.py).
- Integers are numbers, 64-bit ones strings, as in protobuf's own JSON: not everything that reads JSON keeps all of
  their digits. `bytes` are base64 in a string; `float` and `double` are numbers or the
  strings `NaN`, `Infinity`, `-Infinity`; an enum is the name of its value, or the number where it has none.
- `repeated` is a list, packed or not; a map an object, its keys as text. Messages and groups are objects.

Where the types come from is protobuf_schema.py's.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable
from struct import Struct

from plaintap.protocols import protobuf
from plaintap.protocols.protobuf import DOUBLE, FIELDS_LIMIT, GROUP, I32, I64, LEN, U32, U64, VARINT, ProtobufError

DEPTH_LIMIT = 100
"""Messages in messages, as protobuf's own libraries have it."""

_I32 = Struct("<i")
_I64 = Struct("<q")


def _int32(value: int) -> int:
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >> 31 else value


def _int64(value: int) -> str:
    return str(protobuf.signed(value))


def _zigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)


def _float(raw: bytes) -> object:
    short = protobuf.finite_float(raw)
    return short if short is not None else _not_finite(protobuf.FLOAT.unpack(raw)[0])


def _double(raw: bytes) -> object:
    (value,) = DOUBLE.unpack(raw)
    return value if math.isfinite(value) else _not_finite(value)


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


VARINTS: dict[str, Callable[[int], object]] = {
    "int32": _int32,
    "int64": _int64,
    "uint32": lambda value: value & 0xFFFF_FFFF,
    "uint64": str,
    "sint32": lambda value: _zigzag(value & 0xFFFF_FFFF),
    "sint64": lambda value: str(_zigzag(value)),
    "bool": bool,
}
FIXED: dict[str, tuple[int, int, Callable[[bytes], object]]] = {
    "fixed32": (I32, 4, lambda raw: U32.unpack(raw)[0]),
    "sfixed32": (I32, 4, lambda raw: _I32.unpack(raw)[0]),
    "float": (I32, 4, _float),
    "fixed64": (I64, 8, lambda raw: str(U64.unpack(raw)[0])),
    "sfixed64": (I64, 8, lambda raw: str(_I64.unpack(raw)[0])),
    "double": (I64, 8, _double),
}
DELIMITED: dict[str, Callable[[bytes], object]] = {
    "string": lambda raw: raw.decode("utf-8", "replace"),
    "bytes": lambda raw: b64encode(raw).decode(),
}
SCALARS = frozenset((*VARINTS, *FIXED, *DELIMITED))
"""Names of types that are no messages and no enums."""


class FieldType:
    """A field of a message; exactly one of `varint`, `fixed`, `delimited` and `message` says how its value is made."""

    __slots__ = ("delimited", "fixed", "is_map", "message", "name", "repeated", "size_bytes", "varint", "wire_type")

    def __init__(self, name: str, *, repeated: bool = False) -> None:
        self.name = name
        self.repeated = repeated
        self.is_map = False
        self.wire_type = LEN
        self.size_bytes = 0
        self.varint: Callable[[int], object] | None = None
        self.fixed: Callable[[bytes], object] | None = None
        self.delimited: Callable[[bytes], object] | None = None
        self.message: MessageType | None = None

    def be_scalar(self, kind: str) -> None:
        """`kind` is of `SCALARS`."""
        if kind in VARINTS:
            self.varint = VARINTS[kind]
            self.wire_type = VARINT
        elif kind in FIXED:
            self.wire_type, self.size_bytes, self.fixed = FIXED[kind]
        else:
            self.delimited = DELIMITED[kind]

    def be_enum(self, values: dict[int, str]) -> None:
        """Names of values by number."""

        def value_of(value: int) -> object:
            number = _int32(value)
            return values.get(number, number)

        self.varint = value_of
        self.wire_type = VARINT

    def be_message(self, message: MessageType, *, is_map: bool = False) -> None:
        """A map is a repeated message with the fields 1, the key, and 2, the value."""
        self.message = message
        self.is_map = is_map


class MessageType:
    """A message; `fields` are by number."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: dict[int, FieldType] = {}


def decode(data: bytes, message: MessageType) -> dict[str, object]:
    """The fields by name; ProtobufError where `data` is no message of this type, or too much of one."""
    return _Decoding().message(data, message)


class _Decoding:
    """Of one message; counts its fields, those of nested ones included."""

    __slots__ = ("_depth", "_left", "_unknown_steps")

    def __init__(self) -> None:
        self._depth = 0
        self._left = FIELDS_LIMIT
        self._unknown_steps = protobuf.Steps()

    def message(self, data: bytes, message: MessageType) -> dict[str, object]:
        fields: dict[str, object] = {}
        self._read(data, 0, message, fields, group=0)
        return fields

    def _read(self, data: bytes, at: int, message: MessageType, fields: dict[str, object], *, group: int) -> int:
        """Adds the fields up to the end, or to the end of `group`; returns where that is."""
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise ProtobufError(f"more than {DEPTH_LIMIT} messages in one another")
        end = len(data)
        while at < end:
            self._count()
            key, at = protobuf.read_varint(data, at)
            number, wire_type = key >> 3, key & 7
            if not 0 < number <= protobuf.NUMBER_LIMIT:
                raise ProtobufError(f"field number {number}")
            if wire_type == protobuf.END_GROUP and number == group:
                self._depth -= 1
                return at
            field = message.fields.get(number)
            if field is None:
                value, at = protobuf.read_value(
                    data, at, number=number, wire_type=wire_type, depth=0, steps=self._unknown_steps
                )
                protobuf.add(fields, str(number), value)
            elif field.message is not None:
                at = self._nested(data, at, field, fields, number=number, wire_type=wire_type)
            elif wire_type == field.wire_type:
                value, at = _scalar(data, at, field)
                _put(fields, field, value)
            elif wire_type == LEN and field.repeated:
                raw, at = protobuf.read_delimited(data, at, number)
                self._packed(raw, field, fields)
            else:
                raise _misfit(field, wire_type)
        if group:
            raise ProtobufError(f"ends within group {group}")
        self._depth -= 1
        return at

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0 or self._unknown_steps.left <= 0:
            raise ProtobufError(f"more than {FIELDS_LIMIT} fields")

    def _nested(
        self, data: bytes, at: int, field: FieldType, fields: dict[str, object], *, number: int, wire_type: int
    ) -> int:
        before = fields.get(field.name)
        # One that is not repeated and comes again is merged.
        inner = before if isinstance(before, dict) and not field.is_map else {}
        assert field.message is not None
        if wire_type == LEN:
            raw, at = protobuf.read_delimited(data, at, number)
            self._read(raw, 0, field.message, inner, group=0)
        elif wire_type == GROUP:
            at = self._read(data, at, field.message, inner, group=number)
        else:
            raise _misfit(field, wire_type)
        if field.is_map:
            entries = fields.setdefault(field.name, {})
            assert isinstance(entries, dict)
            key, value = field.message.fields[1], field.message.fields[2]
            entries[_key_text(inner.get(key.name), key)] = inner.get(value.name, _default_of(value))
        else:
            _put(fields, field, inner)
        return at

    def _packed(self, raw: bytes, field: FieldType, fields: dict[str, object]) -> None:
        values = fields.setdefault(field.name, [])
        assert isinstance(values, list)
        if field.delimited is not None:
            raise _misfit(field, LEN)
        at = 0
        while at < len(raw):
            self._count()
            value, at = _scalar(raw, at, field)
            values.append(value)


def _scalar(data: bytes, at: int, field: FieldType) -> tuple[object, int]:
    if field.varint is not None:
        number, at = protobuf.read_varint(data, at)
        return field.varint(number), at
    if field.fixed is not None:
        raw = data[at : at + field.size_bytes]
        if len(raw) < field.size_bytes:
            raise ProtobufError(f"ends within {field.name}")
        return field.fixed(raw), at + field.size_bytes
    raw, at = protobuf.read_delimited(data, at, field.name)
    assert field.delimited is not None
    return field.delimited(raw), at


def _put(fields: dict[str, object], field: FieldType, value: object) -> None:
    if field.repeated:
        values = fields.setdefault(field.name, [])
        assert isinstance(values, list)
        values.append(value)
    else:
        fields[field.name] = value


def _key_text(key: object, field: FieldType) -> str:
    if key is None:
        key = _default_of(field)
    return str(key).lower() if isinstance(key, bool) else str(key)


def _default_of(field: FieldType) -> object:
    """What a map's entry that leaves out its key or value means."""
    if field.varint is not None:
        return field.varint(0)
    if field.fixed is not None:
        return field.fixed(bytes(field.size_bytes))
    return {} if field.message is not None else ""


def _misfit(field: FieldType, wire_type: int) -> ProtobufError:
    return ProtobufError(f"{field.name} has wire type {wire_type}, expected {field.wire_type}")
