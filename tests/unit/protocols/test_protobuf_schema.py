# SPDX-License-Identifier: Apache-2.0
"""Schemas of .proto files: what they declare, what is wrong with them, and messages decoded by them."""

from __future__ import annotations

import json
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.errors import UsageError
from plaintap.protocols.protobuf import FIELDS_LIMIT, ProtobufError
from plaintap.protocols.protobuf_grammar import NESTING_LIMIT, parse
from plaintap.protocols.protobuf_schema import FILE_LIMIT_BYTES, ProtoSchemas, link, load_schemas
from plaintap.protocols.protobuf_typed import DEPTH_LIMIT
from plaintap.protocols.protobuf_wellknown import WELL_KNOWN

SHOP = """
// A shop.
syntax = "proto3";
package acme.shop.v1;
import "google/protobuf/timestamp.proto";
import 'google/protobuf/struct.proto';
import public "acme/shop/money.proto";
import "google/api/annotations.proto"; // nowhere, and only for an option
option go_package = "acme" "/shop";
option (scope.of) = { a: 1, b: [1, 2], c { d: "x;}" } };
message Order {
  option deprecated = true;
  reserved 100, 200 to 300, 500 to max; reserved "old", 'older';
  extensions 600 to 700 [verification = UNVERIFIED];
  enum Status { UNKNOWN = 0; PAID = 1; option allow_alias = true; PAYED = 1; LOST = -0x1; reserved 9; }
  message Line { string sku = 1; int32 qty = 2; repeated Line children = 3; }
  int32 i32 = 1; int64 i64 = 2; uint32 u32 = 3; uint64 u64 = 4; sint32 s32 = 5; sint64 s64 = 6;
  fixed32 f32 = 7; fixed64 f64 = 8; sfixed32 sf32 = 9; sfixed64 sf64 = 10; float fl = 11; double d = 12;
  bool b = 13; string s = 14; bytes by = 15;
  Status status = 16;
  repeated Line lines = 17 [deprecated = true, (its.option) = { a: "]" }];
  map<string, Line> by_sku = 18;
  map<int32, Status> by_number = 19;
  map<bool, double> by_bool = 20;
  oneof kind { option (x) = 1; string a = 21; Line l = 22; acme.shop.v1.Money m = 23; ; }
  repeated int32 packed = 24; repeated int32 unpacked = 25 [packed = false];
  repeated float floats = 26; repeated Status statuses = 27; repeated string strings = 28;
  repeated sint64 zigzags = 29;
  google.protobuf.Timestamp ts = 30; google.protobuf.Struct json = 0x1f; optional int32 opt = 041;
  v1.Money money = 34; string message = 36; string option_ = 37; .acme.shop.v1.Order.Status map = 38;
  ;
}
extend google.protobuf.MessageOptions { string its = 50001; }
service Shop {
  option (svc) = { a: 1 };
  rpc Get (Money) returns (Order);
  rpc Watch (stream Order) returns (stream .acme.shop.v1.Order) { option (http) = { get: "/v1/{x}" body: "*" }; }
  rpc Line (Order.Line) returns (Order.Line) {};
}
"""
MONEY = """
syntax = "proto2"; /* of old */ package acme.shop.v1;
message Money {
  optional string currency = 1; required int64 units = 2 [default = -3];
  optional group Extra = 3 { optional int32 x = 1; } repeated Money parts = 6; extensions 100 to max;
  optional float ff = 4 [default = -inf]; optional bytes bb = 5 [default = "\\x00\\"q"];
}
"""
ORDERS = "/acme.shop.v1.Shop/Watch"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ProtoSchemas:
    root = tmp_path_factory.mktemp("protos")
    write(root, "acme/shop/money.proto", MONEY)
    return load_schemas([write(root, "acme/shop/shop.proto", SHOP)])


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def number(of: int, value: int) -> bytes:
    return varint(of << 3) + varint(value)


