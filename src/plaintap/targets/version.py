# SPDX-License-Identifier: Apache-2.0
"""Tells which OpenSSL-family library a file holds; nothing of the target is run.

Any file may mention versions that are not its own: a client's "tested with", another library embedded as data. So the
evidence is weighed, the strongest first:

1. Functions that only BoringSSL and AWS-LC have. Whoever defines one is no OpenSSL, whatever the strings say.
2. The number that `OpenSSL_version_num` returns, read from its code. A string must agree with it; where none does the
   number itself is the version. What it cannot tell, a suffix such as `+quic`, only the string does.
3. The version string of opensslv.h with its date: one that stands alone, else one at the end of a longer string
   ("SSLv3 part of OpenSSL 1.0.2q …"). In the midst of a sentence it is a sentence about OpenSSL.

Where two versions are left there is no telling. The string and the function are in libcrypto, or in the program the
library is linked into; up to 1.0.2 libssl has the string too.
"""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plaintap.errors import TargetError
from plaintap.targets.elf import ElfFile
from plaintap.targets.layouts.releases import OPENSSL, parse_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plaintap.targets.elfsymbols import Symbol

BORINGSSL: Final = "BoringSSL"
AWS_LC: Final = "AWS-LC"
LIBRESSL: Final = "LibreSSL"

_CHUNK_BYTES = 1024 * 1024
_LONGEST_BYTES = 160
_SEARCH_MAX_BYTES = 256 * 1024 * 1024
_CANDIDATES_MAX = 100_000
# opensslv.h's OPENSSL_VERSION_TEXT. Development states may lack the date; some distributions put a word before it or
# behind. BoringSSL and AWS-LC call themselves compatible with 1.1.1.
_TEXT = re.compile(
    rb"OpenSSL (?:"
    rb"\d\.\d\.\d \(compatible; (?P<other>BoringSSL|AWS-LC (?:FIPS )?[\d.]{1,20})\)"
    rb"|(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2}[a-z]{0,2}(?:[-+][\w.+-]{1,32})?)(?: \(beta\))?(?: {1,2}FIPS)?"
    rb"(?: {1,2}\d{1,2} [A-Za-z]{3} \d{4}(?: SUSE release [\w.-]{1,32})?|(?<=-dev) ?)"
    rb")\0|(?P<libressl>LibreSSL \d{1,2}\.\d{1,2}\.\d{1,2})\0"
)
# What all of them have in common, and how long the name goes on before it.
_MARK = b"SSL "
_BEFORE_MARK = (len("Open"), len("Libre"))
_BORINGSSL_ONLY: Final = ("SSL_CTX_set_grease_enabled", "SSL_get_cipher_by_value", "SSL_SESSION_from_bytes")
_AWS_LC_ONLY: Final = "awslc_api_version_num"
LOG_SECRET_OF_BORINGSSL: Final = "_ZN4bssl*14ssl_log_secretE*"
"""The linker may have left nothing else of BoringSSL that tells it; the strings may be of something else."""
_NUMBER_FUNCTIONS: Final = ("OpenSSL_version_num", "SSLeay")
TELLING_FUNCTIONS: Final = (*_BORINGSSL_ONLY, _AWS_LC_ONLY, LOG_SECRET_OF_BORINGSSL, *_NUMBER_FUNCTIONS)
# [endbr64] [push rbp; mov rbp, rsp] mov eax (or rax), number [pop rbp] ret
_NUMBER_CODE = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?(?:\x55\x48\x89\xe5)?(?:\xb8|\x48\xc7\xc0)(....)\x5d?\xc3", re.DOTALL)
_NUMBER_CODE_BYTES = 24
_STATUS_BITS = 0xF
_LIBRESSL_NUMBER = 0x20000000


def openssl_version(
    elf: ElfFile, libcrypto: str | None = None, *, found: Mapping[str, Symbol] | None = None
) -> str | None:
    """`3.0.16`, `1.1.1v+quic`, `BoringSSL`, `AWS-LC 1.30.0`, `LibreSSL 3.8.2`; None when there is no telling.

    `libcrypto` is the path of the library's other half, for where the file itself does not tell. Who has looked up
    `TELLING_FUNCTIONS` already gives what was `found`: the tables of a large program take their time.
    """
    version = _tell(elf, elf.symbols(TELLING_FUNCTIONS) if found is None else found)
    # The name of AWS-LC is in its libcrypto; by libssl's functions it is a BoringSSL.
    if libcrypto is None or version not in (None, BORINGSSL):
        return version
    try:
        with ElfFile(libcrypto) as other:
            others = _tell(other, other.symbols(TELLING_FUNCTIONS))
    except TargetError:
        return version
    return others if version is None or (others or "").startswith(AWS_LC) else version


