# SPDX-License-Identifier: Apache-2.0
"""Binary bodies that mean something to read: MessagePack as JSON, the fields of a protobuf by number."""

from __future__ import annotations

import msgspec

MSGPACK_LIMIT_BYTES = 1 << 20
"""A longer one is only named: a byte of it may become an object."""
FIELDS_LIMIT = 64
"""Fields of a protobuf that are named."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10


def _unknown(value: object) -> str:
    """An extension: its type and size."""
    if isinstance(value, msgspec.msgpack.Ext):
        return f"extension {value.code}, {len(bytes(value.data))} bytes"
    return str(value)


def msgpack_as_json(data: bytes) -> str | None:
    """On one line, binary strings in base64; None for what is no MessagePack, or too long or too deep."""
    if len(data) > MSGPACK_LIMIT_BYTES:
        return None
    try:
        return msgspec.json.encode(msgspec.msgpack.decode(data), enc_hook=_unknown).decode()
    except (msgspec.MsgspecError, RecursionError, TypeError, ValueError, OverflowError):
        return None


def protobuf_fields(data: bytes) -> str | None:
    """`fields 1, 2 (3 times), 7` of the outermost message; None for what is no protobuf."""
    counts: dict[int, int] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        length = 0
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            return None
        at += length
        if at < 0 or at > len(data) or not 0 < number < 1 << 29:
            return None
        counts[number] = counts.get(number, 0) + 1
        if len(counts) > FIELDS_LIMIT:
            return None
    if at < 0 or not counts:
        return None
    words = ", ".join(f"{number} ({count} times)" if count > 1 else str(number) for number, count in counts.items())
    return f"field{'s' if len(counts) > 1 else ''} {words}"


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Its value and where it ends; an end far beyond `data` for none."""
    value = 0
    for at in range(start, min(start + _VARINT_BYTES, len(data))):
        value |= (data[at] & 0x7F) << 7 * (at - start)
        if data[at] < 0x80:
            return value, at + 1
    return 0, len(data) + 1
