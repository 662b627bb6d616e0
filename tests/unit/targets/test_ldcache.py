# SPDX-License-Identifier: Apache-2.0
"""The loader's cache, in both layouts, of several architectures, and damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaintap.targets.ldcache import libraries

X86_64, I386, X32 = 0x0303, 0x0003, 0x0803
ENTRIES = [
    (X86_64, "libssl.so.3", "/lib/x86_64-linux-gnu/libssl.so.3"),
    (I386, "libssl.so.3", "/lib/i386-linux-gnu/libssl.so.3"),
    (X32, "libssl.so.3", "/libx32/libssl.so.3"),
    (X86_64, "libssl.so.1.1", "/opt/old/libssl.so.1.1"),
    (X86_64, "libssl.so", "/lib/x86_64-linux-gnu/libssl.so.3"),
    (X86_64, "libssl3.so", "/lib/x86_64-linux-gnu/libssl3.so"),
    (X86_64, "libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6"),
]


def cache(entries: list[tuple[int, str, str]], *, old_entries: int | None = None) -> bytes:
    old = b""
    if old_entries is not None:
        old = b"ld.so-1.7.0\0" + struct.pack("<I", old_entries) + bytes(12 * old_entries)
        old += bytes(-len(old) % 8)
    strings, rows = b"", b""
    start = 48 + 24 * len(entries)
    for flags, name, path in entries:
        at = start + len(strings)
        strings += name.encode() + b"\0" + path.encode() + b"\0"
        rows += struct.pack("<iIIIQ", flags, at, at + len(name) + 1, 0, 0)
    header = struct.pack("<20sIIB3xI12x", b"glibc-ld.so.cache1.1", len(entries), len(strings), 2, 0)
    return old + header + rows + strings


@pytest.mark.parametrize("old_entries", [None, 0, 3, 4])
def test_64_bit_libraries_of_that_name_once(tmp_path: Path, old_entries: int | None) -> None:
    path = tmp_path / "ld.so.cache"
    path.write_bytes(cache(ENTRIES, old_entries=old_entries))
    assert libraries(("libssl.so",), path=str(path)) == ["/lib/x86_64-linux-gnu/libssl.so.3", "/opt/old/libssl.so.1.1"]
    assert libraries(("libc.so", "libm.so"), path=str(path)) == ["/lib/x86_64-linux-gnu/libc.so.6"]
    assert libraries((), path=str(path)) == []


def test_no_cache() -> None:
    assert libraries(("libssl.so",), path="/no/such/cache") == []


@pytest.mark.parametrize("content", [b"", b"ld.so-1.7.0\0", b"ld.so-1.7.0\0\xff\xff\xff\xff", b"glibc-ld.so.cache1.1"])
def test_too_short(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ld.so.cache"
    path.write_bytes(content)
    assert libraries(("libssl.so",), path=str(path)) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 260), value=st.binary(min_size=1, max_size=8), length=st.integers(0, 700))
def test_damaged_caches_give_a_list(tmp_path: Path, at: int, value: bytes, length: int) -> None:
    content = bytearray(cache(ENTRIES, old_entries=2))
    content[at : at + len(value)] = value
    path = tmp_path / "ld.so.cache"
    path.write_bytes(content[:length])
    assert all(isinstance(library, str) for library in libraries(("libssl.so",), path=str(path)))
