# SPDX-License-Identifier: Apache-2.0
"""Files looked at once each, whatever their names and numbers, with a kernel that only remembers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fake_attaching import BETTER, LAYOUT, library, make_bench, mapped, scans

from plaintap.errors import KernelError, TargetError
from plaintap.modules import attacher as attacher_module
from plaintap.modules.attacher import Library, OtherHalf
from plaintap.modules.base import NotHookable, ProbePlan
from plaintap.modules.cookies import pack_cookie
from plaintap.modules.files import Identity
from plaintap.modules.probes import NO_LAYOUT, layout_bytes
from plaintap.runtime.kernel import Probe
from plaintap.targets import ldcache
from plaintap.targets.layouts.model import KnownLayout


def test_a_library_is_attached_with_its_probes_and_told(tmp_path: Path) -> None:
    path = library(tmp_path / "libfake.so")
    made = make_bench()
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
    assert made.debug == [f"attached {path}: {why}" for why in ("a read", "a write", "the end")]


def test_a_library_without_an_end_says_so(tmp_path: Path) -> None:
    made = make_bench(tells_ends=False)
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    assert [each.tells_ends for each in made.told] == [False]


def test_a_file_is_looked_at_once_whatever_its_name(tmp_path: Path) -> None:
    path = library(tmp_path / "libfake.so")
    other_name = tmp_path / "other.so"
    other_name.hardlink_to(path)
    made = make_bench()
    identities = {made.attacher.look_at(mapped(name)) for name in (path, other_name, path)}
    assert len(identities) == 1
    assert len(made.plans) == len(made.kernel.attached) == 1


def test_a_file_with_nothing_in_it_is_looked_at_once_too(tmp_path: Path) -> None:
    path = library(tmp_path / "libother.so", function="something_else")
    made = make_bench()
    made.attacher.look_at(mapped(path))
    made.attacher.look_at(mapped(path))
    assert len(made.plans) == 1
    assert (made.kernel.attached, made.told, made.debug) == ([], [], [])
    assert len(made.kernel.looked) == 2


def test_the_same_build_id_is_not_the_same_file(tmp_path: Path) -> None:
    """Each gets a plan of its own: what carries another's build-id need not have its code."""
    first, second = library(tmp_path / "a.so"), library(tmp_path / "b.so", function="something_else")
    made = make_bench()
    for path in (first, second):
        made.attacher.look_at(mapped(path))
    assert len(made.plans) == 2
    assert made.kernel.inodes == [first.stat().st_ino]


def test_an_inode_number_used_again_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = library(tmp_path / "libfake.so", function="something_else")
    generations = iter([1, 1, 2])
    monkeypatch.setattr(attacher_module, "identity_of", lambda _fd: Identity(1, 2, next(generations)))
    made = make_bench()
    made.attacher.look_at(mapped(path))
    made.attacher.look_at(mapped(path))
    assert made.kernel.attached == []
    library(path)
    made.attacher.look_at(mapped(path))
    assert len(made.kernel.attached) == 1
    assert [generation for _, _, generation in made.kernel.looked] == [1, 1, 2]


def test_a_file_that_went_away_may_come_again(tmp_path: Path) -> None:
    """It was not looked at, so that nothing is remembered of it, and nobody is let pass unheld."""
    path = library(tmp_path / "libfake.so")
    file, kept = mapped(path, pids=()), tmp_path / "kept"
    made = make_bench()
    path.rename(kept)
    assert made.attacher.look_at(file) is None
    assert "cannot be opened" in made.debug[0]
    assert made.kernel.looked == []
    kept.rename(path)
    assert made.attacher.look_at(file)
    assert len(made.kernel.attached) == 1


def test_a_file_of_damaged_content_goes_to_debug(tmp_path: Path) -> None:
    path = library(tmp_path / "libfake.so")
    path.write_bytes(path.read_bytes()[:100])
    made = make_bench()
    made.attacher.look_at(mapped(path))
    assert len(made.debug) == 1
    assert str(path) in made.debug[0]
    assert made.kernel.attached == []


# By pid.


def test_links_are_for_these_pids(tmp_path: Path) -> None:
    made = make_bench(pids=(7, 8))
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    assert made.kernel.attached[0][3] == (7, 8)


