# SPDX-License-Identifier: Apache-2.0
"""Functions found by the strings they are called with, and the calls of a function found in code."""

from __future__ import annotations

from pathlib import Path

import pytest
from elf_image import PUSH_RBP, RET, RODATA_VADDR, ElfImage, Piece

from plaintap.targets import references
from plaintap.targets.elf import ElfFile
from plaintap.targets.references import callers, function_called_with
from plaintap.targets.x86 import Decoder

STRINGS = (b"ALPHA_SECRET", b"BETA_RANDOM", b"GAMMA_SECRET")
ALPHA, BETA, GAMMA = RODATA_VADDR + 4, RODATA_VADDR + 17, RODATA_VADDR + 29
RODATA = b"LONG" + b"\0".join(STRINGS) + b"\0"
"""The first is the tail of a longer string."""
MOV_RDI_RBX, MOV_RCX_RDX, MOV_RSI_RBX = b"\x48\x89\xdf", b"\x48\x89\xd1", b"\x48\x89\xde"


def image() -> ElfImage:
    return ElfImage(rodata=RODATA)


def found_in(tmp_path: Path, elf_image: ElfImage) -> int | None:
    with ElfFile(elf_image.write(tmp_path / "lib.so")) as elf:
        return function_called_with(Decoder(elf), STRINGS)


def passing(string: int, target: int, *between: Piece) -> list[Piece]:
    return [PUSH_RBP, ("lea rsi", string), MOV_RDI_RBX, *between, ("call", target), RET]


def test_the_function_that_two_strings_agree_on(tmp_path: Path) -> None:
    elf_image = image()
    log = elf_image.add("", [PUSH_RBP, RET])
    other = elf_image.add("", [PUSH_RBP, RET])
    elf_image.add("", [*passing(ALPHA, log, MOV_RCX_RDX), *passing(BETA, log)])
    elf_image.add("", passing(GAMMA, other))
    assert found_in(tmp_path, elf_image) == log


@pytest.mark.parametrize("sections", [True, False])
def test_stripped_of_sections_too(tmp_path: Path, sections: bool) -> None:
    elf_image = image()
    elf_image.sections = sections
    log = elf_image.add("", [PUSH_RBP, RET])
    elf_image.add("", [*passing(ALPHA, log), *passing(BETA, log)])
    assert found_in(tmp_path, elf_image) == log


def test_one_string_often_is_not_two(tmp_path: Path) -> None:
    elf_image = image()
    log = elf_image.add("", [PUSH_RBP, RET])
    elf_image.add("", [*passing(ALPHA, log), *passing(ALPHA, log)])
    assert found_in(tmp_path, elf_image) is None


def test_a_tie_is_nothing(tmp_path: Path) -> None:
    elf_image = image()
    for _ in range(2):
        log = elf_image.add("", [PUSH_RBP, RET])
        elf_image.add("", [*passing(ALPHA, log), *passing(BETA, log)])
    assert found_in(tmp_path, elf_image) is None


@pytest.mark.parametrize(
    "between", [MOV_RSI_RBX, b"\xff\xd0", b"\xeb\x00"], ids=["another argument", "another call", "a jump"]
)
def test_only_the_next_call_with_this_argument_counts(tmp_path: Path, between: bytes) -> None:
    elf_image = image()
    log = elf_image.add("", [PUSH_RBP, RET])
    elf_image.add("", [*passing(ALPHA, log), *passing(BETA, log, between)])
    assert found_in(tmp_path, elf_image) is None


def test_functions_of_other_files_are_not_meant(tmp_path: Path) -> None:
    """As strcmp: everybody passes strings to it."""
    elf_image = image()
    compare = elf_image.add_import("strcmp")
    elf_image.add("", [*passing(ALPHA, compare), *passing(BETA, compare)])
    assert found_in(tmp_path, elf_image) is None


def test_large_files_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elf_image = image()
    log = elf_image.add("", [PUSH_RBP, RET])
    elf_image.add("", [*passing(ALPHA, log), *passing(BETA, log)])
    monkeypatch.setattr(references, "CODE_MAX_BYTES", 16)
    assert found_in(tmp_path, elf_image) is None


# Calls.


def calls_in(tmp_path: Path, elf_image: ElfImage, vaddr: int) -> list[int]:
    with ElfFile(elf_image.write(tmp_path / "lib.so")) as elf:
        return callers(Decoder(elf), vaddr)


def test_calls_and_tail_calls(tmp_path: Path) -> None:
    elf_image = ElfImage(unwind=True)
    first = elf_image.add("", [PUSH_RBP, ("call", 0x402010), RET])
    log = elf_image.add("", [PUSH_RBP, RET])
    last = elf_image.add("", [MOV_RDI_RBX, ("jmp", log)])
    assert log == 0x402010
    assert calls_in(tmp_path, elf_image, log) == [first + 1, last + 3]


def test_one_inside_another_instruction_and_none_is_sure(tmp_path: Path) -> None:
    """A probe there would change that instruction."""
    elf_image = ElfImage(unwind=True)
    log = elf_image.add("", [PUSH_RBP, RET])
    elf_image.add("", [PUSH_RBP, ("call", log), RET])
    # movabs rax, ...: its operand looks like a call
    elf_image.add("", [b"\x48\xb8", ("call", log), b"\0\0\0", RET])
    assert calls_in(tmp_path, elf_image, log) == []


def test_without_the_table_of_functions_none_is_sure(tmp_path: Path) -> None:
    elf_image = ElfImage()
    log = elf_image.add("", [PUSH_RBP, RET])
    elf_image.add("", [PUSH_RBP, ("call", log), RET])
    assert calls_in(tmp_path, elf_image, log) == []


def test_calls_in_much_code_or_too_many_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elf_image = ElfImage(unwind=True)
    log = elf_image.add("", [PUSH_RBP, RET])
    elf_image.add("", [PUSH_RBP, ("call", log), ("call", log), RET])
    assert len(calls_in(tmp_path, elf_image, log)) == 2
    monkeypatch.setattr(references, "_CALLERS_MAX", 1)
    assert calls_in(tmp_path, elf_image, log) == []
    monkeypatch.setattr(references, "_CALLERS_CODE_MAX_BYTES", 8)
    assert calls_in(tmp_path, elf_image, log) == []
