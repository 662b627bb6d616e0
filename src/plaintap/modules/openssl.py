# SPDX-License-Identifier: Apache-2.0
"""What to probe in a file that holds an OpenSSL-family library: OpenSSL, BoringSSL, AWS-LC, LibreSSL, shared or inside.

Knows the functions and their signatures. How code is read is targets' business; finding the files, attaching and
counting nested calls once is the session's and the kernel's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from plaintap.errors import TargetError
from plaintap.modules.base import Module, ProbePlan
from plaintap.modules.openssl_calls import Direction
from plaintap.modules.openssl_signs import check_for_hidden_library
from plaintap.modules.points import call_points, entry_or_callers, entry_point
from plaintap.targets.attachpoints import Form, Wrappers
from plaintap.targets.elfbytes import X86_64
from plaintap.targets.elfsymbols import Symbol
from plaintap.targets.references import function_called_with
from plaintap.targets.version import (
    LOG_SECRET_OF_BORINGSSL,
    TELLING_FUNCTIONS,
    openssl_version,
    sibling_libcrypto,
)
from plaintap.targets.x86 import Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plaintap.modules.base import Point
    from plaintap.targets.elf import ElfFile

# Public functions and which argument receives the count (ssl.h): 0 for those that return it, 1-based for `size_t *`.
# SSL_write_ex2 (3.3) has its flags fourth. Whatever peeks is absent: it takes nothing from the stream.
_READ: Final = {"SSL_read": 0, "SSL_read_ex": 4}
_WRITE: Final = {"SSL_write": 0, "SSL_write_ex": 4, "SSL_write_ex2": 5}
# These return 1 and the count for early data too, but do it by calling the ones above: probed only where they do not.
_READ_EARLY: Final = {"SSL_read_early_data": 4}
_WRITE_EARLY: Final = {"SSL_write_early_data": 4}
# The internal functions since 1.1.1: (SSL *, buffer, size_t, size_t *) -> 1; where the linker left them a name.
# Compilers inline them into the public functions (Node is built so) while libssl's own BIO still calls them.
_READ_INTERNAL: Final = "ssl_read_internal"
_WRITE_INTERNAL: Final = "ssl_write_internal"
# These two call the first, but up to 1.0.2, and where it is inlined into them: probed only there.
_HANDSHAKE: Final = "SSL_do_handshake"
_HANDSHAKE_FORMS: Final = ("SSL_connect", "SSL_accept")
_HANDSHAKE_PROGRAMS: Final = ("pt_handshake_enter", "pt_handshake_return")
# The program at a session's beginning, its reuse and its end, and how many arguments it looks at.
_LIFE: Final = {
    "SSL_new": ("pt_session_new", 0),
    "SSL_clear": ("pt_session_clear", 1),
    "SSL_free": ("pt_session_free", 1),
}
# Where a program sets the name of the server: an SSL_ctrl, or BoringSSL's own function.
_NAMES_OF_SERVERS: Final = {"SSL_ctrl": ("pt_ctrl", 4), "SSL_set_tlsext_host_name": ("pt_server_name", 2)}
# (SSL *, const char *label, const uint8_t *secret, size_t) since 1.1.1, called whether or not anybody logs. BoringSSL's
# has a Span for the last two, which comes in the same registers, and may be in an inline namespace.
_LOG_SECRET: Final = "ssl_log_secret"
_LOG_PROGRAM: Final = "pt_secret_log"
_LABELS: Final = (
    b"CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    b"SERVER_HANDSHAKE_TRAFFIC_SECRET",
    b"CLIENT_TRAFFIC_SECRET_0",
    b"SERVER_TRAFFIC_SECRET_0",
    b"EXPORTER_SECRET",
    b"EARLY_EXPORTER_SECRET",
    b"CLIENT_RANDOM",
)
# libcrypto's, through which the bytes of a session over memory go: (BIO *, buffer, int).
_BIO_WRITE: Final = "BIO_write"
_BIO_READ: Final = "BIO_read"
_BIO_READS: Final = {_BIO_READ: 0, "BIO_read_ex": 4}
_BIO_READ_PROGRAMS: Final = ("pt_bio_read_enter", "pt_bio_read_return")

_NAMES: Final = (
    *(*_READ, *_WRITE, *_READ_EARLY, *_WRITE_EARLY, _READ_INTERNAL, _WRITE_INTERNAL),
    *(_HANDSHAKE, *_HANDSHAKE_FORMS, *_LIFE, *_NAMES_OF_SERVERS, _LOG_SECRET, _BIO_WRITE, *_BIO_READS),
    *TELLING_FUNCTIONS,
)


def plan(elf: ElfFile, path: str, /, *, other_half: str | None = None) -> ProbePlan | None:
    """What to probe in this file; None when it defines nothing of the family (it may well use it).

    `path` gives the name, and the folder in which the library's libcrypto, its other half, is looked for unless it is
    given. Raises NotHookable, and TargetError for a damaged file.
    """
    _check_machine(elf)
    # All names in one go, since the tables of a large program take their time. Nearly every file is done with here.
    found = elf.symbols(_NAMES)
    if not found.keys() & {*_READ, *_WRITE}:
        check_for_hidden_library(elf, path, looked_for=(*_READ, *_WRITE))
        return None
    decoder = Decoder(elf)
    life = tuple(_life_points(decoder, found))
    points = (
        *_data_points(decoder, found),
        *_handshake_points(decoder, found),
        *life,
        *_name_points(decoder, found),
        *_secret_points(decoder, found),
    )
    version = openssl_version(elf, other_half or sibling_libcrypto(elf, path), found=found)
    needs = sorted(elf.needed(), key=lambda name: "crypto" not in name)
    return ProbePlan(
        name=_name(path, version),
        version=version,
        points=points,
        tells_ends=any(point.program == "pt_session_free" for point in life),
        carriers=_carriers(decoder, found),
        needs=tuple(needs),
        other_half=next((name for name in needs if "crypto" in name), ""),
    )


def carriers(elf: ElfFile) -> tuple[Point, ...]:
    """The points in a libcrypto: where a library beside it hands its bytes over; none in anything else."""
    _check_machine(elf)
    return _carriers(Decoder(elf), elf.symbols((_BIO_WRITE, *_BIO_READS)))


def _check_machine(elf: ElfFile) -> None:
    if elf.machine != X86_64:
        raise TargetError(f"{elf.name} is for another architecture than x86-64: of those only Go programs are captured")


def _data_points(decoder: Decoder, found: Mapping[str, Symbol]) -> list[Point]:
    has_internal = "SSL_read_ex" in found
    # The flags argument came to the internal function together with SSL_write_ex2.
    write_done = 5 if "SSL_write_ex2" in found else 4
    read_named = found.get(_READ_INTERNAL) if has_internal else None
    write_named = found.get(_WRITE_INTERNAL) if has_internal else None
    reads = Direction(decoder, _READ_INTERNAL, write=False, named=read_named, named_done=4)
    writes = Direction(decoder, _WRITE_INTERNAL, write=True, named=write_named, named_done=write_done)
    return [
        *reads.points(_forms(found, _READ), _forms(found, _READ_EARLY)),
        *writes.points(_forms(found, _WRITE), _forms(found, _WRITE_EARLY)),
    ]


def _forms(found: Mapping[str, Symbol], signatures: Mapping[str, int]) -> list[Form]:
    return [Form(found[name], done) for name, done in signatures.items() if name in found]


def _handshake_points(decoder: Decoder, found: Mapping[str, Symbol]) -> Iterator[Point]:
    main = found.get(_HANDSHAKE)
    probed: dict[int, str] = {}
    if main is not None:
        yield from call_points(decoder, _HANDSHAKE_PROGRAMS, main, arguments=1)
        probed[main.vaddr] = main.name
    forms = [Form(found[name], 0) for name in _HANDSHAKE_FORMS if name in found]
    wrappers = Wrappers(decoder, forms)
    for form in forms:
        if form.symbol.vaddr not in probed and wrappers.reaches(form, probed) is None:
            reason = f"does not call {_HANDSHAKE}"
            yield from call_points(decoder, _HANDSHAKE_PROGRAMS, form.symbol, arguments=1, reason=reason)


def _life_points(decoder: Decoder, found: Mapping[str, Symbol]) -> Iterator[Point]:
    """Without the last a session ends with its process, or when its object is seen with another socket."""
    for name, (program, arguments) in _LIFE.items():
        if name in found:
            yield from entry_point(decoder, program, found[name], arguments=arguments)


def _name_points(decoder: Decoder, found: Mapping[str, Symbol]) -> Iterator[Point]:
    for name, (program, arguments) in _NAMES_OF_SERVERS.items():
        if name in found:
            yield from entry_point(decoder, program, found[name], arguments=arguments)


def _secret_points(decoder: Decoder, found: Mapping[str, Symbol]) -> tuple[Point, ...]:
    named = next((found[name] for name in (_LOG_SECRET, LOG_SECRET_OF_BORINGSSL) if name in found), None)
    if named is not None:
        return entry_or_callers(decoder, _LOG_PROGRAM, named._replace(name=_LOG_SECRET), arguments=4)
    vaddr = function_called_with(decoder, _LABELS)
    if vaddr is None:
        return ()
    function = Symbol(_LOG_SECRET, vaddr, decoder.elf.file_offset(vaddr), 0)
    reason = "which gets the labels of the key log"
    return entry_or_callers(decoder, _LOG_PROGRAM, function, arguments=4, reason=reason)


def _carriers(decoder: Decoder, found: Mapping[str, Symbol]) -> tuple[Point, ...]:
    if _BIO_WRITE not in found or _BIO_READ not in found:
        return ()
    return (
        *entry_point(decoder, "pt_bio_write", found[_BIO_WRITE], arguments=3),
        *_taking_points(decoder, found),
    )


def _taking_points(decoder: Decoder, found: Mapping[str, Symbol]) -> tuple[Point, ...]:
    """At the function behind BIO_read and BIO_read_ex where they have one: BIO_read itself is a dear place."""
    behind = Wrappers(decoder, _forms(found, _BIO_READS)).function_behind()
    if behind is None:
        return call_points(decoder, _BIO_READ_PROGRAMS, found[_BIO_READ], arguments=3)
    (vaddr, done), names = behind
    function = Symbol("bio_read_intern", vaddr, decoder.elf.file_offset(vaddr), 0)
    reason = f"called by {' and '.join(names)}"
    return call_points(decoder, _BIO_READ_PROGRAMS, function, arguments=done, done_argument=done, reason=reason)


def _name(path: str, version: str | None) -> str:
    file = Path(path).name
    family = version or ""
    if family[:1].isdigit() or not family:
        family = f"OpenSSL {family}".rstrip()
    if file.startswith("libssl"):
        return f"libssl {version}" if version and version[0].isdigit() else f"libssl: {family}"
    return f"{file}: {family}"


OPENSSL: Final = Module(
    name="tls",
    family="openssl",
    plan=plan,
    carriers=carriers,
    ld_cache_prefixes=("libssl.so",),
    defines="SSL_read or SSL_write",
    path_hint="give the path of a libssl or of an executable that contains OpenSSL",
)
