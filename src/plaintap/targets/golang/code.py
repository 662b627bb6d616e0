# SPDX-License-Identifier: Apache-2.0
"""The code of a Go program's functions, whatever the architecture: where calls of them begin and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from plaintap.targets.elfbytes import AARCH64
from plaintap.targets.golang import amd64, arm64
from plaintap.targets.golang.exits import find_exits
from plaintap.targets.golang.pclntab import GO_1_16
from plaintap.targets.x86 import Decoder

if TYPE_CHECKING:
    from plaintap.targets.golang.pclntab import Function
    from plaintap.targets.golang.program import GoProgram
    from plaintap.targets.golang.spots import Entry, Exit
    from plaintap.targets.x86 import Instruction

_FUNCTION_MAX_BYTES: Final = 64 * 1024
"""Larger ones are not looked into; crypto/tls has none a tenth of that."""
_REGISTERS_ON_ARM: Final = (1, 18)
"""The first version that passes arguments in registers there; on x86-64 the code tells."""


class Code(Protocol):
    """Functions `(receiver, slice) (n, error)` and others, by their places."""

    def entry(self, function: Function, *, arguments: int, once: bool) -> Entry | None:
        """Where a call is seen, once or again after the stack has grown; None when the code is unlike Go's."""

    def exits(self, function: Function, entry: Entry, *, write: bool) -> list[Exit]:
        """Where returns are seen: every call passes one of them. None when the code is unlike Go's."""


def code_of(program: GoProgram) -> Code:
    """Of this program's architecture."""
    return _ArmCode(program) if program.elf.machine == AARCH64 else _X86Code(program)


class _X86Code:
    def __init__(self, program: GoProgram) -> None:
        self._decoder = Decoder(program.elf)
        self._names = program.name_at

    def entry(self, function: Function, *, arguments: int, once: bool) -> Entry | None:
        if function.size > _FUNCTION_MAX_BYTES:
            return None
        size = min(function.size, amd64.PROLOGUE_MAX_BYTES)
        begin = tuple(self._decoder.decode(function.vaddr, size))
        return amd64.find_entry(begin, arguments=arguments, once=once)

    def exits(self, function: Function, entry: Entry, *, write: bool) -> list[Exit]:
        body = self._body(function)
        if not body or amd64.leaves_otherwise(body):
            return []
        spilled = entry.stack_abi or amd64.keeps_arguments(body)
        exits = find_exits(body, stack_abi=entry.stack_abi, write=write, names=self._names)
        return [each._replace(spot=each.spot._replace(spilled=spilled)) for each in exits]

    def _body(self, function: Function) -> tuple[Instruction, ...]:
        """The whole function; empty when not all of it is code."""
        if function.size > _FUNCTION_MAX_BYTES:
            return ()
        body = tuple(self._decoder.decode(function.vaddr, function.size))
        return body if body and body[-1].end == function.vaddr + function.size else ()


class _ArmCode:
    def __init__(self, program: GoProgram) -> None:
        self._elf = program.elf
        version = program.info.version
        self._stack_abi = version < _REGISTERS_ON_ARM if version else program.table_magic >= GO_1_16

    def entry(self, function: Function, *, arguments: int, once: bool) -> Entry | None:
        del arguments  # a stack check leaves all of them alone
        return arm64.find_entry(function.vaddr, self._body(function), stack_abi=self._stack_abi, once=once)

    def exits(self, function: Function, entry: Entry, *, write: bool) -> list[Exit]:
        del write  # a return is emulated there: no other place is better
        return arm64.find_exits(function.vaddr, self._body(function), stack_abi=entry.stack_abi)

    def _body(self, function: Function) -> tuple[int, ...]:
        size = function.size if function.size <= _FUNCTION_MAX_BYTES else 0
        return arm64.decode(self._elf.read(function.vaddr, size))
