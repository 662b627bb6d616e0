# SPDX-License-Identifier: Apache-2.0
"""Escapes and widths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.outputs.escape import cells, escape, escape_bytes, escape_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ~ text", "plain ~ text"),
        ("grün 日本 🙂", "grün 日本 🙂"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x1b[31m\x00\x7f", "\\x1b[31m\\x00\\x7f"),
        ("\x9b31m\x85", "\\u009b31m\\u0085"),
        ("\u202eabc\u2066\u200f\u061c", "\\u202eabc\\u2066\\u200f\\u061c"),
        ("\u2028\ufeff\U000e0041", "\\u2028\\ufeff\\U000e0041"),
        ("\udcff\ud800", "\\xff\\ud800"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_bytes_that_are_no_utf8() -> None:
    assert escape_bytes(b"a\xff\xc3\xa4\x9b") == "a\\xffä\\x9b"


def test_lines_and_tabs_stay() -> None:
    assert escape_lines("a\r\nb\n\tc\rd\x1b") == "a\nb\n\tc\\rd\\x1b"


def test_cells() -> None:
    assert [cells(text) for text in ("abc", "日本", "a\u0301", "→…")] == [3, 4, 1, 2]


@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_escaped_is_printable_and_encodable(text: str) -> None:
    shown = escape(text)
    shown.encode()
    assert shown.isprintable()
    assert escape(shown) == shown
