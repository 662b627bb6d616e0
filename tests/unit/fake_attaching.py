# SPDX-License-Identifier: Apache-2.0
"""An attacher on a bench: a made-up family of libraries, and a kernel that only remembers."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from elf_image import PUSH_RBP, RET, ElfImage

from plaintap.errors import PlaintapError
from plaintap.modules.attacher import Attacher, LayoutFor, Library
from plaintap.modules.base import Module, NotHookable, Point, ProbePlan
from plaintap.runtime.kernel import Probe
from plaintap.targets import procmaps
from plaintap.targets.elf import ElfFile
from plaintap.targets.layouts.model import KnownLayout, Layout, Origin
from plaintap.targets.procmaps import FileId, MappedFile, Scan

CALLS = (
    Point(program="pt_call_enter", offset=16, done_argument=4, function="read", why="a read"),
    Point(program="pt_call_return", offset=20, done_argument=4, function="read", why="a read", returns=True),
    Point(program="pt_call_enter", offset=32, write=True, function="write", why="a write"),
    Point(program="pt_call_return", offset=32, write=True, function="write", why="a write", returns=True),
)
END = Point(program="pt_session_free", offset=48, function="free", why="the end")
CARRIER = Point(program="pt_bio_write", offset=64, function="carry", why="a hand-over")
LAYOUT = KnownLayout(layout=Layout(version=0, session=0x50C), origin=Origin.TABLE, label="1.0")
BETTER = KnownLayout(layout=Layout(version=8, session=0x510), origin=Origin.CALIBRATION, label="calibrated")


@dataclass
class FakeKernel:
    """Remembers; `refuses` is raised instead."""

    attached: list[tuple[int, list[Probe], int, tuple[int, ...]]] = field(default_factory=list)
    looked: list[tuple[tuple[int, int], int, int]] = field(default_factory=list)
    layouts: list[tuple[int, bytes, int]] = field(default_factory=list)
    """Library, bytes, and how many attachments there were before."""
    on_demand: set[tuple[int, Hashable, int]] = field(default_factory=set)
    lacks: tuple[str, ...] = ()
    refuses: PlaintapError | None = None

    def has(self, program: str) -> bool:
        return program not in self.lacks

    def set_layout(self, library: int, packed: bytes) -> None:
        self.layouts.append((library, packed, len(self.attached)))

    def attach(self, fd: int, probes: Sequence[Probe], *, library: int, pids: Sequence[int] = ()) -> None:
        if self.refuses:
            raise self.refuses
        self.attached.append((os.fstat(fd).st_ino, list(probes), library, tuple(pids)))

    def attach_on_demand(self, fd: int, probes: Sequence[Probe], *, library: int, file: Hashable, pid: int) -> None:
        self.attach(fd, probes, library=library, pids=(pid,))
        self.on_demand.add((library, file, pid))

    def has_on_demand(self, library: int, file: Hashable, pid: int) -> bool:
        return (library, file, pid) in self.on_demand

    def looked_at(self, device: tuple[int, int], inode: int, generation: int) -> None:
        self.looked.append((device, inode, generation))

    @property
    def inodes(self) -> list[int]:
        return [inode for inode, _, _, _ in self.attached]


@dataclass
class Bench:
    """An attacher and all it talks to."""

    attacher: Attacher
    module: Module
    kernel: FakeKernel
    plans: list[str]
    told: list[Library]
    debug: list[str]


def make_bench(
    *,
    pids: Sequence[int] = (),
    tells_ends: bool = True,
    carriers: tuple[Point, ...] = (),
    layout_for: LayoutFor | None = None,
    tells_version: bool = True,
) -> Bench:
    plans: list[str] = []

    def plan(elf: ElfFile, beside: str, /, *, other_half: str | None = None) -> ProbePlan | None:
        plans.append(other_half or beside)
        found = elf.symbols(("fake_read", "fake_stripped"))
        if "fake_stripped" in found:
            raise NotHookable(f"{elf.name}: seen, not hookable, because it has no names")
        if "fake_read" not in found:
            return None
        points = (*CALLS, END) if tells_ends else CALLS
        return ProbePlan(
            name="fake 1.0",
            version="1.0" if tells_version or other_half else None,
            points=points,
            tells_ends=tells_ends,
            carriers=carriers,
            needs=("libfakecrypto.so.1",),
            other_half="libfakecrypto.so.1",
        )

    def carriers_in(elf: ElfFile) -> tuple[Point, ...]:
        return (CARRIER,) if "fake_carry" in elf.symbols(("fake_carry",)) else ()

    module = Module(
        name="fake",
        family="fake",
        plan=plan,
        carriers=carriers_in,
        ld_cache_prefixes=("libfake",),
        defines="fake_read",
        path_hint="give the path of a fake",
    )
    kernel, told, debug = FakeKernel(), [], []  # type: ignore[var-annotated]
    attacher = Attacher(
        [module],
        kernel,  # type: ignore[arg-type]
        attached=told.append,
        debug=debug.append,
        notice=debug.append,
        layout_for=layout_for or (lambda _plan, _path, _fd, _half: None),
        pids=pids,
    )
    return Bench(attacher, module, kernel, plans, told, debug)


def library(path: Path, *, function: str = "fake_read") -> Path:
    image = ElfImage()
    image.add(function, [PUSH_RBP, RET])
    image.write(path)
    return path


def mapped(path: Path, *, pids: Sequence[int] = (7,)) -> MappedFile:
    status = path.stat()
    device = (os.major(status.st_dev), os.minor(status.st_dev))
    return MappedFile(FileId(device, status.st_ino), str(path), str(path), "/nonexistent", deleted=False, pids={*pids})


def scans(monkeypatch: pytest.MonkeyPatch, *files: MappedFile) -> list[object]:
    asked: list[object] = []

    def scan(pids: object = None, **_: object) -> Scan:
        asked.append(pids)
        return Scan({file.id: file for file in files}, processes=5, unreadable=2)

    monkeypatch.setattr(procmaps, "scan", scan)
    return asked
