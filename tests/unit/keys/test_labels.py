# SPDX-License-Identifier: Apache-2.0
"""Which labels and lengths there are, and what counts as a whole secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.keys import labels


def test_every_label_has_a_bit_of_its_own() -> None:
    assert labels.BITS.keys() == labels.LENGTHS.keys()
    assert sum(labels.BITS.values()).bit_count() == len(labels.BITS)
    assert labels.WHOLE_BITS.bit_count() == len(labels.WHOLE) == 5


@pytest.mark.parametrize("size", [32, 48, 64])
def test_a_word_of_zeros_is_not_whole(size: int) -> None:
    assert labels.is_whole(b"s" * size)
    assert labels.is_whole((bytes(7) + b"s") * (size // 8))
    for start in range(0, size, 8):
        assert not labels.is_whole(b"s" * start + bytes(8) + b"s" * (size - start - 8))


def test_nothing_is_not_whole() -> None:
    assert not labels.is_whole(b"")


@given(st.binary(min_size=32, max_size=64).filter(lambda data: 0 not in data))
def test_what_has_no_zeros_is_whole(secret: bytes) -> None:
    assert labels.is_whole(secret)
