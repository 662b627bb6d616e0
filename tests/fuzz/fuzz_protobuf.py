# SPDX-License-Identifier: Apache-2.0
"""Hostile protocol buffers, with and without a schema: an answer or ProtobufError, of a size that the input bounds."""

from __future__ import annotations

import json
from contextlib import suppress

from plaintap.protocols import protobuf
from plaintap.protocols.protobuf_grammar import parse
from plaintap.protocols.protobuf_schema import link

PROTO = """
syntax = "proto3";
message A {
  A a = 1; repeated A b = 2; map<string, A> c = 3; map<sint64, double> d = 4;
  repeated sint32 e = 5; repeated float f = 6; repeated bool g = 7; E h = 8; bytes i = 9; string j = 10;
}
enum E { ZERO = 0; ONE = 1; }
service S { rpc M (A) returns (A); }
"""
SCHEMAS = link([parse("fuzz.proto", PROTO)])
SEEDS = [
    b"\x08\x96\x01\x12\x07testing\x1a\x05\x08\x01\x12\x01a",
    b"\x0a\x04\x0a\x02\x0a\x00\x1a\x06\x0a\x01k\x12\x01\x00",
    b"\x0b\x13\x08\x01\x14\x0c\x0d\x00\x00\x80\x3f\x09\x00\x00\x00\x00\x00\x00\xf0\x3f",
    b"\x22\x0b\x08\x03\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x2a\x03\x01\x02\x03\x32\x04\x00\x00\x80\x7f",
    b"\x0a\x00" * 3000,
    b"\x0b" * 3000,
]
GROWTH = 64
"""Times the input that its fields may be, as JSON: `{"fixed64": ..., "double": ...}` of 9 bytes is the worst."""


def one(data: bytes) -> None:
    with suppress(protobuf.ProtobufError):
        fields, _ = protobuf.decode(data)
        _check(fields, data)
    with suppress(protobuf.ProtobufError):
        _check(SCHEMAS.fields("/S/M", from_client=True, data=data), data)


def _check(fields: object, data: bytes) -> None:
    text = json.dumps(fields, allow_nan=False)
    assert len(text) <= GROWTH * (len(data) + 1), "grows"
