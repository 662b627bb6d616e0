# SPDX-License-Identifier: Apache-2.0
"""What to probe in a file that holds an OpenSSL-family library: OpenSSL, BoringSSL, AWS-LC, LibreSSL, shared or inside.

Knows the public functions, their signatures and the internal ones behind them. How code is read is targets' business;
finding the files, attaching and counting nested calls once is the session's and the kernel's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from plaintap.modules.base import CallPoint, FreePoint, Module, NotHookable, ProbePlan
from plaintap.targets.attachpoints import Form, Wrappers, cheapest_point
from plaintap.targets.version import openssl_version, sibling_libcrypto
from plaintap.targets.x86 import ARGUMENTS, Decoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plaintap.targets.elf import ElfFile
    from plaintap.targets.elfsymbols import Symbol

# Public functions and which argument receives the count (ssl.h): 0 for those that return it, 1-based for `size_t *`.
# SSL_write_ex2 (3.3) has its flags fourth. Whatever peeks is absent: it takes nothing from the stream.
_READ: Final = {"SSL_read": 0, "SSL_read_ex": 4}
_WRITE: Final = {"SSL_write": 0, "SSL_write_ex": 4, "SSL_write_ex2": 5}
# These return 1 and the count for early data too, but do it by calling the ones above: probed only where they do not.
_READ_EARLY: Final = {"SSL_read_early_data": 4}
_WRITE_EARLY: Final = {"SSL_write_early_data": 4}
_FREE: Final = "SSL_free"
# The internal functions since 1.1.1: (SSL *, buffer, size_t, size_t *) -> 1; where the linker left them a name.
# Compilers inline them into the public functions (Node is built so) while libssl's own BIO still calls them.
_READ_INTERNAL: Final = "ssl_read_internal"
_WRITE_INTERNAL: Final = "ssl_write_internal"


def plan(elf: ElfFile, path: str, *, libcrypto: str | None = None) -> ProbePlan | None:
    """What to probe in this file; None when it defines nothing of the family (it may well use it).

    `path` gives the name, and the folder in which the library's libcrypto is looked for unless it is given. Raises
    NotHookable, and TargetError for a damaged file.
    """
    # Nearly every file is done with here.
    found = elf.symbols((*_READ, *_WRITE, *_READ_EARLY, *_WRITE_EARLY, _FREE))
    if not found.keys() & {*_READ, *_WRITE}:
        return None
    internal = elf.symbols((_READ_INTERNAL, _WRITE_INTERNAL)) if "SSL_read_ex" in found else {}
    decoder = Decoder(elf)
    # The flags argument came to the internal function together with SSL_write_ex2.
    write_done = 5 if "SSL_write_ex2" in found else 4
    reads = _Direction(decoder, write=False, named=internal.get(_READ_INTERNAL), named_done=4)
    writes = _Direction(decoder, write=True, named=internal.get(_WRITE_INTERNAL), named_done=write_done)
    calls = (
        *reads.points(_forms(found, _READ), _forms(found, _READ_EARLY)),
        *writes.points(_forms(found, _WRITE), _forms(found, _WRITE_EARLY)),
    )
    version = openssl_version(elf, libcrypto or sibling_libcrypto(elf, path))
    return ProbePlan(_name(path, version), version, calls, _frees(decoder, found.get(_FREE)))


def _forms(found: Mapping[str, Symbol], signatures: Mapping[str, int]) -> list[Form]:
    return [Form(found[name], done) for name, done in signatures.items() if name in found]


def _name(path: str, version: str | None) -> str:
    file = Path(path).name
    family = version or ""
    if family[:1].isdigit() or not family:
        family = f"OpenSSL {family}".rstrip()
    if file.startswith("libssl"):
        return f"libssl {version}" if version and version[0].isdigit() else f"libssl: {family}"
    return f"{file}: {family}"


def _frees(decoder: Decoder, symbol: Symbol | None) -> tuple[FreePoint, ...]:
    if symbol is None:
        return ()
    point = cheapest_point(decoder, symbol.vaddr, size=symbol.size, arguments=ARGUMENTS[:1], returns=False)
    # Without it a session ends with its process, or when its object is seen with another socket.
    return () if point is None else (FreePoint(decoder.elf.file_offset(point.vaddr), point.why),)


class _Direction:
    """Chooses the functions to probe for reading or for writing."""

    def __init__(self, decoder: Decoder, *, write: bool, named: Symbol | None, named_done: int) -> None:
        self._decoder = decoder
        self._write = write
        self._named = named
        self._named_done = named_done
        self._internal_name = _WRITE_INTERNAL if write else _READ_INTERNAL
        self._probed: dict[int, str] = {}
        self._points: list[CallPoint] = []

    def points(self, forms: list[Form], early: list[Form]) -> list[CallPoint]:
        wrappers = Wrappers(self._decoder, forms)
        behind = wrappers.function_behind()
        if behind is not None:
            callee, names = behind
            self._add(
                callee.vaddr, callee.done_argument, self._internal_name, reason=f"called by {' and '.join(names)}"
            )
            self._probed |= {form.symbol.vaddr: form.symbol.name for form in forms if form.symbol.name in names}
        elif self._named is not None:
            reason = "called by the library's own BIO, and inlined into the public functions"
            self._add(self._named.vaddr, self._named_done, self._internal_name, reason=reason, size=self._named.size)
        for form in (*forms, *early):
            symbol = form.symbol
            if symbol.vaddr in self._probed:
                continue
            if wrappers.reaches(form, self._probed) is None:
                reason = "nothing agreed on behind it" if form in forms else "does its own work"
                self._add(symbol.vaddr, form.done_argument, symbol.name, reason=reason, size=symbol.size)
            self._probed[symbol.vaddr] = symbol.name
        return self._points

    def _add(self, vaddr: int, done_argument: int, name: str, *, reason: str, size: int = 0) -> None:
        arguments = ARGUMENTS[: max(done_argument, 3)]
        point = cheapest_point(self._decoder, vaddr, size=size, arguments=arguments, returns=True)
        if point is None:
            raise NotHookable(f"{self._decoder.elf.name} cannot be probed: no usable code at {vaddr:#x} ({name})")
        offset = self._decoder.elf.file_offset(point.vaddr)
        why = f"{name} at {vaddr:#x}, {reason}; {point.why}"
        self._points.append(CallPoint(offset, offset, self._write, done_argument, name, why))
        self._probed[vaddr] = name


OPENSSL: Final = Module(
    name="tls",
    family="openssl",
    plan=plan,
    ld_cache_prefixes=("libssl.so",),
    defines="SSL_read or SSL_write",
)
