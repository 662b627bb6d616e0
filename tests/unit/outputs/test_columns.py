# SPDX-License-Identifier: Apache-2.0
"""Columns: what gives way, cutting, remembered cells, the clock."""

from __future__ import annotations

import pytest

from plaintap.outputs.columns import Memo, WallClock, cut_end, cut_middle, layout, pad


@pytest.mark.parametrize(
    ("width", "peer", "milliseconds", "kind"),
    [(None, 1, 1, 1), (200, 1, 1, 1), (120, 1, 1, 1), (116, 0, 1, 1), (100, 0, 1, 1), (93, 0, 0, 1), (80, 0, 0, 0)],
)
def test_what_gives_way_on_a_narrow_terminal(width: int | None, peer: int, milliseconds: int, kind: int) -> None:
    found = layout(width)
    assert (found.peer, found.milliseconds, found.kind) == (bool(peer), bool(milliseconds), bool(kind))


@pytest.mark.parametrize(
    ("text", "columns", "cut"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefgh", 6, "abc…gh"),
        ("abcdefgh", 5, "ab…gh"),
        ("abcdefgh", 2, "a…"),
        ("abcdefgh", 1, "…"),
        ("abcdefgh", 0, ""),
        ("abcdefgh", -3, ""),
        ("日本語日本語", 7, "日…本語"),
        ("日本語日本語", 12, "日本語日本語"),
    ],
)
def test_cut_middle(text: str, columns: int, cut: str) -> None:
    assert cut_middle(text, columns) == cut


def test_cut_end() -> None:
    assert [cut_end("abcdef", columns) for columns in (6, 5, 1, 0, -1)] == ["abcdef", "abcd…", "…", "", ""]
    assert cut_end("日本語", 4) == "日…"


def test_pad_counts_as_a_terminal_does() -> None:
    assert pad("日本", 6) == "日本  "
    assert pad("abc", 2) == "abc"


def test_memo_asks_once_and_stays_bounded() -> None:
    asked: list[int | str] = []

    def make(key: int | str) -> str:
        asked.append(key)
        return f"<{key}>"

    memo: Memo[int | str, str] = Memo(make, limit=2)
    assert [memo[1], memo[1], memo[2], memo[3]] == ["<1>", "<1>", "<2>", "<3>"]
    assert asked == [1, 2, 3]
    assert list(memo) == [3]
    assert len(memo["x" * 1000]) == 1002
    assert list(memo) == [3]


def test_clock() -> None:
    clock = WallClock(1_699_970_587_412_000_000)
    assert [clock.text(ts_ns) for ts_ns in (0, 587_999_999, 588_000_000, 0)] == [
        "14:03:07.412",
        "14:03:07.999",
        "14:03:08.000",
        "14:03:07.412",
    ]
    assert WallClock(0, milliseconds=False).text(61_999_000_000) == "00:01:01"
