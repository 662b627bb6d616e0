# SPDX-License-Identifier: Apache-2.0
"""Sizes, counts and durations for people: `1.2 kB`, `34 ms`, `3 min 12 s`; powers of 1000."""

from __future__ import annotations

_UNITS = ("MB", "GB", "TB", "PB", "EB")
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def size(size_bytes: int) -> str:
    """`17 B`, `1.2 kB`, `48 kB`, `38.1 MB`."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 9_950:
        return f"{size_bytes / 1000:.1f} kB"
    if size_bytes < 999_500:
        return f"{size_bytes / 1000:.0f} kB"
    value = size_bytes / 1_000_000
    for unit in _UNITS:
        if value < 99.95:
            return f"{value:.1f} {unit}"
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}"


def exact_bytes(size_bytes: int) -> str:
    """`1 byte`, `49,152 bytes`: for losses, which are never rounded."""
    return count(size_bytes, "byte")


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 record`, `1,904 exchanges`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(duration_ns: int) -> str:
    """At most seven characters up to 99 hours: `31 µs`, `0.4 ms`, `34 ms`, `2.0 s`, `59 s`, `3.2 min`, `1.5 h`."""
    if duration_ns < 99_500:
        return f"{duration_ns / 1000:.0f} µs"
    if duration_ns < 9_950_000:
        return f"{duration_ns / NS_PER_MS:.1f} ms"
    if duration_ns < 999_500_000:
        return f"{duration_ns / NS_PER_MS:.0f} ms"
    seconds = duration_ns / NS_PER_S
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 59.95 else f"{minutes / 60:.1f} h"


def long_duration(duration_s: float) -> str:
    """`0.31 s`, `12 s`, `3 min 12 s`, `2 h 05 min`."""
    if duration_s < 9.95:
        return f"{duration_s:.1f} s" if duration_s >= 1 else f"{duration_s:.2f} s"
    seconds = round(duration_s)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
