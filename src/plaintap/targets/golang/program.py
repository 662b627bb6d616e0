# SPDX-License-Identifier: Apache-2.0
"""One Go program, opened: its version, its functions, its types, each found when asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from plaintap.errors import TargetError
from plaintap.targets.golang.buildinfo import BuildInfo, build_info
from plaintap.targets.golang.moduledata import Module, find_module
from plaintap.targets.golang.pclntab import Function, Functions, FunctionTable, find_table
from plaintap.targets.golang.pointers import Pointers
from plaintap.targets.golang.rtypes import Field, Types

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plaintap.targets.elf import ElfFile


class GoProgram:
    """An ELF file that is a Go program. Methods raise TargetError for a damaged one."""

    def __init__(self, elf: ElfFile, info: BuildInfo, pointers: Pointers) -> None:
        self.elf: Final = elf
        self.info: Final = info
        self._pointers: Final = pointers

    @property
    def version(self) -> str:
        """`1.21.13`; as Go words it where it is no release, empty when the file does not say."""
        return self.info.text.removeprefix("go")

    @cached_property
    def _table(self) -> FunctionTable:
        table = find_table(self.elf)
        if table is None:
            raise TargetError(f"{self.elf.name} is a Go program without a table of functions that can be read")
        return table

    @cached_property
    def _module(self) -> Module | None:
        return find_module(self.elf, self._pointers, self._table)

    @cached_property
    def _known_types(self) -> Types | None:
        try:
            return Types(self.elf, self._pointers, self._module) if self._module is not None else None
        except TargetError:  # no table, by which they are found
            return None

    @property
    def table_magic(self) -> int:
        """Which form its table of functions has; 0 when there is none that can be read."""
        try:
            return self._table.magic
        except TargetError:
            return 0

    def functions(self, package: str, tails: Iterable[str]) -> list[Function]:
        """Those whose names end so, of whatever package.

        Where the table cannot be read, as one of a version to come, those of this package that have symbols.
        """
        tails = tuple(tails)
        try:
            return self._functions.ending_in(tails)
        except TargetError:
            symbols = self.elf.symbols(package + tail for tail in tails).values()
            found = [Function(each.name, each.vaddr, each.size) for each in symbols if each.size]
            if not found:
                raise
            return found

    def name_at(self, vaddr: int) -> str:
        """Of the function that begins at an address; empty when none does, or nothing says so."""
        try:
            return self._functions.name_at(vaddr)
        except TargetError:
            return ""

    @cached_property
    def _functions(self) -> Functions:
        return Functions(self.elf, self._table, text=self._text)

    @cached_property
    def _text(self) -> int:
        """Where the functions' offsets count from; the file's own word for it where the runtime's is not found."""
        if self._table.is_wide:
            return 0
        if self._module is not None:
            return self._module.text
        section = self.elf.section_named(".text")
        text = self._table.stored_text or (section.vaddr if section is not None else 0)
        if not text:
            raise TargetError(f"{self.elf.name} is a Go program, but where its text begins is not found")
        return text

    def pointer_type(self, name: str) -> int:
        """The address of the description of `*net.name`; 0 unknown."""
        types = self._known_types
        return types.pointer_to("net", name) if types is not None else 0

    def fields(self, package: str, name: str) -> dict[str, Field]:
        """The fields of a struct, where the program describes it."""
        types = self._known_types
        return types.fields_of(package, name) if types is not None else {}


def open_program(elf: ElfFile) -> GoProgram | None:
    """None when the file is no Go program."""
    pointers = Pointers(elf)
    info = build_info(elf, pointers)
    return None if info is None else GoProgram(elf, info, pointers)
