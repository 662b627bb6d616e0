# SPDX-License-Identifier: Apache-2.0
"""Multipart bodies in parts."""

from __future__ import annotations

import email.message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.outputs.multipart import PARTS_LIMIT, Part, Parts, split

TYPE = b'multipart/mixed; charset=utf-8; boundary="a b"'


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"--a b\r\nA: b\r\n\r\nbody\r\n--a b--", Parts([Part(b"A: b", b"body")], 0, complete=True)),
        (b"--a b\nA: b\n\nbody\n--a b--\nepilogue", Parts([Part(b"A: b", b"body")], 0, complete=True)),
        (b"--a b\r\n\r\nno head\r\n--a b--", Parts([Part(b"", b"no head")], 0, complete=True)),
        (b"--a b\r\n--a b--", Parts([Part(b"", b"")], 0, complete=True)),
        (b"--a b--", Parts([], 0, complete=True)),
        (b"--a b\r\nA: b\r\n\r\nhalf a bo", Parts([Part(b"A: b", b"half a bo")], 0, complete=False)),
        (b"--a b\r\n\r\nnot --a b\r\n--a bc\r\n--a b--", Parts([Part(b"", b"not --a b\r\n--a bc")], 0, complete=True)),
    ],
)
def test_split(data: bytes, parts: Parts) -> None:
    assert split(data, TYPE) == parts


@pytest.mark.parametrize(
    "content_type", [b"multipart/mixed", b"multipart/mixed; boundary=", b"x; boundary=" + b"x" * 300]
)
def test_no_boundary(content_type: bytes) -> None:
    assert split(b"--a b\r\n\r\n", content_type) is None


def test_not_there() -> None:
    assert split(b"text", TYPE) is None


def test_parts_are_bounded_and_counted() -> None:
    parts = split(b"--a b\r\n\r\nx\r\n" * (PARTS_LIMIT + 7) + b"--a b--", TYPE)
    assert parts is not None
    assert (len(parts.shown), parts.more, parts.complete) == (PARTS_LIMIT, 7, True)


def test_what_the_standard_library_makes_is_read() -> None:
    message = email.message.EmailMessage()
    message.make_mixed(boundary="a b")
    message.add_attachment("text\n", subtype="plain")
    message.add_attachment(b"\0\1", maintype="image", subtype="png", cte="8bit")
    parts = split(message.as_bytes().partition(b"\n\n")[2], TYPE)
    assert parts is not None
    assert [part.content_type.partition(b";")[0] for part in parts.shown] == [b"text/plain", b"image/png"]
    assert [part.body.strip() for part in parts.shown] == [b"text", b"\0\1"]


@given(st.lists(st.sampled_from([b"--a b", b"--", b"\r\n", b"\n", b"A: b", b"x"])).map(b"".join))
def test_any_order_of_pieces(data: bytes) -> None:
    parts = split(data, TYPE)
    assert parts is None or sum(len(part.head) + len(part.body) for part in parts.shown) <= len(data)
