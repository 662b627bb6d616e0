# SPDX-License-Identifier: Apache-2.0
"""WebSocket frames as bytes: their heads, the mask, and whether a record looks like some; no state.

RFC 6455, 5.2: FIN, three reserved bits and the opcode; the mask bit and 7, 16 or 64 bits of length; the mask.
"""

from __future__ import annotations

import codecs
import zlib
from typing import NamedTuple

from plaintap.protocols.base import Fit

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, COMPRESSED, RESERVED, OPCODE, CONTROL = 0x80, 0x40, 0x70, 0x0F, 0x08
MASKED = 0x80
HEAD_LIMIT_BYTES = 14
CONTROL_LIMIT_BYTES = 125
LENGTH_LIMIT_BYTES = (1 << 63) - 1

PLAIN_STARTS = frozenset(
    [opcode | fin for opcode in (CONTINUATION, TEXT, BINARY) for fin in (0, FIN)]
    + [opcode | FIN for opcode in (CLOSE, PING, PONG)]
)
"""What a frame may begin with where no extension was agreed on."""
DEFLATE_STARTS = PLAIN_STARTS | {opcode | fin | COMPRESSED for opcode in (TEXT, BINARY) for fin in (0, FIN)}
"""And where permessage-deflate was: RFC 7692, 6: the bit is set on the first frame of a message only."""
EXTENDED_STARTS = frozenset(start | bits for start in PLAIN_STARTS for bits in range(0, RESERVED + 1, 0x10))
"""And where an extension was that nobody here knows."""


class Head(NamedTuple):
    """Of a frame; its payload begins at `body`."""

    length: int
    key: bytes
    """Of the mask, empty without one."""
    body: int
    minimal: bool
    """RFC 6455, 5.2: the length takes no more bytes than it must."""


def read_head(data: bytes, at: int) -> Head | None:
    """None when it goes on behind `data`."""
    end = len(data)
    if end - at < 2:
        return None
    second = data[at + 1]
    length, body, minimal = second & 0x7F, at + 2, True
    if length == 126:
        body = at + 4
        length = int.from_bytes(data[at + 2 : body], "big")
        minimal = length > 125
    elif length == 127:
        body = at + 10
        length = int.from_bytes(data[at + 2 : body], "big")
        minimal = length > 0xFFFF
    if not second & MASKED:
        return Head(length, b"", body, minimal) if body <= end else None
    body += 4
    return Head(length, data[body - 4 : body], body, minimal) if body <= end else None


_TABLES = tuple(bytes(byte ^ key for byte in range(256)) for key in range(256))
_ONE_NUMBER_BYTES = 2048


