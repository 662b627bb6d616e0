# SPDX-License-Identifier: Apache-2.0
"""The cheapest legal instruction of a function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from elf_image import ENDBR64, PUSH_RBP, RET, ElfImage

from plaintap.targets.attachpoints import cheapest_point
from plaintap.targets.elf import ElfFile
from plaintap.targets.x86 import Decoder

TEST_RDI = b"\x48\x85\xff"
JE = b"\x74\x01"
SUB_RSP = b"\x48\x83\xec\x18"


def point_of(tmp_path: Path, code: Sequence[bytes], *, returns: bool) -> tuple[int, str] | None:
    """Offset in the function, and why."""
    elf = ElfImage()
    vaddr = elf.add("f", code)
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        point = cheapest_point(
            Decoder(file), vaddr, size=elf.symbols[-1].size, arguments=("rdi", "rsi", "rdx"), returns=returns
        )
    return None if point is None else (point.vaddr - vaddr, point.why)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ([PUSH_RBP, RET], (0, "push at the entry, which the kernel emulates")),
        ([ENDBR64, PUSH_RBP, RET], (4, "push 4 bytes in, which the kernel emulates")),
        ([TEST_RDI, JE, PUSH_RBP, RET], (3, "je 3 bytes in, which the kernel emulates")),
        (
            [SUB_RSP, TEST_RDI, JE, RET, RET],
            (0, "sub at the entry, single-stepped: nothing emulated before the stack pointer moves"),
        ),
        (
            [b"\x31\xff", PUSH_RBP, RET],
            (0, "xor at the entry, single-stepped: nothing emulated before the stack pointer moves"),
        ),
    ],
)
def test_for_entry_and_return(tmp_path: Path, code: Sequence[bytes], expected: tuple[int, str]) -> None:
    assert point_of(tmp_path, code, returns=True) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ([SUB_RSP, TEST_RDI, JE, RET, RET], (7, "je 7 bytes in, which the kernel emulates")),
        (
            [SUB_RSP, b"\x48\x8b\x7f\x08", JE, RET, RET],
            (0, "sub at the entry, single-stepped: nothing emulated before an argument is lost"),
        ),
        (
            [b"\x31\xc0", b"\xf0\xff\x4f\x10", PUSH_RBP, RET],  # lock dec dword ptr [rdi+0x10]
            (0, "xor at the entry, single-stepped: nothing emulated before a count changes"),
        ),
    ],
)
def test_for_entry_only(tmp_path: Path, code: Sequence[bytes], expected: tuple[int, str]) -> None:
    assert point_of(tmp_path, code, returns=False) == expected


def test_not_where_a_loop_comes_back(tmp_path: Path) -> None:
    loop = [b"\x48\x89\xf8", TEST_RDI, b"\x74\xfb", RET]  # je back to the test
    offset_and_why = point_of(tmp_path, loop, returns=True)
    assert offset_and_why is not None
    assert offset_and_why[0] == 0


def test_nothing_usable(tmp_path: Path) -> None:
    assert point_of(tmp_path, [b"\x06"], returns=True) is None
    assert point_of(tmp_path, [b"\xf0\xff\x07", RET], returns=True) is None