def test_pids_that_are_all_gone_are_said_to_debug(tmp_path: Path) -> None:
    made = make_bench(pids=(7,))
    made.kernel.refuses = TargetError("cannot attach to pid 7: no such process")
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    assert made.attacher.libraries == []
    assert made.debug == [f"{tmp_path}/libfake.so: cannot attach to pid 7: no such process"]


def test_a_mapping_of_another_process_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """False: it may be one of ours that maps the file next."""
    file = mapped(library(tmp_path / "libfake.so"))
    asked = scans(monkeypatch, file)
    made = make_bench(pids=(7,))
    assert not made.attacher.look_at_mapping(8, *file.id)
    assert asked == []
    assert made.attacher.look_at_mapping(7, *file.id)
    assert asked == [(7,)]
    assert len(made.kernel.attached) == 1


def test_a_mapping_that_is_not_there_is_to_be_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scans(monkeypatch)
    made = make_bench()
    assert not made.attacher.look_at_mapping(7, (8, 1), 99)
    assert made.kernel.looked == []


# Everything at the start.


def test_the_host_is_counted_in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mapped(library(tmp_path / "a.so"), pids=(7, 8))
    second = mapped(library(tmp_path / "b.so"), pids=(8, 9))
    other = mapped(library(tmp_path / "c.so", function="something_else"), pids=(7, 8, 9, 10))
    scans(monkeypatch, first, second, other)
    cached = library(tmp_path / "libfake.so")
    monkeypatch.setattr(ldcache, "libraries", lambda _prefixes: [str(cached), str(tmp_path / "a.so"), "/no/such"])
    made = make_bench()
    assert made.attacher.look_at_host() == (5, 3, 2)
    assert [Path(each.path).name for each in made.told] == ["a.so", "b.so", "libfake.so"]
    assert [each.number for each in made.told] == [1, 2, 3]


def test_for_pids_the_loaders_cache_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scans(monkeypatch, mapped(library(tmp_path / "a.so")))
    monkeypatch.setattr(ldcache, "libraries", lambda _prefixes: pytest.fail("not asked for"))
    made = make_bench(pids=(7,))
    assert made.attacher.look_at_host((7,)).tls_processes == 1
    assert asked == [(7,)]


# One path.


def test_a_path_without_the_functions_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = library(tmp_path / "libother.so", function="something_else")
    with pytest.raises(TargetError, match=f"{path} does not define fake_read: nothing to attach to") as raised:
        (made := make_bench()).attacher.attach_path(str(path), made.module)
    assert raised.value.hint


