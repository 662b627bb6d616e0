# SPDX-License-Identifier: Apache-2.0
"""The bytes of an ELF file of this host's architecture: by file offset, by address, by segment and by section.

Every number in a file is a stranger's claim: a wrong one ends in TargetError, never in another exception or in work
without bound. Files are read with pread, not mapped: a mapped file that shrinks would end the tool with SIGBUS.
What a file asks of the loader and which functions it has is elf.py's.
"""

from __future__ import annotations

import os
import platform
import stat
import struct
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from plaintap.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")

_MACHINES = {3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86-64", 183: "aarch64"}
_MACHINES |= {243: "riscv64", 258: "loongarch64"}
X86_64: Final = 62
AARCH64: Final = 183
_HOSTS = {"x86_64": X86_64, "aarch64": AARCH64}
HOST_MACHINE: Final = _HOSTS.get(platform.machine(), X86_64)
"""As e_machine says it."""
_EXECUTABLE, _SHARED = 2, 3

_PT_LOAD, _PT_INTERPRETER = 1, 3
_PF_X, _PF_W = 1, 2
SHT_NOBITS: Final = 8

_SEGMENTS_MAX = 1024


class Segment(NamedTuple):
    """A program header; addresses and sizes in bytes."""

    kind: int
    flags: int
    offset: int
    vaddr: int
    size: int
    """Bytes in the file, which may be fewer than in memory."""

    @property
    def executable(self) -> bool:
        return bool(self.flags & _PF_X)

    @property
    def writable(self) -> bool:
        return bool(self.flags & _PF_W)


class Section(NamedTuple):
    """A section header; `name` is its offset in the section name table."""

    name: int
    kind: int
    vaddr: int
    offset: int
    size: int
    link: int


class ElfBytes:
    """A 64-bit ELF file of one architecture, opened by path or by file descriptor (which stays the caller's).

    `name` is what messages call the file; `machine` (as e_machine) is this host's where none is given. Raises
    TargetError when it is not there, no ELF file, another architecture's, or truncated.
    """

    segments: tuple[Segment, ...]
    _loads: tuple[Segment, ...]
    _sections_at: tuple[int, int, int]
    """File offset, number, and which one holds the names."""

    def __init__(self, file: str | int, *, name: str | None = None, machine: int = HOST_MACHINE) -> None:
        self.machine: Final = machine
        self.name: Final = name if name is not None else f"file descriptor {file}" if isinstance(file, int) else file
        self._fd = self._open(file)
        try:
            self.size_bytes: Final = os.fstat(self._fd).st_size
            self._read_headers()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, file: str | int) -> int:
        try:
            # Non-blocking, since a path may name a pipe by the time it is opened.
            fd = os.dup(file) if isinstance(file, int) else os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise TargetError(f"{self.name}: no such file") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise TargetError(f"{self.name}: cannot be opened: {reason.lower()}") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise TargetError(f"{self.name} is no ELF file: not a regular file")
        return fd

    def _read_headers(self) -> None:
        magic = self.read_file(0, min(self.size_bytes, 4))
        if magic != b"\x7fELF":
            raise TargetError(f"{self.name} is no ELF file")
        fields = _HEADER.unpack(self.read_file(0, _HEADER.size))
        ident, kind, machine = fields[:3]
        self._check_kind(ident, kind, machine)
        segments_at, sections_at = fields[5:7]
        _, segment_bytes, segments, section_bytes, sections, names = fields[8:]
        if segments and segment_bytes != _SEGMENT.size:
            raise TargetError(f"{self.name} is damaged: program headers of {segment_bytes} bytes, expected 56")
        if segments > _SEGMENTS_MAX:
            raise TargetError(f"{self.name} is damaged: {segments} program headers, expected at most {_SEGMENTS_MAX}")
        raw = self.read_file(segments_at, segments * _SEGMENT.size)
        self.segments = tuple(
            Segment(kind, flags, offset, vaddr, size)
            for kind, flags, offset, vaddr, _, size, _, _ in _SEGMENT.iter_unpack(raw)
        )
        self._loads = tuple(segment for segment in self.segments if segment.kind == _PT_LOAD and segment.size)
        for segment in self._loads:
            self._check_range(segment.offset, segment.size)
        self._sections_at = (sections_at, sections if section_bytes == _SECTION.size else 0, names)

    def _check_kind(self, ident: bytes, kind: int, machine: int) -> None:
        if ident[5] == 2:
            machine = int.from_bytes(machine.to_bytes(2, "little"), "big")
        if machine != self.machine or ident[5] != 1:
            name = _MACHINES.get(machine, f"machine {machine}")
            raise TargetError(f"{self.name} is for {name}, this host is {_MACHINES[self.machine]}")
        if ident[4] != 2:
            raise TargetError(f"{self.name} is a 32-bit ELF file, expected a 64-bit one")
        if kind not in (_EXECUTABLE, _SHARED):
            raise TargetError(f"{self.name} is an ELF file of type {kind}, expected a program or a shared library")

    def _check_range(self, offset: int, size: int) -> None:
        if offset + size > self.size_bytes:
            found = f"it refers to byte {offset + size}, the file has {self.size_bytes}"
            raise TargetError(f"{self.name} is truncated or damaged: {found}")

    def read_file(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes at a file offset."""
        self._check_range(offset, size)
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise TargetError(f"{self.name}: cannot be read: {os.strerror(error.errno or 0).lower()}") from None
        if len(data) != size:
            raise TargetError(f"{self.name} became shorter while it was read")
        return data

    def chunks(
        self, offset: int, size: int, *, chunk_bytes: int, overlap_bytes: int = 0
    ) -> Iterator[tuple[int, bytes]]:
        """A stretch of the file in pieces `(offset in the stretch, bytes)`, one beginning every `chunk_bytes`."""
        for at in range(0, size, chunk_bytes):
            yield at, self.read_file(offset + at, min(chunk_bytes + overlap_bytes, size - at))

    def segment_of(self, vaddr: int) -> Segment | None:
        """The loaded segment with file bytes at this address."""
        for segment in self._loads:
            if segment.vaddr <= vaddr < segment.vaddr + segment.size:
                return segment
        return None

    def file_offset(self, vaddr: int) -> int:
        segment = self.segment_of(vaddr)
        if segment is None:
            raise TargetError(f"{self.name} has nothing at address {vaddr:#x}")
        return vaddr - segment.vaddr + segment.offset

    def address_of(self, offset: int) -> int | None:
        """Where the byte at this file offset is loaded."""
        for segment in self._loads:
            if segment.offset <= offset < segment.offset + segment.size:
                return segment.vaddr + offset - segment.offset
        return None

    @property
    def code(self) -> tuple[Segment, ...]:
        """The loaded segments that are executable."""
        return tuple(segment for segment in self._loads if segment.executable)

    @property
    def data(self) -> tuple[Segment, ...]:
        """The loaded segments that are written to, by the loader at least."""
        return tuple(segment for segment in self._loads if segment.writable)

    @property
    def constants(self) -> tuple[Segment, ...]:
        """The loaded segments that are only read."""
        return tuple(segment for segment in self._loads if not segment.writable and not segment.executable)

    @property
    def is_program(self) -> bool:
        """Whether it is started, and not loaded by another; a program without an interpreter is not told apart."""
        return any(segment.kind == _PT_INTERPRETER for segment in self.segments)

    def is_code(self, vaddr: int) -> bool:
        segment = self.segment_of(vaddr)
        return segment is not None and segment.executable

    def read(self, vaddr: int, size: int) -> bytes:
        """Up to `size` bytes at an address; fewer where its segment ends."""
        segment = self.segment_of(vaddr)
        if segment is None:
            raise TargetError(f"{self.name} has nothing at address {vaddr:#x}")
        into = vaddr - segment.vaddr
        return self.read_file(segment.offset + into, min(size, segment.size - into))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Section headers; none where they are stripped."""
        offset, count, _ = self._sections_at
        if not offset or not count:
            return ()
        raw = self.read_file(offset, count * _SECTION.size)
        return tuple(
            Section(name, kind, vaddr, at, size, link)
            for name, kind, _, vaddr, at, size, link, _, _, _ in _SECTION.iter_unpack(raw)
        )

    def section_named(self, name: str) -> Section | None:
        """The first section of that name with bytes in the file."""
        index = self._sections_at[2]
        if index >= len(self.sections):
            return None
        names = self.sections[index]
        # A table of section names is small; one that is not is not looked at.
        if names.kind == SHT_NOBITS or names.size > 1 << 20:
            return None
        strings = self.read_file(names.offset, names.size)
        wanted = name.encode() + b"\0"
        for section in self.sections:
            if section.kind != SHT_NOBITS and strings.startswith(wanted, section.name):
                return section
        return None

    def read_only_data(self) -> list[tuple[int, int]]:
        """Where constants are: `(file offset, size)` of .rodata, else of every segment that is not written to."""
        section = self.section_named(".rodata")
        if section is not None:
            return [(section.offset, section.size)]
        return [(segment.offset, segment.size) for segment in self._loads if not segment.writable]