def delimited(of: int, data: bytes) -> bytes:
    return varint(of << 3 | 2) + varint(len(data)) + data


def order(shop: ProtoSchemas, data: bytes) -> Any:
    fields = shop.fields(ORDERS, from_client=True, data=data)
    json.dumps(fields, allow_nan=False)
    return fields


LINE = delimited(1, b"sku") + number(2, -1)


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"", {}),
        (number(1, -5), {"i32": -5}),
        (number(1, (1 << 32) + 1), {"i32": 1}),
        (number(2, -1 << 63), {"i64": str(-1 << 63)}),
        (number(3, (1 << 32) - 1), {"u32": (1 << 32) - 1}),
        (number(4, -1), {"u64": str((1 << 64) - 1)}),
        (number(5, 3) + number(6, (1 << 64) - 1), {"s32": -2, "s64": str(-1 << 63)}),
        (b"\x3d" + pack("<I", 7) + b"\x41" + pack("<Q", 8), {"f32": 7, "f64": "8"}),
        (b"\x4d" + pack("<i", -7) + b"\x51" + pack("<q", -8), {"sf32": -7, "sf64": "-8"}),
        (b"\x5d" + pack("<f", 0.1) + b"\x61" + pack("<d", 0.1), {"fl": 0.1, "d": 0.1}),
        (b"\x5d" + pack("<f", float("nan")) + b"\x61" + pack("<d", float("-inf")), {"fl": "NaN", "d": "-Infinity"}),
        (number(13, 1) + number(13, 0), {"b": False}),
        (delimited(14, b"caf\xc3\xa9 \xff") + delimited(15, b"\0\xff"), {"s": "café \ufffd", "by": "AP8="}),
        (number(16, 1), {"status": "PAID"}),
        (number(16, -1), {"status": "LOST"}),
        (number(16, 99), {"status": 99}),
        (number(38, 1), {"map": "PAID"}),
        (delimited(17, LINE) * 2, {"lines": [{"sku": "sku", "qty": -1}] * 2}),
        (delimited(18, delimited(1, b"k") + delimited(2, LINE)), {"by_sku": {"k": {"sku": "sku", "qty": -1}}}),
        (delimited(18, b""), {"by_sku": {"": {}}}),
        (
            delimited(19, number(1, -3) + number(2, 1)) + delimited(19, b""),
            {"by_number": {"-3": "PAID", "0": "UNKNOWN"}},
        ),
        (delimited(20, number(1, 1) + b"\x11" + pack("<d", 2.5)), {"by_bool": {"true": 2.5}}),
        (delimited(21, b"x"), {"a": "x"}),
        (delimited(24, varint(1) + varint(-1)) + number(24, 5), {"packed": [1, -1, 5]}),
        (number(25, 5) + delimited(25, varint(1)), {"unpacked": [5, 1]}),
        (delimited(26, pack("<ff", 0.5, 0.1)), {"floats": [0.5, 0.1]}),
        (delimited(27, varint(0) + varint(1)), {"statuses": ["UNKNOWN", "PAID"]}),
        (delimited(28, b"a") + delimited(28, b""), {"strings": ["a", ""]}),
        (delimited(30, number(1, 5)) + delimited(30, number(2, 6)), {"ts": {"seconds": "5", "nanos": 6}}),
        (
            delimited(31, delimited(1, delimited(1, b"k") + delimited(2, delimited(3, b"v")))),
            {"json": {"fields": {"k": {"string_value": "v"}}}},
        ),
        (delimited(34, b"\x1b" + number(1, 4) + b"\x1c"), {"money": {"extra": {"x": 4}}}),
        (number(33, 0) + delimited(36, b"m"), {"opt": 0, "message": "m"}),
        (number(1, 2) + number(9999, 7) + delimited(9999, b"\x08\x01"), {"i32": 2, "9999": [7, {"1": 1}]}),
    ],
)
def test_fields_by_type(shop: ProtoSchemas, data: bytes, fields: object) -> None:
    assert order(shop, data) == fields


