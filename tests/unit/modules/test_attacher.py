# SPDX-License-Identifier: Apache-2.0
"""Files looked at once each, whatever their names and numbers, with a kernel that only remembers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from elf_image import PUSH_RBP, RET, ElfImage

from plaintap.errors import KernelError, PlaintapError, TargetError
from plaintap.modules import attacher as attacher_module
from plaintap.modules.attacher import Attacher, Identity, Library, identity_of
from plaintap.modules.base import CallPoint, FreePoint, Module, ProbePlan
from plaintap.modules.cookies import pack_cookie
from plaintap.runtime.kernel import Probe
from plaintap.targets import ldcache, procmaps
from plaintap.targets.elf import ElfFile
from plaintap.targets.procmaps import FileId, MappedFile, Scan

CALLS = (
    CallPoint(entry_offset=16, return_offset=20, write=False, done_argument=4, function="read", why="a read"),
    CallPoint(entry_offset=32, return_offset=32, write=True, done_argument=0, function="write", why="a write"),
)
FREES = (FreePoint(offset=48, why="the end"),)


@dataclass
class FakeKernel:
    """Remembers; `refuses` is raised instead."""

    attached: list[tuple[int, list[Probe], int, tuple[int, ...]]] = field(default_factory=list)
    looked: list[tuple[tuple[int, int], int, int]] = field(default_factory=list)
    refuses: PlaintapError | None = None

    def attach(self, fd: int, probes: Sequence[Probe], *, library: int, pids: Sequence[int] = ()) -> None:
        if self.refuses:
            raise self.refuses
        self.attached.append((os.fstat(fd).st_ino, list(probes), library, tuple(pids)))

    def looked_at(self, device: tuple[int, int], inode: int, generation: int) -> None:
        self.looked.append((device, inode, generation))

    @property
    def inodes(self) -> list[int]:
        return [inode for inode, _, _, _ in self.attached]


@dataclass
class Bench:
    """An attacher and all it talks to."""

    attacher: Attacher
    kernel: FakeKernel
    plans: list[str]
    told: list[Library]
    debug: list[str]


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench() -> MakeBench:
    def make(*, pids: Sequence[int] = (), frees: tuple[FreePoint, ...] = FREES) -> Bench:
        plans: list[str] = []

        def plan(elf: ElfFile, beside: str) -> ProbePlan | None:
            plans.append(beside)
            return ProbePlan("fake 1.0", "1.0", CALLS, frees) if "fake_read" in elf.symbols(("fake_read",)) else None

        module = Module(name="fake", family="fake", plan=plan, ld_cache_prefixes=("libfake",), defines="fake_read")
        kernel, told, debug = FakeKernel(), [], []  # type: ignore[var-annotated]
        attacher = Attacher(module, kernel, attached=told.append, debug=debug.append, notice=debug.append, pids=pids)  # type: ignore[arg-type]
        return Bench(attacher, kernel, plans, told, debug)

    return make


def library(path: Path, *, function: str = "fake_read") -> Path:
    image = ElfImage()
    image.add(function, [PUSH_RBP, RET])
    image.write(path)
    return path


def mapped(path: Path, *, pids: Sequence[int] = (7,)) -> MappedFile:
    status = path.stat()
    device = (os.major(status.st_dev), os.minor(status.st_dev))
    return MappedFile(FileId(device, status.st_ino), str(path), str(path), "/nonexistent", deleted=False, pids={*pids})


def test_a_library_is_attached_with_its_probes_and_told(tmp_path: Path, bench: MakeBench) -> None:
    path = library(tmp_path / "libfake.so")
    made = bench()
    made.attacher.look_at(mapped(path))
    read, write = pack_cookie(library=1, done_argument=4), pack_cookie(library=1, write=True)
    (attached,) = made.kernel.attached
    assert attached == (
        path.stat().st_ino,
        [
            Probe("pt_call_enter", 16, read),
            Probe("pt_call_return", 20, read, returns=True),
            Probe("pt_call_enter", 32, write),
            Probe("pt_call_return", 32, write, returns=True),
            Probe("pt_session_free", 48, 1),
        ],
        1,
        (),
    )
    assert made.told == made.attacher.libraries == [Library(1, "fake 1.0", str(path), tells_ends=True)]
    assert made.debug == [f"attached {path}: a read", f"attached {path}: a write"]


def test_a_library_without_an_end_says_so(tmp_path: Path, bench: MakeBench) -> None:
    made = bench(frees=())
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    assert [each.tells_ends for each in made.told] == [False]


def test_a_file_is_looked_at_once_whatever_its_name(tmp_path: Path, bench: MakeBench) -> None:
    path = library(tmp_path / "libfake.so")
    other_name = tmp_path / "other.so"
    other_name.hardlink_to(path)
    made = bench()
    identities = {made.attacher.look_at(mapped(name)) for name in (path, other_name, path)}
    assert len(identities) == 1
    assert len(made.plans) == len(made.kernel.attached) == 1


def test_a_file_with_nothing_in_it_is_looked_at_once_too(tmp_path: Path, bench: MakeBench) -> None:
    path = library(tmp_path / "libother.so", function="something_else")
    made = bench()
    made.attacher.look_at(mapped(path))
    made.attacher.look_at(mapped(path))
    assert len(made.plans) == 1
    assert (made.kernel.attached, made.told, made.debug) == ([], [], [])
    assert len(made.kernel.looked) == 2


def test_the_same_build_id_is_not_the_same_file(tmp_path: Path, bench: MakeBench) -> None:
    """Each gets a plan of its own: what carries another's build-id need not have its code."""
    first, second = library(tmp_path / "a.so"), library(tmp_path / "b.so", function="something_else")
    made = bench()
    for path in (first, second):
        made.attacher.look_at(mapped(path))
    assert len(made.plans) == 2
    assert made.kernel.inodes == [first.stat().st_ino]


