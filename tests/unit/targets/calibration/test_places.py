# SPDX-License-Identifier: Apache-2.0
"""Where values lie: by alignment, overlapping, and that nothing is said where there is a doubt."""

from __future__ import annotations

import pytest

from plaintap.errors import TargetError
from plaintap.targets.calibration.places import agree, ints, places_of, pointers


@pytest.mark.parametrize(
    ("image", "value", "align", "expected"),
    [
        (b"abcabc", b"abc", 1, {0, 3}),
        (b"aaaa", b"aa", 1, {0, 1, 2}),
        (b".abc.abc", b"abc", 4, set()),
        (b"abc..abcabc", b"abc", 8, {0, 8}),
        (bytes(64), bytes(8), 1, set()),
        (b"ab", b"abc", 1, set()),
    ],
)
def test_places(image: bytes, value: bytes, align: int, expected: set[int]) -> None:
    assert places_of(image, value, align) == expected


def test_a_pointer_is_looked_for_where_pointers_lie() -> None:
    address = 0x7F0011223344
    raw = address.to_bytes(8, "little")
    assert pointers(bytes(8) + raw + bytes(4) + raw, address) == {8}
    assert pointers(b"\xff" * 8, -1) == {0}


def test_an_int_may_be_zero() -> None:
    assert ints(b"\1\0\0\0\0\0\0\0\0\1\0\0", 0) == {4}
    assert ints(b"\1\0\0\0\0\0\0\0\1\0\0\0", 1) == {0, 8}


def test_a_value_that_is_everywhere_is_none() -> None:
    with pytest.raises(TargetError, match="^a value is at more than 64 places at once$"):
        places_of(b"\1" * 100, b"\1")


def test_all_must_agree_on_one_place() -> None:
    assert agree("rbio", [{8, 16}, {16, 24}]) == 16
    with pytest.raises(TargetError, match="^rbio is at no place that all handshakes agree on$"):
        agree("rbio", [{8}, {16}])
    with pytest.raises(TargetError, match="^rbio is at no place that all handshakes agree on$"):
        agree("rbio", [])
    with pytest.raises(TargetError, match="^rbio is at several places, cannot tell which: 0x8, 0x10$"):
        agree("rbio", [{8, 16, 24}, {8, 16}])
