# SPDX-License-Identifier: Apache-2.0
"""Sizes and durations for people."""

from __future__ import annotations

import pytest

from plaintap.outputs.sizes import count, duration, exact_bytes, long_duration, size

MS = 1_000_000


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (48_000, "48 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (38_100_000, "38.1 MB"),
        (99_950_000, "100 MB"),
        (999_500_000, "1.0 GB"),
        (2**40, "1.1 TB"),
        (2**63, "9.2 EB"),
        (10**21, "1000 EB"),
    ],
)
def test_size(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 µs"),
        (31_400, "31 µs"),
        (400_000, "0.4 ms"),
        (3 * MS, "3.0 ms"),
        (34 * MS, "34 ms"),
        (999 * MS, "999 ms"),
        (999_500_000, "1.0 s"),
        (2_000 * MS, "2.0 s"),
        (59_000 * MS, "59 s"),
        (59_500 * MS, "1.0 min"),
        (192_000 * MS, "3.2 min"),
        (5_400_000 * MS, "1.5 h"),
    ],
)
def test_duration(duration_ns: int, text: str) -> None:
    assert duration(duration_ns) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.308, "0.31 s"),
        (2.04, "2.0 s"),
        (12.3, "12 s"),
        (59.6, "1 min 0 s"),
        (192, "3 min 12 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_long_duration(duration_s: float, text: str) -> None:
    assert long_duration(duration_s) == text


def test_counts() -> None:
    assert count(1, "process", "processes") == "1 process"
    assert count(1904, "exchange") == "1,904 exchanges"
    assert exact_bytes(49152) == "49,152 bytes"
