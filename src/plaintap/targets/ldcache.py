# SPDX-License-Identifier: Apache-2.0
"""Reads the loader's cache of shared libraries, /etc/ld.so.cache (glibc's dl-cache.h), without trust."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATH = "/etc/ld.so.cache"
_MAX_BYTES = 32 * 1024 * 1024
_OLD_MAGIC = b"ld.so-1.7.0\0"
_OLD_HEADER = struct.Struct("<12sI")
_OLD_ENTRY_BYTES = 12
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("<20sII")
_HEADER_BYTES = 48
_ENTRY = struct.Struct("<iIIIQ")
_X86_64_LIBC6 = 0x0303
"""FLAG_X8664_LIB64 | FLAG_ELF_LIBC6: 64-bit libraries, not i386 or x32 ones of the same name."""
_FLAGS = 0xFFFF


def libraries(name_prefixes: Sequence[str], *, path: str = _PATH) -> list[str]:
    """Paths of the 64-bit libraries whose names begin so, in the loader's order; none where there is no cache."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES)
    except OSError:
        return []
    return _search(data, tuple(prefix.encode() for prefix in name_prefixes))


def _search(data: bytes, prefixes: tuple[bytes, ...]) -> list[str]:
    start = _start(data)
    if start < 0 or start + _HEADER_BYTES > len(data):
        return []
    _, count, _ = _HEADER.unpack_from(data, start)
    first = start + _HEADER_BYTES
    count = min(count, (len(data) - first) // _ENTRY.size)
    entries = memoryview(data)[first : first + count * _ENTRY.size]
    paths: dict[str, None] = {}
    for flags, key, value, _, _ in _ENTRY.iter_unpack(entries):
        # Offsets count from the header of this format, also behind an old one.
        if flags & _FLAGS == _X86_64_LIBC6 and data.startswith(prefixes, start + key):
            end = data.find(b"\0", start + value, start + value + 4096)
            if end > start + value:
                paths[data[start + value : end].decode("utf-8", "surrogateescape")] = None
    return list(paths)


def _start(data: bytes) -> int:
    """Where the current format begins, which before glibc 2.32 stood behind the old one; -1 when it does not."""
    if data.startswith(_MAGIC):
        return 0
    if data.startswith(_OLD_MAGIC) and len(data) >= _OLD_HEADER.size:
        entries = int(_OLD_HEADER.unpack_from(data)[1])
        behind = (_OLD_HEADER.size + entries * _OLD_ENTRY_BYTES + 7) & ~7
        if data.startswith(_MAGIC, behind):
            return behind
    return -1
