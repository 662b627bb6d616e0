# SPDX-License-Identifier: Apache-2.0
"""ElfFile: what it finds in good files, what it says about bad ones, and that damage ends in nothing else."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from elf_image import DATA_SKEW, ENDBR64, PUSH_RBP, RET, TEXT_OFFSET, TEXT_VADDR, ElfImage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaintap.errors import TargetError
from plaintap.modules.openssl import plan
from plaintap.targets.elf import ElfFile
from plaintap.targets.elfsymbols import Symbol


def image(*, sections: bool = True, full_table: bool = False) -> ElfImage:
    elf = ElfImage(
        needed=("libcrypto.so.3", "libc.so.6"),
        rodata=b"OpenSSL 3.0.16 11 Feb 2025\0",
        sections=sections,
        full_table=full_table,
    )
    error = elf.add_import("ERR_new")
    internal = elf.add("", [PUSH_RBP, b"\x5d", RET])
    elf.add("SSL_read", [b"\x48\x83\xec\x18", b"\x48\x89\xe1", ("call", internal), ("call", error), RET])
    elf.add("SSL_read_ex", [b"\x48\x83\xec\x08", ("call", internal), RET])
    elf.add("SSL_write", [ENDBR64, PUSH_RBP, RET])
    elf.add("SSL_free", [PUSH_RBP, RET])
    return elf


@pytest.mark.parametrize(
    "fields", [{}, {"sections": False}, {"full_table": True}], ids=["dynsym", "stripped of sections", "symtab"]
)
def test_symbols(tmp_path: Path, fields: dict[str, bool]) -> None:
    with ElfFile(image(**fields).write(tmp_path / "a.so")) as elf:
        found = elf.symbols(("SSL_read", "SSL_write", "ERR_new", "SSL_peek"))
    read = found["SSL_read"]
    assert found.keys() == {"SSL_read", "SSL_write"}
    assert read == Symbol("SSL_read", read.vaddr, read.vaddr - TEXT_VADDR + TEXT_OFFSET, 18)
    assert read.vaddr == TEXT_VADDR + 32


def test_by_file_descriptor(tmp_path: Path) -> None:
    path = image().write(tmp_path / "a.so")
    fd = os.open(path, os.O_RDONLY)
    try:
        with ElfFile(fd, name="libssl.so.3") as elf:
            assert elf.symbols(("SSL_free",))
            assert elf.name == "libssl.so.3"
        os.fstat(fd)
    finally:
        os.close(fd)


def test_names_with_an_unknown_part(tmp_path: Path) -> None:
    """Mangled names, of which the parameters' types do not matter."""
    elf = image()
    plain = elf.add("_ZN2ns3logEPKc", [PUSH_RBP, RET])
    inline = elf.add("_ZN2ns2v13logEPKc", [PUSH_RBP, RET])
    elf.add("_ZN2ns3logEPKc.cold", [PUSH_RBP, RET])
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        found = file.symbols(("_ZN2ns3logE*", "_ZN2ns*v13logE*", "_ZN2ns*4read*", "SSL_free"))
    assert {wanted: (symbol.name, symbol.vaddr) for wanted, symbol in found.items() if "*" in wanted} == {
        "_ZN2ns3logE*": ("_ZN2ns3logEPKc", plain),
        "_ZN2ns*v13logE*": ("_ZN2ns2v13logEPKc", inline),
    }
    assert "SSL_free" in found


def test_mentions_are_of_imports_too(tmp_path: Path) -> None:
    with ElfFile(image().write(tmp_path / "a.so")) as elf:
        assert [elf.mentions((name,)) for name in ("ERR_new", "SSL_read", "SSL_peek")] == [True, True, False]


def test_soname_program_and_addresses(tmp_path: Path) -> None:
    plain, program = image(), image()
    program.interpreter, program.soname = True, "liba.so.1"
    with ElfFile(plain.write(tmp_path / "a.so")) as elf:
        assert (elf.soname(), elf.is_program) == (None, False)
        assert [segment.vaddr for segment in elf.code] == [TEXT_VADDR]
        assert elf.address_of(TEXT_OFFSET + 5) == TEXT_VADDR + 5
        assert elf.address_of(elf.size_bytes) is None
    with ElfFile(program.write(tmp_path / "b.so")) as elf:
        assert (elf.soname(), elf.is_program) == ("liba.so.1", True)


def test_default_version_and_binding_win(tmp_path: Path) -> None:
    elf = ElfImage()
    elf.add("SSL_read", [RET], version=0x8003)
    elf.add("SSL_read", [RET], info=0x02)
    default = elf.add("SSL_read", [RET])
    elf.add("SSL_read", [RET], info=0x22)
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        assert file.symbols(("SSL_read",))["SSL_read"].vaddr == default


def test_name_shared_as_a_tail(tmp_path: Path) -> None:
    elf = ElfImage()
    elf.add("wolfSSL_read", [RET])
    read = elf.add("SSL_read", [RET])
    content = elf.build()
    assert content.count(b"SSL_read\0") == 1
    (tmp_path / "a.so").write_bytes(content)
    with ElfFile(str(tmp_path / "a.so")) as file:
        assert file.symbols(("SSL_read",))["SSL_read"].vaddr == read