def test_an_inode_number_used_again_is_another_file(
    tmp_path: Path, bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = library(tmp_path / "libfake.so", function="something_else")
    generations = iter([1, 1, 2])
    monkeypatch.setattr(attacher_module, "identity_of", lambda _fd: Identity(1, 2, next(generations)))
    made = bench()
    made.attacher.look_at(mapped(path))
    made.attacher.look_at(mapped(path))
    assert made.kernel.attached == []
    library(path)
    made.attacher.look_at(mapped(path))
    assert len(made.kernel.attached) == 1
    assert [generation for _, _, generation in made.kernel.looked] == [1, 1, 2]


def test_identity_is_of_the_file(tmp_path: Path) -> None:
    path, copy = library(tmp_path / "a.so"), tmp_path / "b.so"
    shutil.copy(path, copy)
    identities = []
    for name in (path, path, copy):
        fd = os.open(name, os.O_RDONLY)
        identities.append(identity_of(fd))
        os.close(fd)
    assert identities[0] == identities[1] != identities[2]
    assert identities[0][:2] == (path.stat().st_dev, path.stat().st_ino)


def test_a_file_that_went_away_may_come_again(tmp_path: Path, bench: MakeBench) -> None:
    """It was not looked at, so that nothing is remembered of it, and nobody is let pass unheld."""
    path = library(tmp_path / "libfake.so")
    file, kept = mapped(path, pids=()), tmp_path / "kept"
    made = bench()
    path.rename(kept)
    assert made.attacher.look_at(file) is None
    assert "cannot be opened" in made.debug[0]
    assert made.kernel.looked == []
    kept.rename(path)
    assert made.attacher.look_at(file)
    assert len(made.kernel.attached) == 1


def test_a_file_of_damaged_content_goes_to_debug(tmp_path: Path, bench: MakeBench) -> None:
    path = library(tmp_path / "libfake.so")
    path.write_bytes(path.read_bytes()[:100])
    made = bench()
    made.attacher.look_at(mapped(path))
    assert len(made.debug) == 1
    assert str(path) in made.debug[0]
    assert made.kernel.attached == []


# By pid.


def test_links_are_for_these_pids(tmp_path: Path, bench: MakeBench) -> None:
    made = bench(pids=(7, 8))
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    assert made.kernel.attached[0][3] == (7, 8)


def test_pids_that_are_all_gone_are_said_to_debug(tmp_path: Path, bench: MakeBench) -> None:
    made = bench(pids=(7,))
    made.kernel.refuses = TargetError("cannot attach to pid 7: no such process")
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    assert made.attacher.libraries == []
    assert made.debug == [f"{tmp_path}/libfake.so: cannot attach to pid 7: no such process"]


def scans(monkeypatch: pytest.MonkeyPatch, *files: MappedFile) -> list[object]:
    asked: list[object] = []

    def scan(pids: object = None, **_: object) -> Scan:
        asked.append(pids)
        return Scan({file.id: file for file in files}, processes=5, unreadable=2)

    monkeypatch.setattr(procmaps, "scan", scan)
    return asked


def test_a_mapping_of_another_process_is_not_looked_at(
    tmp_path: Path, bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """False: it may be one of ours that maps the file next."""
    file = mapped(library(tmp_path / "libfake.so"))
    asked = scans(monkeypatch, file)
    made = bench(pids=(7,))
    assert not made.attacher.look_at_mapping(8, *file.id)
    assert asked == []
    assert made.attacher.look_at_mapping(7, *file.id)
    assert asked == [(7,)]
    assert len(made.kernel.attached) == 1


def test_a_mapping_that_is_not_there_is_to_be_told_again(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    scans(monkeypatch)
    made = bench()
    assert not made.attacher.look_at_mapping(7, (8, 1), 99)
    assert made.kernel.looked == []


# Everything at the start.


def test_the_host_is_counted_in_processes(tmp_path: Path, bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mapped(library(tmp_path / "a.so"), pids=(7, 8))
    second = mapped(library(tmp_path / "b.so"), pids=(8, 9))
    other = mapped(library(tmp_path / "c.so", function="something_else"), pids=(7, 8, 9, 10))
    scans(monkeypatch, first, second, other)
    cached = library(tmp_path / "libfake.so")
    monkeypatch.setattr(ldcache, "libraries", lambda _prefixes: [str(cached), str(tmp_path / "a.so"), "/no/such"])
    made = bench()
    assert made.attacher.look_at_host() == (5, 3, 2)
    assert [Path(each.path).name for each in made.told] == ["a.so", "b.so", "libfake.so"]
    assert [each.number for each in made.told] == [1, 2, 3]


def test_for_pids_the_loaders_cache_is_left_alone(
    tmp_path: Path, bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = scans(monkeypatch, mapped(library(tmp_path / "a.so")))
    monkeypatch.setattr(ldcache, "libraries", lambda _prefixes: pytest.fail("not asked for"))
    made = bench(pids=(7,))
    assert made.attacher.look_at_host((7,)).tls_processes == 1
    assert asked == [(7,)]


# One path.


def test_a_path_without_the_functions_is_refused_with_a_hint(tmp_path: Path, bench: MakeBench) -> None:
    path = library(tmp_path / "libother.so", function="something_else")
    with pytest.raises(TargetError, match=f"{path} does not define fake_read: nothing to attach to") as raised:
        bench().attacher.attach_path(str(path))
    assert raised.value.hint


@pytest.mark.parametrize(("name", "why"), [("none", "no such file or directory"), ("none/b", "no such file")])
def test_a_path_that_is_not_there(tmp_path: Path, bench: MakeBench, name: str, why: str) -> None:
    with pytest.raises(TargetError, match=f"cannot open {tmp_path}/{name}: {why}") as raised:
        bench().attacher.attach_path(f"{tmp_path}/{name}")
    assert raised.value.hint


def test_a_path_whose_probes_the_kernel_refuses(tmp_path: Path, bench: MakeBench) -> None:
    made = bench()
    made.kernel.refuses = KernelError("the kernel refused to attach the probes: invalid argument")
    with pytest.raises(KernelError):
        made.attacher.attach_path(str(library(tmp_path / "libfake.so")))
    assert made.attacher.libraries == []


def test_no_descriptor_is_left_open(tmp_path: Path, bench: MakeBench) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    made = bench()
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    made.attacher.attach_path(str(library(tmp_path / "b.so")))
    made.kernel.refuses = TargetError("no")
    made.attacher.look_at(mapped(library(tmp_path / "c.so")))
    with pytest.raises(TargetError):
        made.attacher.attach_path(str(library(tmp_path / "d.so", function="something_else")))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