def sibling_libcrypto(elf: ElfFile, path: str) -> str | None:
    """The libcrypto that the file at this path asks for, where it lies beside it."""
    for name in elf.needed():
        if name.startswith("libcrypto") and "/" not in name and "\0" not in name:
            sibling = Path(path).parent / name
            return str(sibling) if sibling.is_file() else None
    return None


def _tell(elf: ElfFile, found: Mapping[str, Symbol]) -> str | None:
    if found.keys() & {*_BORINGSSL_ONLY, _AWS_LC_ONLY, LOG_SECRET_OF_BORINGSSL}:
        version = _only(elf, lambda text: text.startswith((BORINGSSL, AWS_LC)), any_will_do=True)
        return version or (AWS_LC if _AWS_LC_ONLY in found else BORINGSSL)
    symbol = next((found[name] for name in _NUMBER_FUNCTIONS if name in found), None)
    code = _NUMBER_CODE.match(elf.read(symbol.vaddr, _NUMBER_CODE_BYTES)) if symbol else None
    if code is None:
        return _only(elf, lambda _: True)
    number = int.from_bytes(code[1], "little")
    if number == _LIBRESSL_NUMBER:
        return _only(elf, lambda text: text.startswith(LIBRESSL), any_will_do=True) or LIBRESSL
    return _only(elf, lambda text: _agrees(text, number), any_will_do=True) or _version_of(number)


def _agrees(text: str, number: int) -> bool:
    """Whether the string names what the function returns. BoringSSL and AWS-LC return some number of 1.1.1's."""
    if text.startswith((BORINGSSL, AWS_LC)):
        return number >> 12 == 0x10101
    release = parse_release(text)
    if release is None or release.family != OPENSSL:
        return False
    major, minor, fix = release.numbers
    if major < 3:
        letter = 1 + string.ascii_lowercase.index(release.letter[0]) if release.letter else 0
        expected = major << 28 | minor << 20 | fix << 12 | letter << 4
    else:
        expected = major << 28 | minor << 20 | fix << 4
    return (number ^ expected) & ~_STATUS_BITS == 0


def _version_of(number: int) -> str | None:
    """The version in OPENSSL_VERSION_NUMBER: 0xMNNFFPPS up to 1.1.1 (PP is the letter), 0xMNN00PPS since 3.0."""
    major, minor, fix, patch = number >> 28, number >> 20 & 0xFF, number >> 12 & 0xFF, number >> 4 & 0xFF
    if major >= 3:
        return f"{major}.{minor}.{patch}" if fix == 0 else None
    if major != 1 or patch > len(string.ascii_lowercase):
        return None
    return f"{major}.{minor}.{fix}{string.ascii_lowercase[patch - 1] if patch else ''}"


def _only(elf: ElfFile, wanted: Callable[[str], bool], *, any_will_do: bool = False) -> str | None:
    """The one version among the file's strings that is wanted, one that stands alone before others.

    None when there are several, unless `any_will_do`, which also spares reading the rest.
    """
    alone: set[str] = set()
    at_the_end: set[str] = set()
    for stands_alone, text in _matches(elf):
        if wanted(text):
            (alone if stands_alone else at_the_end).add(text)
            if any_will_do and stands_alone:
                return text
    versions = alone or at_the_end
    return versions.pop() if len(versions) == 1 else None


def _matches(elf: ElfFile) -> Iterator[tuple[bool, str]]:
    candidates, left = 0, _SEARCH_MAX_BYTES
    for offset, size in elf.read_only_data():
        stretch = min(size, left)
        left -= stretch
        for begin, chunk in elf.chunks(offset, stretch, chunk_bytes=_CHUNK_BYTES, overlap_bytes=_LONGEST_BYTES):
            mark = chunk.find(_MARK)
            while mark >= 0 and candidates < _CANDIDATES_MAX:
                candidates += 1
                for before in _BEFORE_MARK:
                    at = mark - before
                    # What begins a chunk was seen at the end of the one before, together with what is before it.
                    match = _TEXT.match(chunk, at) if at > 0 or (at == 0 and begin == 0) else None
                    if match:
                        text = match["version"] or match["other"] or match["libressl"]
                        yield at == 0 or chunk[at - 1] == 0, text.decode("ascii")
                mark = chunk.find(_MARK, mark + len(_MARK))