def test_only_functions_in_code_count(tmp_path: Path) -> None:
    elf = ElfImage()
    elf.add("SSL_read", [RET], info=0x11)
    elf.add("SSL_write", [RET])
    elf.symbols[-1].vaddr = DATA_SKEW + TEXT_OFFSET + len(elf.text)
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        assert file.symbols(("SSL_read", "SSL_write")) == {}


def test_many_definitions_are_not_all_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elf = ElfImage()
    for _ in range(1000):
        elf.add("SSL_read", [RET])
    looked_at: list[int] = []
    is_code = ElfFile.is_code

    def counted(file: ElfFile, vaddr: int) -> bool:
        looked_at.append(vaddr)
        return is_code(file, vaddr)

    monkeypatch.setattr(ElfFile, "is_code", counted)
    with ElfFile(elf.write(tmp_path / "a.so")) as file:
        assert file.symbols(("SSL_read",))["SSL_read"].vaddr == TEXT_VADDR
    assert len(looked_at) == 256


def test_name_across_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaintap.targets.elfsymbols._CHUNK_BYTES", 24)
    path = image().write(tmp_path / "a.so")
    with ElfFile(path) as elf:
        assert elf.symbols(("SSL_read", "SSL_read_ex", "SSL_free")).keys() == {"SSL_read", "SSL_read_ex", "SSL_free"}


def test_build_id_needed_and_imports(tmp_path: Path) -> None:
    with ElfFile(image().write(tmp_path / "a.so")) as elf:
        assert elf.build_id == bytes(range(20)).hex()
        assert elf.needed() == ["libcrypto.so.3", "libc.so.6"]
        assert elf.import_name(0x900000) == "ERR_new"
        assert elf.import_name(0x900008) is None


def test_read_ends_with_the_segment(tmp_path: Path) -> None:
    with ElfFile(image().write(tmp_path / "a.so")) as elf:
        text = elf.segments[0]
        assert len(elf.read(text.vaddr + text.size - 3, 100)) == 3
        with pytest.raises(TargetError, match=r"has nothing at address 0x1$"):
            elf.read(1, 1)


def patched(at: int, value: bytes) -> bytes:
    content = bytearray(image().build())
    content[at : at + len(value)] = value
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x is no ELF file"),
        (b"#!/bin/sh\n", "x is no ELF file"),
        (b"\x7fELF", "x is truncated or damaged: it refers to byte 64, the file has 4"),
        (patched(18, struct.pack("<H", 183)), "x is for aarch64, this host is x86-64"),
        (patched(18, struct.pack("<H", 999)), "x is for machine 999, this host is x86-64"),
        (patched(5, b"\x02" + bytes(12) + b"\x00\x16"), "x is for s390x, this host is x86-64"),
        (patched(4, b"\x01"), "x is a 32-bit ELF file, expected a 64-bit one"),
        (patched(16, b"\x01"), "x is an ELF file of type 1, expected a program or a shared library"),
        (patched(56, struct.pack("<H", 5000)), "x is damaged: 5000 program headers, expected at most 1024"),
        (patched(54, struct.pack("<H", 32)), "x is damaged: program headers of 32 bytes, expected 56"),
        (image().build()[:0x1010], "x is truncated or damaged: it refers to byte 4194, the file has 4112"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(TargetError) as caught:
        ElfFile(str(tmp_path / "x"), name="x")
    assert caught.value.message == message


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"/no/such/file: no such file$"):
        ElfFile("/no/such/file")
    with pytest.raises(TargetError, match=r"is no ELF file: not a regular file$"):
        ElfFile(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TargetError, match=r"not a regular file$"):
        ElfFile(str(tmp_path / "pipe"))
    with pytest.raises(TargetError, match=r"cannot be opened: "):
        ElfFile("a\0b")
    with pytest.raises(TargetError, match=r"cannot be opened: bad file descriptor$"):
        ElfFile(10**6)


def test_file_that_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "a.so"
    with ElfFile(image().write(path)) as elf:
        os.truncate(path, 100)
        with pytest.raises(TargetError, match=r"became shorter while it was read$"):
            elf.symbols(("SSL_read",))


SEEDS = [image(**fields).build() for fields in ({}, {"sections": False}, {"full_table": True})]
# Where the interesting numbers are: headers, and everything behind the text.
POSITIONS = st.one_of(st.integers(0, 300), st.integers(TEXT_OFFSET, max(map(len, SEEDS))))
VALUES = st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, bytes(8), b"\xff\xff\xff\x7f"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(POSITIONS, VALUES), max_size=6),
    length=st.one_of(st.none(), st.integers(0, 6000)),
)
def test_damaged_files_end_in_target_error(
    tmp_path: Path, seed: bytes, changes: list[tuple[int, bytes]], length: int | None
) -> None:
    content = bytearray(seed)
    for at, value in changes:
        content[at : at + len(value)] = value
    path = tmp_path / "damaged"
    path.write_bytes(content[:length])
    try:
        with ElfFile(str(path)) as elf:
            assert elf.build_id is None or isinstance(elf.build_id, str)
            elf.needed()
            elf.import_name(0x900000)
            plan(elf, str(path))
    except TargetError as error:
        assert error.message  # noqa: PT017 - the test is that it is this class, if any