def unmask(data: bytes, key: bytes) -> bytes:
    """`data` begins at the first byte of `key`; the same masks."""
    size = len(data)
    # Measured: one number for the whole is faster up to here, four tables beyond it.
    if size <= _ONE_NUMBER_BYTES:
        keys = (key * (size // 4 + 1))[:size]
        return (int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")
    out = bytearray(data)
    for place in range(4):
        out[place::4] = data[place::4].translate(_TABLES[key[place]])
    return bytes(out)


def rotated(key: bytes, size: int) -> bytes:
    """The mask behind `size` bytes of payload."""
    place = size % 4
    return key[place:] + key[:place]


def is_utf8(data: bytes, *, whole: bool = True) -> bool:
    """Or the beginning of it, when it is not `whole`."""
    if data.isascii():
        return True
    try:
        codecs.utf_8_decode(data, "strict", whole)
    except UnicodeDecodeError:
        return False
    return True


def is_close_code(code: int) -> bool:
    """RFC 6455, 7.4: one that may be sent."""
    return 1000 <= code < 5000 and code not in (1004, 1005, 1006, 1015)


# Recognition without the handshake.

_LOOKED_AT_BYTES = 256
_CHAIN_LIMIT = 64
_LONG_BYTES = 1024
_LATE_STARTS = bytes(start in DEFLATE_STARTS for start in range(256))
_UNKNOWN_WINDOW = bytes(1 << zlib.MAX_WBITS)


def looks_like_frames(data: bytes, *, masked: bool | None = None) -> Fit:
    """Whether a record begins with a frame and goes on with frames to its end; `masked` is None for either.

    Strict: two bytes say little, so lengths must lead from frame to frame and exactly to the end of the record, or be
    too long for chance; and text must be text.
    """
    if len(data) < 2 or not _LATE_STARTS[data[0]] or (masked is not None and bool(data[1] & MASKED) != masked):
        return Fit.NO
    frames, at, head = _follow(data)
    if frames > 1 or head is None or not frames:
        return Fit.YES if frames else Fit.NO
    if head.body == len(data):
        return Fit.MAYBE  # empty, or written apart from its payload
    return Fit.YES if at <= len(data) or _is_long(data, head) else Fit.NO


def _follow(data: bytes) -> tuple[int, int, Head | None]:
    """How many frames lead to the end of `data`, where the last one ends, and its head; no frames when it is not so."""
    frames, at, end, head = 0, 0, len(data), None
    while at < end and frames < _CHAIN_LIMIT:
        head = read_head(data, at)
        if not _may_start(data, at, head, alone=not frames):
            return 0, at, None
        if head is None:
            break
        if not _may_be_payload(data, at, head):
            return 0, at, None
        frames += 1
        at = head.body + head.length
    return frames, at, head


def _may_start(data: bytes, at: int, head: Head | None, *, alone: bool) -> bool:
    first = data[at]
    if not _LATE_STARTS[first] or (at + 1 < len(data) and (data[at + 1] ^ data[1]) & MASKED):
        return False
    if first & CONTROL:
        if head is None:
            return True
        return head.length <= CONTROL_LIMIT_BYTES and not (first == CLOSE | FIN and head.length == 1)
    if head is None:
        return True
    # Tag, short length, value is how many formats begin; fragments are long.
    if alone and not first & FIN and head.length < 126:
        return False
    return head.minimal and head.length <= LENGTH_LIMIT_BYTES and not (alone and first == CONTINUATION | FIN)


def _may_be_payload(data: bytes, at: int, head: Head) -> bool:
    first = data[at]
    seen = data[head.body : head.body + min(head.length, _LOOKED_AT_BYTES)]
    if head.key:
        seen = unmask(seen, head.key)
    whole = len(seen) == head.length and bool(first & FIN)
    if first & COMPRESSED:
        return not seen or _may_be_deflated(seen, whole=whole)
    opcode = first & OPCODE
    if opcode == TEXT:
        return _may_be_text(seen, whole=whole)
    if opcode == CLOSE and len(seen) >= 2:
        return is_close_code(seen[0] << 8 | seen[1]) and is_utf8(seen[2:], whole=whole)
    return opcode != BINARY or bool(head.key) or not _is_mqtt_subscribe(seen, head.length)


def _may_be_text(seen: bytes, *, whole: bool) -> bool:
    """Text that nobody would write is rather something else."""
    return is_utf8(seen, whole=whole) and not seen.translate(None, _NO_CONTROLS)


_NO_CONTROLS = bytes(byte for byte in range(256) if byte >= 0x20 or byte in b"\t\n\r\x1e")
"""0x1e ends the messages of SignalR."""


def _may_be_deflated(seen: bytes, *, whole: bool) -> bool:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_UNKNOWN_WINDOW)
    try:
        out = inflater.decompress(seen, _LOOKED_AT_BYTES * 4)
        if whole and not inflater.eof and not inflater.unconsumed_tail:
            out += inflater.decompress(b"\0\0\xff\xff", _LOOKED_AT_BYTES * 4)
    except zlib.error:
        return False
    # At most the 00 that stands for the end of a final block may follow it.
    return bool(out) and len(inflater.unused_data) <= 1


def _is_mqtt_subscribe(seen: bytes, length: int) -> bool:
    """MQTT 3.1.1, 3.8: the same two bytes, then a packet's number and a topic with its length and QoS."""
    if len(seen) < 6 or len(seen) < min(length, _LOOKED_AT_BYTES):
        return False
    for at in (2, 3):  # MQTT 5 has properties between, mostly none
        topic = seen[at] << 8 | seen[at + 1]
        if topic and at + 2 + topic < length and (at + 2 + topic >= len(seen) or seen[at + 2 + topic] < 0x40):
            return is_utf8(seen[at + 2 : at + 2 + topic], whole=False)
    return False


def _is_long(data: bytes, head: Head) -> bool:
    """For one frame that goes on behind its record: its length cannot be chance."""
    seen_bytes = len(data) - head.body
    if head.length > 0xFFFF:
        return head.length < 1 << 40
    return seen_bytes >= _LONG_BYTES or (data[0] & 0x4F == TEXT and seen_bytes >= 16)
