# SPDX-License-Identifier: Apache-2.0
"""Bodies from hostile peers: the first byte of an input says by which codings it claims to be encoded."""

from __future__ import annotations

import gzip
import zlib

import brotli
import zstandard

from plaintap.outputs.pretty import show_body
from plaintap.protocols.bodies import decode_body

LIMIT_BYTES = 1 << 16
_CODINGS = (b"gzip", b"deflate", b"br", b"zstd", b"gzip, br", b"zstd, deflate", b"identity, unknown", b"")
_TYPES = (
    b"application/json",
    b"text/plain; charset=utf-16",
    b"application/msgpack",
    b"multipart/mixed; boundary=x",
    b"application/x-protobuf",
    b"application/x-www-form-urlencoded",
    b"application/json-seq",
    b"",
)
_TEXT = b'{"a": [1, 2, {"b": "\x1b[2J"}]}\r\n--x\r\nA: b\r\n\r\nbody\r\n--x--\r\n'

SEEDS = [
    bytes([0, 0]) + gzip.compress(_TEXT, mtime=0),
    bytes([1, 1]) + zlib.compress(_TEXT),
    bytes([2, 3]) + brotli.compress(_TEXT),
    bytes([3, 3]) + zstandard.compress(_TEXT),
    bytes([4, 3]) + brotli.compress(gzip.compress(_TEXT, mtime=0)),
    bytes([0, 7]) + gzip.compress(bytes(1 << 20), mtime=0),
    bytes([7, 2]) + b"\x82\xa1a\x01\xa1b\x91\xc4\x02hi",
    bytes([7, 4]) + b"\x08\x96\x01\x12\x02hi",
    bytes([7, 5]) + b"a=1&b=%ff+x",
]


def one(data: bytes) -> None:
    """Raises AssertionError, or whatever decoding and showing raise, for an input that breaks a promise."""
    if len(data) < 2:
        return
    coding, content_type, body = _CODINGS[data[0] % 8], _TYPES[data[1] % 8], data[2:]
    name = b"Transfer-Encoding" if data[0] & 8 else b"Content-Encoding"
    middle = len(body) // 2
    decoded, note = decode_body([(name, coding)], [body[:middle], body[middle:]], limit_bytes=LIMIT_BYTES)
    assert len(decoded) <= max(LIMIT_BYTES, len(body)), "more than the limit"
    assert len(note) < 1024, "a note without end"
    for limit in (0, 1000):
        shown = show_body(decoded, content_type=content_type, limit=limit)
        assert not decoded or shown.endswith("\n"), "half a line"
        assert all(char in "\n\t" or char.isprintable() for char in shown), "a character that moves the cursor"
        assert len(shown) < 70 * len(decoded) + 1024, "more than was there"