ENCODED = bytes.fromhex(
    "08ffffffffffffffffff0110feffffffffffffffff0118ffffffff0f20ffffffffffffffffff01280530ffffffffffffffff"
    "ff013d040000004105000000000000004dfaffffff51f9ffffffffffffff5dcdcccc3d619a9999999999b9bf680172056361"
    "66c3a97a0200ff8001ffffffffffffffffff018a010a0a016110011a030a01629201070a016b120210039a010d08fdffffff"
    "ffffffffff011001a2010b080111000000000000f0ffba01021009c2010b01ffffffffffffffffff01c80102c801feffffff"
    "ffffffffff01da01020001e20100e2010178ea010101f201080880e2cfaa061005fa011c0a1a0a0161121532130a09110000"
    "00000000f83f0a0208000a02200188020092020610011b08041ca202016d"
)
"""An order as protobuf's own Python library encodes it."""


def test_what_another_library_encoded(shop: ProtoSchemas) -> None:
    values = [{"number_value": 1.5}, {"null_value": "NULL_VALUE"}, {"bool_value": True}]
    assert order(shop, ENCODED) == {
        "i32": -1,
        "i64": "-2",
        "u32": (1 << 32) - 1,
        "u64": str((1 << 64) - 1),
        "s32": -3,
        "s64": str(-1 << 63),
        "f32": 4,
        "f64": "5",
        "sf32": -6,
        "sf64": "-7",
        "fl": 0.1,
        "d": -0.1,
        "b": True,
        "s": "café",
        "by": "AP8=",
        "status": "LOST",
        "lines": [{"sku": "a", "qty": 1, "children": [{"sku": "b"}]}],
        "by_sku": {"k": {"qty": 3}},
        "by_number": {"-3": "PAID"},
        "by_bool": {"true": "-Infinity"},
        "m": {"units": "9"},
        "packed": [1, -1],
        "unpacked": [2, -2],
        "statuses": ["UNKNOWN", "PAID"],
        "strings": ["", "x"],
        "zigzags": ["-1"],
        "ts": {"seconds": "1700000000", "nanos": 5},
        "json": {"fields": {"a": {"list_value": {"values": values}}}},
        "opt": 0,
        "money": {"units": "1", "extra": {"x": 4}},
        "message": "m",
    }


def test_request_and_response_have_their_own_types(shop: ProtoSchemas) -> None:
    data = delimited(1, b"EUR")
    assert shop.fields("/acme.shop.v1.Shop/Get", from_client=True, data=data) == {"currency": "EUR"}
    with pytest.raises(ProtobufError, match="^i32 has wire type 2, expected 0$"):
        shop.fields("/acme.shop.v1.Shop/Get", from_client=False, data=data)
    assert shop.fields("/acme.shop.v1.Shop/Line", from_client=False, data=data) == {"sku": "EUR"}


def test_a_path_that_is_not_declared_is_not_known(shop: ProtoSchemas) -> None:
    assert shop.fields("/acme.shop.v1.Shop/Put", from_client=True, data=b"") is None
    assert sorted(shop.methods) == [f"/acme.shop.v1.Shop/{name}" for name in ("Get", "Line", "Watch")]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00", "field number 0"),
        (number(1, 1)[:1], "ends within a varint"),
        (number(14, 1), "s has wire type 0, expected 2"),
        (number(17, 1), "lines has wire type 0, expected 2"),
        (b"\x5d\0", "ends within fl"),
        (delimited(26, b"\0"), "ends within floats"),
        (delimited(17, b"\x0a\x05"), "field sku has 5 bytes, 0 are left"),
        (b"\x93\x02" + number(9, 1), "ends within group 34"),
        (delimited(24, bytes(FIELDS_LIMIT)), f"more than {FIELDS_LIMIT} fields"),
    ],
)
def test_what_does_not_fit(shop: ProtoSchemas, data: bytes, why: str) -> None:
    with pytest.raises(ProtobufError, match=f"^{why}$"):
        order(shop, data)


