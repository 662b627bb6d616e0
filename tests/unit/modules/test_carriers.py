# SPDX-License-Identifier: Apache-2.0
"""Where bytes are handed over is found in the process: in the library's other half or its own file, each once."""

from __future__ import annotations

from pathlib import Path

import pytest
from elf_image import PUSH_RBP, RET, ElfImage
from fake_attaching import CARRIER, library, make_bench, mapped, scans

from plaintap.modules import carriers
from plaintap.runtime.kernel import Probe


def crypto(path: Path, *, soname: str = "libfakecrypto.so.1") -> Path:
    image = ElfImage(soname=soname)
    image.add("fake_carry", [PUSH_RBP, RET])
    image.write(path)
    return path


def test_carriers_in_the_other_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the file calls itself: its name may be longer, and others may begin alike."""
    path, half = library(tmp_path / "libfake.so"), crypto(tmp_path / "libfakecrypto.so.1.2")
    other = crypto(tmp_path / "libfakecrypto-renamed.so.1", soname="libfakecrypto-renamed.so.1")
    scans(monkeypatch, mapped(path), mapped(other), mapped(half))
    made = make_bench()
    made.attacher.look_at(mapped(path))
    assert made.attacher.attach_bios(1, 7)
    assert made.kernel.attached[1:] == [(half.stat().st_ino, [Probe("pt_bio_write", 64, 1)], 1, (7,))]
    assert made.debug[-1] == f"attached {half} in pid 7 for fake 1.0: a hand-over"


def test_carriers_once_for_each_library_and_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = library(tmp_path / "libfake.so"), library(tmp_path / "b.so")
    half = crypto(tmp_path / "libfakecrypto.so.1")
    scans(monkeypatch, mapped(first), mapped(half))
    made = make_bench()
    for path in (first, second):
        made.attacher.look_at(mapped(path))
    assert [made.attacher.attach_bios(number, pid) for number, pid in ((1, 7), (1, 8), (2, 7))] == [True] * 3
    assert [(number, pids) for _, _, number, pids in made.kernel.attached[2:]] == [(1, (7,)), (1, (8,)), (2, (7,))]


def test_carriers_in_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, half = library(tmp_path / "node"), crypto(tmp_path / "libfakecrypto.so.1")
    scans(monkeypatch, mapped(half), mapped(path))
    made = make_bench(carriers=(CARRIER,))
    made.attacher.look_at(mapped(path))
    assert made.attacher.attach_bios(1, 7)
    assert made.kernel.inodes == [path.stat().st_ino] * 2


def test_carriers_of_a_process_that_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = library(tmp_path / "libfake.so")
    gone = mapped(crypto(tmp_path / "libfakecrypto.so.1"), pids=())
    (tmp_path / "libfakecrypto.so.1").unlink()
    scans(monkeypatch, mapped(path), gone)
    made = make_bench(pids=(7,))
    made.attacher.look_at(mapped(path))
    assert not made.attacher.attach_bios(1, 7)
    assert "cannot be opened" in made.debug[-1]
    assert not made.attacher.attach_bios(1, 8)
    assert not made.attacher.attach_bios(2, 7)
    assert len(made.kernel.attached) == 1


def test_carriers_that_this_kernel_has_no_program_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = library(tmp_path / "libfake.so")
    asked = scans(monkeypatch, mapped(path), mapped(crypto(tmp_path / "libfakecrypto.so.1")))
    made = make_bench()
    made.kernel.lacks = ("pt_bio_write",)
    made.attacher.look_at(mapped(path))
    assert not made.attacher.attach_bios(1, 7)
    assert (7,) not in asked


def test_a_process_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, half = library(tmp_path / "libfake.so"), crypto(tmp_path / "libfakecrypto.so.1")
    asked = scans(monkeypatch, mapped(path), mapped(half))
    made = make_bench()
    made.attacher.look_at(mapped(path))
    assert [made.attacher.attach_bios(1, pid) for pid in (7, 7, 8, 7, 8)] == [True] * 5
    assert asked == [(7,), (8,)]


def test_what_is_not_there_is_not_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = library(tmp_path / "libfake.so")
    asked = scans(monkeypatch, mapped(path))
    made = make_bench()
    made.attacher.look_at(mapped(path))
    assert [made.attacher.attach_bios(1, 7) for _ in range(2)] == [False, False]
    assert asked == [(7,)]


def test_a_process_that_has_gone_says_nothing_of_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, half = library(tmp_path / "libfake.so"), crypto(tmp_path / "libfakecrypto.so.1")
    scans(monkeypatch)
    made = make_bench()
    made.attacher.look_at(mapped(path))
    assert not made.attacher.attach_bios(1, 7)
    scans(monkeypatch, mapped(path), mapped(half))
    assert made.attacher.attach_bios(1, 7)


def test_the_oldest_processes_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carriers, "_REMEMBERED_MAX", 2)
    path, half = library(tmp_path / "libfake.so"), crypto(tmp_path / "libfakecrypto.so.1")
    asked = scans(monkeypatch, mapped(path), mapped(half))
    made = make_bench()
    made.attacher.look_at(mapped(path))
    assert all(made.attacher.attach_bios(1, pid) for pid in (7, 8, 9, 9, 8, 7))
    assert asked == [(7,), (8,), (9,), (7,)]


def test_what_the_kernel_side_took_back_is_attached_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, half = library(tmp_path / "libfake.so"), crypto(tmp_path / "libfakecrypto.so.1")
    scans(monkeypatch, mapped(path), mapped(half))
    made = make_bench()
    made.attacher.look_at(mapped(path))
    assert [made.attacher.attach_bios(1, 7) for _ in range(2)] == [True, True]
    assert made.kernel.inodes[1:] == [half.stat().st_ino]
    made.kernel.on_demand.clear()
    assert made.attacher.attach_bios(1, 7)
    assert made.kernel.inodes[1:] == [half.stat().st_ino] * 2
