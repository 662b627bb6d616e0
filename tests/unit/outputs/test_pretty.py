# SPDX-License-Identifier: Apache-2.0
"""Bodies by content type."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.outputs.pretty import JSON_GROWTH_LIMIT, PARTS_DEPTH_LIMIT, as_text, indent_json, media_type, show_body

JSON = b"application/json"
PACKED = [b"application/msgpack", b"application/x-protobuf", b"application/json-seq"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def show(data: bytes, content_type: bytes = b"", limit: int = 0, more_bytes: int = 0) -> str:
    return show_body(data, content_type=content_type, limit=limit, more_bytes=more_bytes)


def test_json_is_indented_token_by_token() -> None:
    source = b'{"id": 7, "total":12.50,"big":1e400, "e":[], "o":{ }, "s":"a\\"{,}\\u001b", "a":[1,[2]]}'
    assert show(source, b"application/problem+json; charset=utf-8") == (
        '{\n  "id": 7,\n  "total": 12.50,\n  "big": 1e400,\n  "e": [],\n  "o": {},\n  "s": "a\\"{,}\\u001b",\n'
        '  "a": [\n    1,\n    [\n      2\n    ]\n  ]\n}\n'
    )


def test_what_only_claims_to_be_json_is_left_alone() -> None:
    assert show(b')]}\',\n{"a":1}', JSON) == ')]}\',\n{"a":1}\n'
    assert show(b"<html>, not: json", JSON) == "<html>, not: json\n"


def test_json_without_a_type_is_seen() -> None:
    assert show(b'[{"a":1}]') == '[\n  {\n    "a": 1\n  }\n]\n'
    assert show(b"[section]\nkey") == "[section]\nkey\n"


def test_cut_json_is_indented_too() -> None:
    assert show(b'{"a":[1,"tw', JSON, more_bytes=500) == '{\n  "a": [\n    1,\n    "tw\n… 500 B more\n'


def test_deep_json_stays_small() -> None:
    shown = show(b"[" * 20_000, JSON, more_bytes=1)
    assert len(shown) < 20_000 * 70
    assert len(show(b"[" * 20_000 + b"]" * 20_000, JSON)) < 40_000 * 70


@given(JSON_VALUES, st.sampled_from([None, 2]))
def test_indented_json_means_the_same(value: object, indent: int | None) -> None:
    source = json.dumps(value, ensure_ascii=False, indent=indent)
    assert json.loads(indent_json(source)) == value


@pytest.mark.parametrize("text", ["[" * 200_000, "[[1]," * 50_000, '{"a":[' * 50_000])
def test_json_of_brackets_does_not_grow_without_bound(text: str) -> None:
    assert len(indent_json(text)) <= (1 + JSON_GROWTH_LIMIT) * len(text) + 16_384
    assert indent_json("[" * 200_000) == "[" * 200_000


def test_form_fields() -> None:
    kind = b"application/x-www-form-urlencoded"
    assert show(b"a=1&b=x%0Ay+z&empty=&%ff=%C3%A4", kind) == "a = 1\nb = x\\ny z\nempty = \n\\xff = ä\n"
    assert show(b"nofields", kind) == "nofields\n"


def test_msgpack_is_shown_as_json() -> None:
    data = msgspec.msgpack.encode({"id": 7, "tags": ["a\x1b"], "raw": b"\xff"})
    assert show(data, b"application/msgpack") == (
        '{\n  "id": 7,\n  "tags": [\n    "a\\u001b"\n  ],\n  "raw": "/w=="\n}\n'
    )
    assert show(data[:-1], b"application/x-msgpack") == f"binary data (application/x-msgpack), {len(data) - 1} B\n"
    assert show(data, b"application/msgpack", limit=8).startswith("binary data (application/msgpack)")


def test_json_one_by_line() -> None:
    assert show(b'{"a":1}\n{"b":2}\n', b"application/x-ndjson") == '{"a":1}\n{"b":2}\n'
    assert show(b'\x1e{"a":1}\n', b"application/json-seq") == '{"a":1}\n'


def test_protobuf_by_its_fields() -> None:
    data = b"\x08\x96\x01\x12\x02hi\x12\x00"
    assert show(data, b"application/x-protobuf") == "protobuf, fields 1, 2 (2 times), 9 B\n"
    assert show(data, b"application/x-protobuf", limit=5) == "protobuf (application/x-protobuf), 9 B\n"
    assert show(b"hello", b"application/protobuf") == "protobuf (application/protobuf), 5 B\n"


FORM = b"multipart/form-data; boundary=xyz"
PARTS = (
    b'preamble\r\n--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\nvalue\r\n'
    b"--xyz\r\nContent-Type: application/json\r\n\r\n[1]\r\n"
    b'--xyz\r\nContent-Disposition: form-data; filename="\x1b[2J"\r\nContent-Type: image/png\r\n\r\n'
    b"\x89PNG\r\n\x1a\n\x00\x00\r\n--xyz--\r\n"
)


def test_multipart_by_part() -> None:
    assert show(PARTS, FORM) == (
        '── part 1\nContent-Disposition: form-data; name="a"\n\nvalue\n'
        "── part 2\nContent-Type: application/json\n\n[\n  1\n]\n"
        '── part 3\nContent-Disposition: form-data; filename="\\x1b[2J"\nContent-Type: image/png\n\nPNG image, 10 B\n'
    )


def test_multipart_that_was_cut() -> None:
    shown = show(PARTS, FORM, limit=PARTS.index(b"[1]") + 2)
    assert shown.endswith(
        f"── part 2\nContent-Type: application/json\n\n[\n  1\n… {len(PARTS) - PARTS.index(b'[1]') - 2} B more\n"
    )
    assert show(PARTS, b"multipart/mixed").startswith("binary data (multipart/mixed)")
    assert show(b"text", FORM) == "text\n"


def test_multipart_within_multipart_ends() -> None:
    body, kind = b"x", b"text/plain"
    for number in range(20):
        body = b"--%d\r\nContent-Type: %b\r\n\r\n%b\r\n--%d--" % (number, kind, body, number)
        kind = b"multipart/mixed; boundary=%d" % number
    assert show(body, kind).count("── part 1\n") == PARTS_DEPTH_LIMIT


def test_text_is_escaped_but_keeps_its_lines() -> None:
    assert show(b"a\r\nb\tc\x1b[2J\x07\n", b"text/plain") == "a\nb\tc\\x1b[2J\\x07\n"
    assert show("ä \u202e \u009b".encode(), b"text/plain") == "ä \\u202e \\u009b\n"
    assert show(b"mostly text, one \xff byte" + b"." * 20, b"text/plain").startswith("mostly text, one \\xff byte")


def test_declared_charset() -> None:
    assert show("grün".encode("latin-1"), b"text/plain; charset=ISO-8859-1") == "grün\n"
    assert show("日本".encode("utf-16"), b'text/plain; charset="utf-16"') == "日本\n"
    # Not one of the web's: the bytes decide.
    assert show(b"abc", b"text/plain; charset=unicode_escape") == "abc\n"
    assert show(b"plain", b"text/plain; charset=iso-8859-12") == "plain\n"


@pytest.mark.parametrize(
    ("data", "content_type", "summary"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 47_992, b"image/png", "PNG image, 48 kB\n"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 47_992, b"text/html; charset=iso-8859-1", "PNG image, 48 kB\n"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", b"", "WebP image, 16 B\n"),
        (b"\x00\x01\x02", b"application/x-thing\x1b", "binary data (application/x-thing\\x1b), 3 B\n"),
        (bytes(range(128, 256)), b"", "binary data, 128 B\n"),
    ],
)
def test_binary_is_summarised(data: bytes, content_type: bytes, summary: str) -> None:
    assert show(data, content_type) == summary


def test_limit_counts_what_it_leaves_out() -> None:
    assert show(b"x" * 10, limit=4, more_bytes=990) == "xxxx\n… 996 B more\n"
    assert show(b"\x89PNG\r\n\x1a\n" + b"\0" * 100, limit=16, more_bytes=1000) == "PNG image, 1.1 kB\n"
    assert show(b"", more_bytes=5) == "… 5 B more\n"
    assert show(b"") == ""
    # A character in two halves is not shown as an error.
    assert show("aä".encode(), limit=2) == "a\n… 1 B more\n"


def test_as_text() -> None:
    assert as_text(b"EHLO x\r\n") == "EHLO x\r\n"
    assert as_text(b"\x00\x01") is None


def test_media_type() -> None:
    assert media_type(b" Text/HTML ; charset=x") == "text/html"


@given(
    st.binary() | st.lists(st.sampled_from([b"--xyz", b"--", b"\r\n", b"a: b", b"\x00"])).map(b"".join),
    st.sampled_from([b"", JSON, b"text/plain", b"application/x-www-form-urlencoded", *PACKED, FORM]),
    st.integers(0, 9),
)
def test_any_body_is_whole_lines(data: bytes, content_type: bytes, limit: int) -> None:
    shown = show(data, content_type, limit)
    shown.encode()
    assert not data or shown.endswith("\n")
    assert all(char in "\n\t" or char.isprintable() for char in shown)