def test_depth_is_bounded(shop: ProtoSchemas) -> None:
    data = b""
    for _ in range(DEPTH_LIMIT - 1):
        data = delimited(3, data)
    shop.fields("/acme.shop.v1.Shop/Line", from_client=True, data=data)
    with pytest.raises(ProtobufError, match=f"^more than {DEPTH_LIMIT} messages in one another$"):
        shop.fields("/acme.shop.v1.Shop/Line", from_client=True, data=delimited(3, data))


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    schemas = link([parse("well.proto", WELL_KNOWN["google/protobuf/struct.proto"]), parse("a.proto", ANY)])
    try:
        fields = schemas.fields("/S/M", from_client=True, data=data)
    except ProtobufError:
        return
    json.dumps(fields, allow_nan=False)


ANY = """
import "google/protobuf/struct.proto";
message A { A a = 1; repeated int32 b = 2; map<string, A> c = 3; google.protobuf.Value d = 4; float e = 5; }
service S { rpc M (A) returns (A); }
"""


# What is wrong with files.

SERVICE = "service S { rpc M (A) returns (A); }\n"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("message A {\n  int32 x = ;\n}", "2:13", "expected a whole number, got ';'"),
        ("message A {\n  int32 x = 1\n}", "3:1", "expected ';', got '}'"),
        ("message A {", "1:12", "expected a field, got the end of the file"),
        ("message {}", "1:9", "expected a name, got '{'"),
        ("massage A {}", "1:1", "expected message, enum, service, import, package or option, got 'massage'"),
        ("message A { $ }", "1:13", "expected a .proto file's word, got '$'"),
        ('import "a.proto', "1:8", "expected a .proto file's word, got '\"'"),
        ("message A { int32 x = 0; }", "1:23", "expected a field number from 1 to 536870911, got 0"),
        ("message A { int32 x = 1; int32 y = 1; }", "1:32", "y has number 1, as has x"),
        ("message A { B b = 1; }", "1:15", "unknown type B"),
        ("message A {}\nmessage A {}", "2:9", "A is declared twice, also at {path}:1:9"),
        ("message A { map<A, A> b = 1; }", "1:23", "expected a scalar type for a map's key, got A"),
        ("import 5;", "1:8", "expected a file's name in quotes, got '5'"),
        ('import "../a.proto";', "1:8", "expected a file's name from a root down, got '../a.proto'"),
        ('import "/etc/passwd";', "1:8", "expected a file's name from a root down, got '/etc/passwd'"),
        ("service T { rpc M (B) returns (A); }", "1:17", "unknown type B"),
        ("service T { message }", "1:13", "expected rpc or option, got 'message'"),
        ("option a = { b: [ } ];", "1:19", "expected the brace that closes the last one, got '}'"),
        ("option a = 1", "1:13", "expected more, got the end of the file"),
        ("enum E { A = 1.5; }", "1:14", "expected a whole number, got '1.5'"),
        ("\ufeff// caf\u00e9\n\u20ac", "2:1", "expected a .proto file's word, got '\u20ac'"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path: Path, text: str, where: str, what: str) -> None:
    path = write(tmp_path, "bad.proto", text)
    with pytest.raises(UsageError) as caught:
        load_schemas([path])
    assert caught.value.message == f"{path}:{where}: {what.replace('{path}', str(path))}"
    assert caught.value.hint


def test_an_import_that_is_missing_is_named_where_its_type_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, "a.proto", 'import "x/b.proto";\nmessage A { x.B b = 1; }\n' + SERVICE)
    with pytest.raises(UsageError) as caught:
        load_schemas([path])
    assert caught.value.message == f"{path}:2:17: unknown type x.B"
    assert caught.value.hint == "not found: x/b.proto; name what declares it with --proto too"