@pytest.mark.parametrize(("name", "why"), [("none", "no such file or directory"), ("none/b", "no such file")])
def test_a_path_that_is_not_there(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(TargetError, match=f"cannot open {tmp_path}/{name}: {why}") as raised:
        (made := make_bench()).attacher.attach_path(f"{tmp_path}/{name}", made.module)
    assert raised.value.hint


def test_a_path_whose_probes_the_kernel_refuses(tmp_path: Path) -> None:
    made = make_bench()
    made.kernel.refuses = KernelError("the kernel refused to attach the probes: invalid argument")
    with pytest.raises(KernelError):
        made.attacher.attach_path(str(library(tmp_path / "libfake.so")), made.module)
    assert made.attacher.libraries == []


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    made = make_bench()
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    made.attacher.attach_path(str(library(tmp_path / "b.so")), made.module)
    made.kernel.refuses = TargetError("no")
    made.attacher.look_at(mapped(library(tmp_path / "c.so")))
    with pytest.raises(TargetError):
        made.attacher.attach_path(str(library(tmp_path / "d.so", function="something_else")), made.module)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# Programs and layouts.


def test_points_whose_program_this_kernel_lacks_are_left_out(tmp_path: Path) -> None:
    made = make_bench()
    made.kernel.lacks = ("pt_session_free",)
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    (attached,) = made.kernel.attached
    assert [probe.program for probe in attached[1]] == ["pt_call_enter", "pt_call_return"] * 2


def test_two_versions_in_one_process_are_two_targets(tmp_path: Path) -> None:
    made = make_bench()
    first, second = library(tmp_path / "libfake.so.1"), library(tmp_path / "libfake.so.2")
    second.write_bytes(second.read_bytes() + b"another")
    for path in (first, second):
        made.attacher.look_at(mapped(path, pids=(7,)))
    assert [each.number for each in made.told] == [1, 2]
    assert {probe.cookie & 0xFFFF for _, probes, _, _ in made.kernel.attached for probe in probes} == {1, 2}


def test_a_library_without_names_is_said_to_debug_once(tmp_path: Path) -> None:
    path = library(tmp_path / "libfake.so", function="fake_stripped")
    made = make_bench()
    for _ in range(2):
        made.attacher.look_at(mapped(path))
    assert made.debug == [f"{path}: seen, not hookable, because it has no names"]
    with pytest.raises(NotHookable, match="seen, not hookable, because") as raised:
        made.attacher.attach_path(str(path), made.module)
    assert raised.value.hint


def test_the_layout_is_there_before_the_first_probe(tmp_path: Path) -> None:
    asked: list[tuple[str | None, str, int]] = []

    def layout_for(plan: ProbePlan, path: str, fd: int, _half: OtherHalf) -> KnownLayout:
        asked.append((plan.version, path, os.fstat(fd).st_ino))
        return LAYOUT

    path = library(tmp_path / "libfake.so")
    made = make_bench(layout_for=layout_for)
    made.attacher.look_at(mapped(path))
    assert asked == [("1.0", str(path), path.stat().st_ino)]
    assert made.kernel.layouts == [(1, layout_bytes(LAYOUT), 0)]
    assert made.told[0].layout == LAYOUT


def test_no_layout_takes_the_place_of_a_refused_librarys(tmp_path: Path) -> None:
    layouts = iter([LAYOUT, None])
    made = make_bench(layout_for=lambda _plan, _path, _fd, _half: next(layouts))
    made.kernel.refuses = KernelError("no")
    made.attacher.look_at(mapped(library(tmp_path / "a.so")))
    made.kernel.refuses = None
    made.attacher.look_at(mapped(library(tmp_path / "b.so")))
    assert [(number, packed) for number, packed, _ in made.kernel.layouts] == [
        (1, layout_bytes(LAYOUT)),
        (1, NO_LAYOUT),
    ]


def test_a_better_layout_later(tmp_path: Path) -> None:
    made = make_bench(layout_for=lambda _plan, _path, _fd, _half: LAYOUT)
    made.attacher.look_at(mapped(library(tmp_path / "libfake.so")))
    assert made.attacher.relayout(1, BETTER) == made.attacher.libraries[0]
    assert made.attacher.libraries[0].layout == BETTER
    assert made.kernel.layouts[-1] == (1, layout_bytes(BETTER), 1)


def test_the_version_is_asked_of_the_other_half_that_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = library(tmp_path / "libfake.so")
    half = library(tmp_path / "libfakecrypto.so.1")
    asked = scans(monkeypatch, mapped(path), mapped(half))
    made = make_bench(tells_version=False)
    made.attacher.look_at(mapped(path, pids=(9, 7)))
    assert asked == [(7,)]
    assert made.plans == [str(path), str(half)]
    assert len(made.kernel.attached) == 1


def test_a_link_beside_the_library_that_leads_elsewhere_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an absolute link in a container, which leads into this host's root when it is followed from here."""
    path = library(tmp_path / "libfake.so")
    (tmp_path / "opt").mkdir()
    half = library(tmp_path / "opt" / "libfakecrypto.so.1.2")
    (tmp_path / "libfakecrypto.so.1").symlink_to("/opt/libfakecrypto.so.1.2")
    halves: list[str | None] = []
    scans(monkeypatch, mapped(path), mapped(half))
    made = make_bench(layout_for=lambda _plan, _path, _fd, other_half: halves.append(other_half()))
    made.attacher.look_at(mapped(path))
    assert made.plans == [str(path), str(half)]
    assert halves == [str(half)]


def test_a_library_whose_other_half_is_not_mapped_is_attached_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = library(tmp_path / "libfake.so")
    asked = scans(monkeypatch, mapped(path))
    made = make_bench(tells_version=False)
    made.attacher.look_at(mapped(path, pids=(9, 7)))
    assert asked == [(7,), (9,)]
    assert made.plans == [str(path)]
    assert len(made.kernel.attached) == 1
