# SPDX-License-Identifier: Apache-2.0
"""What values mean that a type alone does not tell; through the options that take them, in test_config.py."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap import values
from plaintap.errors import UsageError
from plaintap.values import ring_size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("2 m", 120.0), (" 1h ", 3600.0), ("7", 7.0), ("0.5s", 0.5)]
)
def test_a_time_is_seconds(text: str, seconds: float) -> None:
    assert values.duration(text) == seconds


@pytest.mark.parametrize("value", ["soon", "1d", "-1s", "1e3", "", 7, None])
def test_what_is_no_time_is_left_to_the_type(value: object) -> None:
    assert values.duration(value) is value


@pytest.mark.parametrize(
    ("mapsize_kb", "cpus", "expected"),
    [
        (8192, 2, (16 << 20, False)),
        (8192, 1, (8 << 20, False)),
        (8192, 3, (32 << 20, True)),
        (1000, 2, (2 << 20, True)),
        (1 << 20, 2, (1 << 31, False)),
    ],
)
def test_ring_size(mapsize_kb: int, cpus: int, expected: tuple[int, bool]) -> None:
    assert ring_size_bytes(mapsize_kb, cpus) == expected


def test_ring_size_is_at_least_a_page() -> None:
    assert ring_size_bytes(1, 1) == (os.sysconf("SC_PAGESIZE"), True)


def test_a_ring_over_2_gib_in_all_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        ring_size_bytes(1 << 20, 4)
    assert caught.value.message == "--mapsize: 1048576 KB for each of 4 CPUs is more than the kernel's 2 GiB for a ring"
    assert caught.value.hint == "on this host at most --mapsize 524288"


@given(st.integers(1, 1 << 20), st.integers(1, 512))
def test_ring_size_is_the_next_power_of_two(mapsize_kb: int, cpus: int) -> None:
    wanted = mapsize_kb * 1024 * cpus
    if wanted > 1 << 31:
        with pytest.raises(UsageError):
            ring_size_bytes(mapsize_kb, cpus)
        return
    size, rounded = ring_size_bytes(mapsize_kb, cpus)
    assert size & (size - 1) == 0
    assert wanted <= size < max(2 * wanted, os.sysconf("SC_PAGESIZE") + 1)
    assert rounded == (size != wanted)
