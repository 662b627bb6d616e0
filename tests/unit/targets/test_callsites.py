# SPDX-License-Identifier: Apache-2.0
"""What argument registers hold at the calls of a small function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elf_image import PUSH_RBP, RET, ElfImage, Piece

from plaintap.targets.callsites import STACK, ZERO, CallSite, call_sites
from plaintap.targets.elf import ElfFile
from plaintap.targets.x86 import Decoder

UNTOUCHED = {name: name for name in ("rdi", "rsi", "rdx", "rcx", "r8", "r9")}


def sites_of(tmp_path: Path, before: Sequence[bytes], after: Sequence[bytes] = (RET,)) -> list[CallSite]:
    """The call sites of a function that calls another one once."""
    elf = ElfImage()
    behind = elf.add("behind", [RET])
    pieces: list[Piece] = [*before, ("call", behind), *after]
    vaddr = elf.add("f", pieces)
    size = elf.symbols[-1].size
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        sites = call_sites(Decoder(file), vaddr, size)
    assert all(site.target == behind for site in sites)
    return sites


def test_untouched(tmp_path: Path) -> None:
    (site,) = sites_of(tmp_path, [b"\x48\x83\xec\x08"])
    assert site.holds == UNTOUCHED


def test_saved_and_restored(tmp_path: Path) -> None:
    (site,) = sites_of(tmp_path, [b"\x48\x89\xfb", b"\x31\xff", b"\x48\x89\xdf"])
    assert site.holds == UNTOUCHED


def test_local_and_zero(tmp_path: Path) -> None:
    frame = [PUSH_RBP, b"\x48\x89\xe5", b"\x48\x8d\x4d\xf8", b"\x45\x31\xc0"]  # lea rcx, [rbp-8]; xor r8d, r8d
    (site,) = sites_of(tmp_path, frame)
    assert site.holds == UNTOUCHED | {"rcx": STACK, "r8": ZERO}


def test_loaded_is_unknown(tmp_path: Path) -> None:
    (site,) = sites_of(tmp_path, [b"\x48\x8b\x7f\x08"])  # mov rdi, [rdi+8]
    assert "rdi" not in site.holds


def test_different_on_two_paths_is_unknown(tmp_path: Path) -> None:
    (site,) = sites_of(tmp_path, [b"\x85\xd2", b"\x78\x03", b"\x48\x89\xe1"])  # js over mov rcx, rsp
    assert "rcx" not in site.holds
    assert site.holds["rdi"] == "rdi"


def test_loop_is_followed_to_the_end(tmp_path: Path) -> None:
    (site,) = sites_of(tmp_path, [b"\x48\xff\xce", b"\x75\xfb"])  # dec rsi; jne back
    assert "rsi" not in site.holds


def test_a_call_takes_the_caller_saved_ones(tmp_path: Path) -> None:
    elf = ElfImage()
    one, two = elf.add("one", [RET]), elf.add("two", [RET])
    vaddr = elf.add("f", [b"\x48\x89\xfb", ("call", one), b"\x48\x89\xdf", ("jmp", two)])
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        first, second = call_sites(Decoder(file), vaddr, elf.symbols[-1].size)
    assert (first.target, first.holds) == (one, UNTOUCHED)
    assert (second.target, second.holds) == (two, {"rdi": "rdi"})


def test_large_functions_are_no_wrappers(tmp_path: Path) -> None:
    assert sites_of(tmp_path, [b"\x90" * 600]) == []