def test_files_given_together_know_one_another(tmp_path: Path) -> None:
    first = write(tmp_path, "one/a.proto", 'import "x/b.proto";\nmessage A { x.B b = 1; }\n' + SERVICE)
    second = write(tmp_path, "two/x/b.proto", "package x;\nmessage B { int32 n = 1; }\n")
    schemas = load_schemas([first, second])
    assert schemas.fields("/S/M", from_client=True, data=b"\x0a\x02\x08\x05") == {"b": {"n": 5}}


def test_imports_are_found_from_any_folder_above_and_read_once(tmp_path: Path) -> None:
    write(tmp_path, "x/b.proto", 'package x; import "deep/er/a.proto"; message B { .A a = 1; int32 n = 2; }\n')
    path = write(tmp_path, "deep/er/a.proto", 'import "x/b.proto";\nmessage A { x.B b = 1; }\n' + SERVICE)
    again = path.parent / ".." / "er" / "a.proto"
    schemas = load_schemas([path, again])
    assert schemas.fields("/S/M", from_client=True, data=b"\x0a\x02\x10\x05") == {"b": {"n": 5}}


def test_a_copy_of_a_well_known_file_may_be_given(tmp_path: Path) -> None:
    copy = write(tmp_path, "google/protobuf/empty.proto", "package google.protobuf; message Empty {}")
    text = 'import "google/protobuf/empty.proto"; message A { google.protobuf.Empty e = 1; }\n' + SERVICE
    path = write(tmp_path, "a.proto", text)
    for paths in ([path, copy], [copy, path]):
        assert load_schemas(paths).fields("/S/M", from_client=True, data=b"\x0a\x00") == {"e": {}}


def test_long_chains_of_imports_are_no_recursion(tmp_path: Path) -> None:
    for index in range(1500):
        write(tmp_path, f"{index}.proto", f'import "{index + 1}.proto";')
    write(tmp_path, "1500.proto", "message A {}")
    path = write(tmp_path, "a.proto", 'import "0.proto";' + SERVICE)
    assert list(load_schemas([path]).methods) == ["/S/M"]


@pytest.mark.parametrize("name", sorted(WELL_KNOWN))
def test_well_known_files_are_there(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "a.proto", f'import "{name}"; message A {{}}\n' + SERVICE)
    assert list(load_schemas([path]).methods) == ["/S/M"]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone.proto: no such file or directory"):
        load_schemas([tmp_path / "gone.proto"])
    with pytest.raises(UsageError, match="is a directory"):
        load_schemas([tmp_path])
    binary = tmp_path / "a.proto"
    binary.write_bytes(b"message A {}\n  \xff")
    with pytest.raises(UsageError, match=r"a.proto:2:3: expected UTF-8 text, got other bytes"):
        load_schemas([binary])
    binary.write_bytes(bytes(FILE_LIMIT_BYTES + 1))
    with pytest.raises(UsageError, match=f"expected at most {FILE_LIMIT_BYTES} bytes, got more"):
        load_schemas([binary])


def test_files_without_a_service_are_of_no_use(tmp_path: Path) -> None:
    path = write(tmp_path, "a.proto", "message A {}")
    with pytest.raises(UsageError, match="a.proto: expected a service, got none"):
        load_schemas([path])


def test_nesting_is_bounded() -> None:
    with pytest.raises(UsageError, match=f"expected at most {NESTING_LIMIT} messages in one another"):
        parse("a.proto", "message A { " * 5000)
    with pytest.raises(UsageError, match=f"expected at most {NESTING_LIMIT} braces in one another"):
        parse("a.proto", "option a = " + "{" * 5000)


@given(st.lists(st.sampled_from(SHOP.split() + MONEY.split() + list("{}[]()<>=;,.")), max_size=60))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        parse("a.proto", " ".join(words))
    except UsageError as error:
        assert error.message.startswith("a.proto:1:")  # noqa: PT017 - only where it is refused
