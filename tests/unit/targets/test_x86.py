# SPDX-License-Identifier: Apache-2.0
"""Decoding: what the kernel emulates, what is written and copied, where branches go."""

from __future__ import annotations

from pathlib import Path

import pytest
from elf_image import ElfImage

from plaintap.targets.elf import ElfFile
from plaintap.targets.x86 import Branches, Decoder, Instruction


def decode(tmp_path: Path, code: bytes) -> list[Instruction]:
    elf = ElfImage()
    vaddr = elf.add("f", [code])
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        return list(Decoder(file).decode(vaddr, len(code)))


@pytest.mark.parametrize(
    ("code", "emulated"),
    [
        ("55", True),  # push rbp
        ("4155", True),  # push r13
        ("90", True),  # nop
        ("e800000000", True),  # call
        ("e900000000", True),  # jmp
        ("eb00", True),
        ("7802", True),  # js
        ("0f8400000000", True),  # je, long
        ("f30f1efa", False),  # endbr64
        ("4883ec18", False),  # sub rsp, 24
        ("4889e5", False),  # mov rbp, rsp
        ("6a05", False),  # push 5
        ("4855", False),  # push rbp with a superfluous prefix
        ("0f1f00", False),  # nop of three bytes
        ("c3", False),  # ret
        ("ff5038", False),  # call [rax+0x38]
    ],
)
def test_emulated(tmp_path: Path, code: str, emulated: bool) -> None:
    (instruction,) = decode(tmp_path, bytes.fromhex(code))
    assert instruction.is_emulated is emulated


@pytest.mark.parametrize(
    ("code", "writes", "copies", "points", "zeroes"),
    [
        ("4889fb", {"rbx"}, ("rbx", "rdi"), None, None),  # mov rbx, rdi
        ("4863d2", {"rdx"}, ("rdx", "rdx"), None, None),  # movsxd rdx, edx
        ("89fb", {"rbx"}, None, None, None),  # mov ebx, edi: half of it
        ("31c9", {"rcx"}, None, None, "rcx"),  # xor ecx, ecx
        ("b900000000", {"rcx"}, None, None, "rcx"),  # mov ecx, 0
        ("b901000000", {"rcx"}, None, None, None),
        ("488d4c2408", {"rcx"}, None, ("rcx", "rsp"), None),  # lea rcx, [rsp+8]
        ("488d0c88", {"rcx"}, None, None, None),  # lea rcx, [rax+rcx*4]
        ("488b4f08", {"rcx"}, None, None, None),  # mov rcx, [rdi+8]
        ("55", {"rsp"}, None, None, None),
        ("48f7e2", {"rax", "rdx"}, None, None, None),  # mul rdx: implicit
        ("4885ff", set(), None, None, None),  # test rdi, rdi
    ],
)
def test_effects(
    tmp_path: Path,
    code: str,
    writes: set[str],
    copies: tuple[str, str] | None,
    points: tuple[str, str] | None,
    zeroes: str | None,
) -> None:
    (instruction,) = decode(tmp_path, bytes.fromhex(code))
    assert instruction.writes == writes
    assert (instruction.copies, instruction.points, instruction.zeroes) == (copies, points, zeroes)


def test_branches(tmp_path: Path) -> None:
    elf = ElfImage()
    stub = elf.add_import("ERR_new")
    vaddr = elf.add("f", [("call", stub), b"\xff\x15\x00\x01\x00\x00", b"\x74\x00", b"\xff\xe0", b"\xc3"])
    indirect = elf.add("g", [b"\xff\x50\x38"])
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        decoder = Decoder(file)
        assert decoder.branches(vaddr, 16) == Branches(
            frozenset({stub, vaddr + 13}), frozenset({vaddr + 11 + 256}), False
        )
        assert decoder.branches(indirect, 3).indirect
        assert decoder.stub_slot(stub) == 0x900000
        assert decoder.stub_slot(vaddr) is None
        assert decoder.stub_slot(0) is None


def test_straight_line_ends_with_a_transfer(tmp_path: Path) -> None:
    elf = ElfImage()
    vaddr = elf.add("f", [b"\x48\x85\xff", b"\x74\x05", b"\x55", b"\xc3"])
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        line = Decoder(file).straight_line(vaddr)
    assert [instruction.mnemonic for instruction in line] == ["test", "je"]


def test_refused_prefixes(tmp_path: Path) -> None:
    lock, segment = decode(tmp_path, bytes.fromhex("f0ff07 2e90"))
    assert lock.is_refused
    assert segment.is_refused


def test_the_same_bytes_elsewhere(tmp_path: Path) -> None:
    """A jump, a loop and a slot lead elsewhere from there, a move does not."""
    once = bytes.fromhex("4889f8 eb05 e2fe 7405 ff2510000000")
    instructions = decode(tmp_path, once + once)
    half = len(instructions) // 2
    for first, second in zip(instructions[:half], instructions[half:], strict=True):
        assert second.vaddr == first.vaddr + len(once)
        assert (second.code, second.mnemonic, second.writes, second.copies) == first[1:3] + first[5:7]
        for before, after in ((first.target, second.target), (first.slot, second.slot)):
            assert (before is None) == (after is None)
            assert before is None or after == before + len(once)
        if first.operands.startswith("0x"):
            assert int(second.operands, 16) == int(first.operands, 16) + len(once)
