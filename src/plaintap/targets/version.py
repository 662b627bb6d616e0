# SPDX-License-Identifier: Apache-2.0
"""Tells which OpenSSL-family library a file holds, from its version string; nothing of the target is run.

The string is in the constants of libcrypto (and of libssl up to 1.1.1), or of the program the library is linked into.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from plaintap.errors import TargetError
from plaintap.targets.elf import ElfFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1024 * 1024
_LONGEST_BYTES = 128
_SEARCH_MAX_BYTES = 256 * 1024 * 1024
_CANDIDATES_MAX = 100_000
# opensslv.h's OPENSSL_VERSION_TEXT, with the date that tells it from mentions in messages ("-dev" builds have none);
# BoringSSL and AWS-LC call themselves compatible with 1.1.1.
_TEXT = re.compile(
    rb"OpenSSL (?:"
    rb"\d\.\d\.\d \(compatible; (?P<other>BoringSSL|AWS-LC [\d.]{1,20})\)"
    rb"|(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2}[a-z]{0,2}(?:[-+][\w.+-]{1,32})?)"
    rb"(?: {1,2}\d{1,2} [A-Z][a-z]{2} \d{4}| ?\0)"
    rb")|(?P<libressl>LibreSSL \d{1,2}\.\d{1,2}\.\d{1,2})\0"
)
# What all of them have in common, and how long the name goes on before it.
_MARK = b"SSL "
_BEFORE_MARK = (len("Open"), len("Libre"))
# Part of BoringSSL's and AWS-LC's interface and of no other's.
_BORINGSSL_FUNCTION = "SSL_CTX_set_grease_enabled"


def openssl_version(elf: ElfFile, libcrypto: str | None = None) -> str | None:
    """`3.0.16`, `1.1.1w`, `BoringSSL`, `AWS-LC 1.30.0`, `LibreSSL 3.8.2`; None when there is no telling.

    `libcrypto` is the path of the library's other half, where the string is since OpenSSL 3.0.
    """
    version = _search(elf)
    if version is None and libcrypto is not None:
        try:
            with ElfFile(libcrypto) as other:
                version = _search(other)
        except TargetError:
            version = None
    if version is None and elf.symbols((_BORINGSSL_FUNCTION,)):
        return "BoringSSL"
    return version


def sibling_libcrypto(elf: ElfFile, path: str) -> str | None:
    """The libcrypto that the file at this path asks for, where it lies beside it."""
    for name in elf.needed():
        if name.startswith("libcrypto") and "/" not in name and "\0" not in name:
            sibling = Path(path).parent / name
            return str(sibling) if sibling.is_file() else None
    return None


def _search(elf: ElfFile) -> str | None:
    for match in _matches(elf):
        text = match["version"] or match["other"] or match["libressl"]
        return text.decode("ascii", "replace")
    return None


def _matches(elf: ElfFile) -> Iterator[re.Match[bytes]]:
    candidates, left = 0, _SEARCH_MAX_BYTES
    for offset, size in elf.read_only_data():
        stretch = min(size, left)
        left -= stretch
        for _, chunk in elf.chunks(offset, stretch, chunk_bytes=_CHUNK_BYTES, overlap_bytes=_LONGEST_BYTES):
            at = chunk.find(_MARK)
            while at >= 0 and candidates < _CANDIDATES_MAX:
                candidates += 1
                for before in _BEFORE_MARK:
                    match = _TEXT.match(chunk, max(at - before, 0))
                    if match:
                        yield match
                at = chunk.find(_MARK, at + len(_MARK))
