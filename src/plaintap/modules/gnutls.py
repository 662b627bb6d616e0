# SPDX-License-Identifier: Apache-2.0
"""What to probe in a file that holds GnuTLS, shared or inside an executable with symbols.

Knows the functions and their signatures (gnutls/gnutls.h of 3.6 to 3.8). Its calls look like OpenSSL's, session, buffer
and length, so that the same programs serve it; a socket is told by what a call uses inside.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plaintap.errors import TargetError
from plaintap.modules.base import Module, NotHookable, ProbePlan
from plaintap.modules.openssl_calls import CALL_PROGRAMS
from plaintap.modules.points import call_points, entry_point
from plaintap.targets.attachpoints import Form, Wrappers
from plaintap.targets.elfbytes import X86_64
from plaintap.targets.x86 import Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plaintap.modules.base import Point
    from plaintap.targets.elf import ElfFile
    from plaintap.targets.elfsymbols import Symbol

# What others call comes first: gnutls_record_send is a jump to gnutls_record_send2, gnutls_record_send_file calls it.
# All return the count. gnutls_record_recv_packet hands out a packet of its own and is not seen.
_WRITES: Final = (
    "gnutls_record_send2",
    "gnutls_record_send",
    "gnutls_record_send_range",
    "gnutls_record_send_early_data",
)
_READS: Final = ("gnutls_record_recv", "gnutls_record_recv_seq", "gnutls_record_recv_early_data")
# (gnutls_session_t *, unsigned) and (gnutls_session_t)
_LIFE: Final = {"gnutls_init": ("pt_session_new", 0), "gnutls_deinit": ("pt_session_free", 1)}
_HANDSHAKE: Final = "gnutls_handshake"
_HANDSHAKE_PROGRAMS: Final = ("pt_handshake_enter", "pt_handshake_return")
_UNCORK: Final = "gnutls_record_uncork"
_UNCORK_PROGRAMS: Final = ("pt_uncork_enter", "pt_uncork_return")
_NAMES: Final = (*_WRITES, *_READS, *_LIFE, _HANDSHAKE, _UNCORK)
_VERSION_TEXT: Final = re.compile(rb"\0(3\.\d{1,2}\.\d{1,2})(?=\0)")
_CHUNK_BYTES: Final = 1 << 20
_LONGEST_BYTES: Final = 16
_SEARCH_MAX_BYTES: Final = 64 << 20


def plan(elf: ElfFile, path: str, /, *, other_half: str | None = None) -> ProbePlan | None:
    """What to probe in this file; None when it defines nothing of GnuTLS (it may well use it).

    Raises NotHookable, and TargetError for a damaged file.
    """
    del other_half
    if elf.machine != X86_64:
        raise TargetError(f"{elf.name} is for another architecture than x86-64: of those only Go programs are captured")
    found = elf.symbols(_NAMES)
    if not found.keys() & {"gnutls_record_send", "gnutls_record_recv"}:
        return None
    decoder = Decoder(elf)
    points = (
        *_data_points(decoder, found, _WRITES, write=True),
        *_data_points(decoder, found, _READS, write=False),
        *_handshake_points(decoder, found),
        *_cork_points(decoder, found),
        *_life_points(decoder, found),
    )
    version = _version(elf)
    return ProbePlan(
        name=_name(path, version),
        version=f"GnuTLS {version}" if version else None,
        points=points,
        tells_ends=any(point.program == "pt_session_free" for point in points),
        calibrated=False,
    )


def _data_points(
    decoder: Decoder, found: Mapping[str, Symbol], names: tuple[str, ...], *, write: bool
) -> Iterator[Point]:
    forms = [Form(found[name], 0) for name in names if name in found]
    wrappers = Wrappers(decoder, forms)
    probed: dict[int, str] = {}
    for form in forms:
        symbol = form.symbol
        if symbol.vaddr in probed or wrappers.reaches(form, probed) is not None:
            continue
        points = call_points(decoder, CALL_PROGRAMS, symbol, arguments=3, write=write, gnutls=True)
        if not points:
            raise NotHookable(
                f"{decoder.elf.name}: seen, not hookable, "
                f"because there is no usable code at {symbol.vaddr:#x} ({symbol.name})"
            )
        yield from points
        probed[symbol.vaddr] = symbol.name


def _handshake_points(decoder: Decoder, found: Mapping[str, Symbol]) -> tuple[Point, ...]:
    handshake = found.get(_HANDSHAKE)
    return call_points(decoder, _HANDSHAKE_PROGRAMS, handshake, arguments=1, gnutls=True) if handshake else ()


def _cork_points(decoder: Decoder, found: Mapping[str, Symbol]) -> tuple[Point, ...]:
    """What is sent while a session is corked is accepted at once, and goes when it is uncorked: that is not new."""
    uncork = found.get(_UNCORK)
    return call_points(decoder, _UNCORK_PROGRAMS, uncork, arguments=1, write=True) if uncork else ()


def _life_points(decoder: Decoder, found: Mapping[str, Symbol]) -> Iterator[Point]:
    for name, (program, arguments) in _LIFE.items():
        if name in found:
            yield from entry_point(decoder, program, found[name], arguments=arguments)


def _version(elf: ElfFile) -> str | None:
    """What gnutls_check_version returns: the one text of that form among the constants."""
    versions: set[bytes] = set()
    for offset, size in elf.read_only_data():
        for _, chunk in elf.chunks(
            offset, min(size, _SEARCH_MAX_BYTES), chunk_bytes=_CHUNK_BYTES, overlap_bytes=_LONGEST_BYTES
        ):
            versions |= set(_VERSION_TEXT.findall(chunk))
    return versions.pop().decode() if len(versions) == 1 else None


def _name(path: str, version: str | None) -> str:
    file = Path(path).name
    if file.startswith("libgnutls"):
        return f"libgnutls {version}" if version else "libgnutls"
    return f"{file}: GnuTLS {version}" if version else f"{file}: GnuTLS"


def _no_carriers(_elf: ElfFile) -> tuple[Point, ...]:
    return ()


GNUTLS: Final = Module(
    name="gnutls",
    family="gnutls",
    plan=plan,
    carriers=_no_carriers,
    ld_cache_prefixes=("libgnutls.so",),
    defines="gnutls_record_send or gnutls_record_recv",
    path_hint="give the path of a libgnutls or of an executable that contains GnuTLS",
)
