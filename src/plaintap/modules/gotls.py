# SPDX-License-Identifier: Apache-2.0
"""What to probe in a Go program: its crypto/tls, and copies of that under other names.

Knows the functions and their signatures. How a Go program is read is targets/golang's business; goroutines, and the
buffers that move with their stacks, are the kernel's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from plaintap.modules.base import Module, NotHookable, Point, ProbePlan
from plaintap.modules.gotls_points import Placer
from plaintap.targets.golang.program import GoProgram, open_program
from plaintap.targets.golang.spots import GoSpot
from plaintap.targets.layouts.golang import NEWEST, UNKNOWN, GoLayout, layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plaintap.targets.elf import ElfFile
    from plaintap.targets.golang.pclntab import Function

_PACKAGE: Final = "crypto/tls"
_READ: Final = ".(*Conn).Read"
_WRITE: Final = ".(*Conn).Write"
_CLOSE: Final = ".(*Conn).Close"
_KEY_LOG: Final = ".(*Config).writeKeyLog"
_HANDSHAKES: Final = (".(*Conn).clientHandshake", ".(*Conn).serverHandshake")
# utls' own of some versions, instead of the Conn's: their receiver begins with a pointer to the Conn.
_AROUND: Final = {
    _READ: ".(*UConn).Read",
    _WRITE: ".(*UConn).Write",
    _HANDSHAKES[0]: ".(*UConn).clientHandshake",
}
_TAILS: Final = (_READ, _WRITE, _CLOSE, _KEY_LOG, *_HANDSHAKES, *_AROUND.values())
# Receiver and slice; receiver; receiver, string and two slices.
_DATA_ARGUMENTS, _CONN_ARGUMENTS, _KEY_LOG_ARGUMENTS = 4, 1, 9
_COPIES_MAX = 8
# Fields of tls.Conn by their names in GoLayout, with their kinds (reflect.Kind).
_UINT16, _INTERFACE, _STRING = 9, 20, 24
_FIELDS: Final = {
    "conn": ("conn", _INTERFACE),
    "vers": ("vers", _UINT16),
    "cipher_suite": ("cipherSuite", _UINT16),
    "client_protocol": ("clientProtocol", _STRING),
    "server_name": ("serverName", _STRING),
}


def plan(elf: ElfFile, path: str, /, *, other_half: str | None = None) -> ProbePlan | None:
    """What to probe in this file; None when it is no Go program.

    `path` gives the name; `other_half` means nothing here. Raises NotHookable, and TargetError for a damaged file.
    """
    del other_half
    program = open_program(elf)
    if program is None:
        return None
    name = f"{Path(path).name}: Go {program.version or 'of unknown version'}"
    packages = _packages(program)
    if not packages:
        raise NotHookable(f"{path} is a Go program without crypto/tls ({program.version or 'unknown version'})")
    placer = Placer(program)
    points: list[Point] = []
    notes = list(_notes_on_version(program))
    owner = next(iter(packages))
    for package, functions in packages.items():
        points += _points(placer, functions, foreign=package != owner)
        notes += _missing(package, functions)
    notes += placer.notes
    if not points:
        raise NotHookable(f"{path} cannot be hooked: {'; '.join(notes)}")
    layout = _layout(program, owner)
    if placer.g_tls_offset is not None:
        layout = layout._replace(g_tls_offset=placer.g_tls_offset)
    return ProbePlan(
        name=name,
        version=program.version or None,
        points=tuple(points),
        tells_ends=any(point.program == "pt_go_close" for point in points),
        go=layout,
        notes=tuple(notes),
    )


def _packages(program: GoProgram) -> dict[str, dict[str, Function]]:
    """The functions by package and tail: of crypto/tls whatever there is, of others only what is a whole copy."""
    found: dict[str, dict[str, Function]] = {}
    for function in program.functions(_PACKAGE, _TAILS):
        tail = next(tail for tail in _TAILS if function.name.endswith(tail))
        found.setdefault(function.name.removesuffix(tail), {})[tail] = function
    copies = [
        package
        for package, functions in found.items()
        if package != _PACKAGE and _KEY_LOG in functions and all(_has(functions, tail) for tail in (_READ, _WRITE))
    ]
    wanted = [package for package in (_PACKAGE, *sorted(copies)[:_COPIES_MAX]) if package in found]
    return {package: found[package] for package in wanted}


def _has(functions: Mapping[str, Function], tail: str) -> bool:
    return tail in functions or _AROUND.get(tail, "") in functions


def _forms(functions: Mapping[str, Function], tail: str, *, foreign: bool) -> Iterator[tuple[Function, GoSpot]]:
    """The functions that are this one, and what their places have in common."""
    for form in (tail, _AROUND.get(tail, "")):
        if form in functions:
            yield functions[form], GoSpot(0, foreign=foreign, indirect=form != tail)


def _points(placer: Placer, functions: Mapping[str, Function], *, foreign: bool) -> Iterator[Point]:
    for tail in (_READ, _WRITE):
        for function, what in _forms(functions, tail, foreign=foreign):
            yield from placer.call(function, what, arguments=_DATA_ARGUMENTS, write=tail == _WRITE)
    for tail, program, arguments in (
        (_CLOSE, "pt_go_close", _CONN_ARGUMENTS),
        *((handshake, "pt_go_handshake", _CONN_ARGUMENTS) for handshake in _HANDSHAKES),
        (_KEY_LOG, "pt_go_keylog", _KEY_LOG_ARGUMENTS),
    ):
        for function, what in _forms(functions, tail, foreign=foreign):
            yield from placer.once(program, function, what, arguments=arguments)


def _missing(package: str, functions: Mapping[str, Function]) -> Iterator[str]:
    """The linker leaves out what nothing calls."""
    consequences = {
        _READ: "what it reads is not seen",
        _WRITE: "what it writes is not seen",
        _CLOSE: "ends of sessions are seen late",
        _KEY_LOG: "its secrets are not seen",
    }
    for tail, consequence in consequences.items():
        if not _has(functions, tail):
            yield f"no {package}{tail} in the program, inlined or never called: {consequence}"


def _notes_on_version(program: GoProgram) -> Iterator[str]:
    if program.info.version[:2] > NEWEST:
        newest = ".".join(map(str, NEWEST))
        yield f"Go {program.version} is newer than {newest}, the newest version known: read as that one"


def _layout(program: GoProgram, package: str) -> GoLayout:
    """What the program says of this package's Conn, and the tables' word for the rest of Go's own."""
    fields = program.fields(package, "Conn")
    found = {
        ours: fields[theirs].offset
        for ours, (theirs, kind) in _FIELDS.items()
        if theirs in fields and fields[theirs].kind == kind and fields[theirs].offset < UNKNOWN
    }
    types = {"type_tcp": program.pointer_type("TCPConn"), "type_unix": program.pointer_type("UnixConn")}
    known = layout_of(program.info.version) if package == _PACKAGE else GoLayout()
    return known._replace(**found, **types, version=program.version)


def _no_carriers(_elf: ElfFile) -> tuple[Point, ...]:
    return ()


GOTLS: Final = Module(
    name="gotls",
    family="gotls",
    plan=plan,
    carriers=_no_carriers,
    ld_cache_prefixes=(),
    defines="a Go program's crypto/tls",
    path_hint="give the path of an executable that Go built; `go version FILE` tells",
)
