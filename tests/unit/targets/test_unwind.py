# SPDX-License-Identifier: Apache-2.0
"""The table of where functions begin: as linkers write it, and nothing of one that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from elf_image import PUSH_RBP, RET, ElfImage

from plaintap.targets.elf import ElfFile
from plaintap.targets.unwind import function_starts, start_before

KIND = b"\x01\x1b\x03\x3b"


def image(*, unwind: bool = True) -> tuple[ElfImage, list[int]]:
    elf_image = ElfImage(unwind=unwind)
    return elf_image, [elf_image.add("", [PUSH_RBP, RET]) for _ in range(3)]


def test_starts(tmp_path: Path) -> None:
    elf_image, vaddrs = image()
    with ElfFile(elf_image.write(tmp_path / "lib.so")) as elf:
        assert function_starts(elf) == vaddrs


def test_before() -> None:
    starts = [16, 32]
    assert [start_before(starts, vaddr) for vaddr in (15, 16, 31, 32, 99)] == [None, 16, 16, 32, 32]


def test_no_table(tmp_path: Path) -> None:
    elf_image, _ = image(unwind=False)
    with ElfFile(elf_image.write(tmp_path / "lib.so")) as elf:
        assert function_starts(elf) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [(KIND, b"\x02\x1b\x03\x3b"), (KIND, b"\x01\x1b\x03\x1b"), (b"\x03\0\0\0", b"\x04\0\0\0")],
    ids=["another version", "other entries", "more than there are"],
)
def test_a_table_that_is_not_understood(tmp_path: Path, before: bytes, after: bytes) -> None:
    elf_image, _ = image()
    content = elf_image.build()
    at = content.index(before, content.index(KIND))
    path = tmp_path / "lib.so"
    path.write_bytes(content[:at] + after + content[at + len(after) :])
    with ElfFile(str(path)) as elf:
        assert function_starts(elf) == []
