# SPDX-License-Identifier: Apache-2.0
"""Which object is loaded, with what of it, and the ways back: nothing stays open of what was tried in vain."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from plaintap import _native
from plaintap.errors import KernelError, PlaintapError
from plaintap.runtime import forced, programs, sockets
from plaintap.runtime.kernel import Kernel
from plaintap.runtime.kernel_config import Filters, Wanted, pack_config
from plaintap.runtime.programs import (
    BIO_PROGRAMS,
    CLOSE_TRACEPOINTS,
    FOLLOW_TRACEPOINTS,
    GO_PROGRAMS,
    GO_SECRETS_PROGRAMS,
    NAME_PROGRAMS,
    OPENSSL_PROGRAMS,
    PROBE_PROGRAMS,
    TRACEPOINTS,
    UPROBE_MULTI,
)
from plaintap.runtime.sockets import HOOKS, Way

RING_BYTES = 1 << 20
WANTED = Wanted(plaintext=True, secrets=True)


def failure(number: int) -> _native.NativeError:
    return _native.NativeError(number, os.strerror(number))


class FakeProgramsObject:
    """In place of `_native.Object`; what the test wants to fail is told by `FakeNative`."""

    def __init__(self, native: FakeNative, image: bytes, name: str) -> None:
        self.native, self.image, self.name = native, image, name
        self.initial: dict[str, bytes] = {}
        self.entries: dict[str, int] = {}
        self.autoload: dict[str, bool] = {}
        self.attach_types: dict[str, int] = {}
        self.loaded = self.closed = False

    def set_initial(self, map_name: str, value: bytes) -> None:
        self.initial[map_name] = value

    def set_max_entries(self, map_name: str, entries: int) -> None:
        self.entries[map_name] = entries

    def set_autoload(self, program: str, on: bool) -> None:
        self.autoload[program] = on

    def set_attach_type(self, program: str, attach_type: int) -> None:
        self.attach_types[program] = attach_type

    @property
    def chosen(self) -> set[str]:
        """The programs at sockets that are loaded."""
        return {name for name in sockets.PROGRAMS if self.autoload.get(name, False)}

    def load(self) -> None:
        if any(self.chosen == {hook.program for hook in HOOKS[way]} for way in self.native.unloadable):
            raise failure(errno.EINVAL)
        self.loaded = True

    def program_fd(self, name: str) -> int:
        assert self.loaded
        return 1000

    def map_fd(self, name: str) -> int:
        assert self.loaded
        return 1001

    def close(self) -> None:
        self.closed = True


class FakeRing:
    def __init__(self, map_fd: int, size: int) -> None:
        self.size = size

    def close(self) -> None:
        pass


class FakeNative:
    """A kernel that takes everything but what it is told to refuse; links are plain descriptors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.unloadable: set[Way] = set()
        self.unlinkable: set[Way] = set()
        self.failing: dict[str, int] = {}
        """Error numbers for `empty_program`, `link_uprobe_multi` and tracepoints."""
        self.objects: list[FakeProgramsObject] = []
        self.fds: list[int] = []
        self.tracepoints: list[str] = []
        self.updates: list[tuple[bytes, bytes]] = []
        monkeypatch.setattr(_native, "Object", self._object)
        monkeypatch.setattr(_native, "Ring", FakeRing)
        monkeypatch.setattr(_native, "map_update", lambda _fd, key, value: self.updates.append((key, value)))
        monkeypatch.setattr(_native, "empty_program", lambda _type: self._open("empty_program"))
        monkeypatch.setattr(_native, "link_uprobe_multi", lambda *_, **__: self._open("link_uprobe_multi"))
        monkeypatch.setattr(_native, "link_raw_tracepoint", self._tracepoint)
        monkeypatch.setattr(sockets, "ways", lambda: list(Way))
        monkeypatch.setattr(sockets, "link", self._sockets)
        monkeypatch.delenv(forced.VARIABLE, raising=False)

    def _object(self, image: bytes, name: str) -> FakeProgramsObject:
        self.objects.append(FakeProgramsObject(self, image, name))
        return self.objects[-1]

    def _open(self, name: str) -> int:
        if number := self.failing.get(name):
            raise failure(number)
        self.fds.append(os.open(os.devnull, os.O_RDONLY))
        return self.fds[-1]

    def _tracepoint(self, _program_fd: int, name: str) -> int:
        self.tracepoints.append(name)
        return self._open(name)

    def _sockets(self, _programs: FakeProgramsObject, way: Way) -> list[int]:
        if way in self.unlinkable:
            raise failure(errno.ENOENT)
        return [self._open(way.value)]

    def still_open(self) -> list[int]:
        return [fd for fd in self.fds if Path(f"/proc/self/fd/{fd}").exists()]

    @property
    def loaded(self) -> FakeProgramsObject:
        """The one that is in use; what was tried before is closed."""
        assert [each.closed for each in self.objects] == [True] * (len(self.objects) - 1) + [False]
        return self.objects[-1]


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNative]:
    native = FakeNative(monkeypatch)
    yield native
    for fd in native.still_open():
        os.close(fd)


def load(filters: Filters | None = None, wanted: Wanted = WANTED) -> Kernel:
    return Kernel({"openssl"}, filters or Filters(), wanted, ring_bytes=RING_BYTES)


def programs_of(*ways: Way) -> set[str]:
    return {hook.program for way in ways for hook in HOOKS[way]}


def installed(variant: str) -> bytes:
    return resources.files("plaintap").joinpath(f"bpf/tls.{variant}.bpf.o").read_bytes()


def test_the_first_way_is_taken_where_everything_works(native: FakeNative) -> None:
    kernel = load()
    (loaded,) = native.objects
    assert (kernel.way, kernel.sees_hellos, kernel.refused) == (Way.TRACEPOINT, True, [])
    assert loaded.chosen == programs_of(Way.TRACEPOINT)
    assert loaded.image == installed("core")
    config = pack_config(Filters(), WANTED, self_tgid=os.getpid(), ring_bytes=RING_BYTES)
    assert (loaded.initial, loaded.entries) == ({".rodata.config": config}, {"pt_ring": RING_BYTES})
    kernel.close()
    assert loaded.closed
    assert native.still_open() == []


@pytest.mark.parametrize(
    ("unloadable", "unlinkable", "taken"),
    [
        ({Way.TRACEPOINT}, set(), Way.TRACING),
        (set(), {Way.TRACEPOINT}, Way.TRACING),
        ({Way.TRACING}, {Way.TRACEPOINT}, Way.KPROBE),
        ({Way.TRACEPOINT, Way.TRACING}, set(), Way.KPROBE),
    ],
)
def test_what_this_kernel_refuses_is_passed_over(
    native: FakeNative, unloadable: set[Way], unlinkable: set[Way], taken: Way
) -> None:
    native.unloadable, native.unlinkable = unloadable, unlinkable
    kernel = load()
    assert kernel.way is taken
    assert native.loaded.chosen == programs_of(taken)
    assert [each.partition(":")[0] for each in kernel.refused] == [way.value for way in Way if way is not taken][
        : len(unloadable | unlinkable)
    ]
    kernel.close()
    assert native.still_open() == []


def test_without_any_way_the_rest_is_loaded(native: FakeNative) -> None:
    native.unlinkable = set(Way)
    kernel = load()
    assert (kernel.way, kernel.sees_hellos) == (None, False)
    assert kernel.refused == [f"{way.value}: no such file or directory" for way in Way]
    assert native.loaded.chosen == set()
    kernel.close()


def test_programs_that_are_refused_whatever_the_way_are_an_error(native: FakeNative) -> None:
    native.unloadable = set(Way)
    with pytest.raises(KernelError):
        load()
    assert len(native.objects) == 3
    assert all(each.closed for each in native.objects)
    assert native.still_open() == []


@pytest.mark.parametrize("follow", [False, True])
def test_descendants_are_followed_when_asked(native: FakeNative, follow: bool) -> None:
    kernel = load(Filters(follow=follow))
    assert {name: native.loaded.autoload[name] for name in FOLLOW_TRACEPOINTS} == dict.fromkeys(
        FOLLOW_TRACEPOINTS, follow
    )
    followed = FOLLOW_TRACEPOINTS.values() if follow else ()
    assert native.tracepoints == [*TRACEPOINTS.values(), *followed, *CLOSE_TRACEPOINTS.values()]
    kernel.close()


def test_without_type_information_other_programs_are_loaded(
    native: FakeNative, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(forced.VARIABLE, "noncore")
    kernel = load()
    (loaded,) = native.objects
    assert loaded.image == installed("noncore")
    assert loaded.autoload == {name: name in OPENSSL_PROGRAMS for name in PROBE_PROGRAMS}
    assert loaded.attach_types == dict.fromkeys(PROBE_PROGRAMS, UPROBE_MULTI)
    assert native.tracepoints == [*TRACEPOINTS.values(), "sys_exit"]
    assert (kernel.way, kernel.sees_hellos) == (None, False)
    kernel.close()


def test_without_type_information_nobody_is_followed(native: FakeNative, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(forced.VARIABLE, "noncore")
    with pytest.raises(KernelError, match="following a command's descendants takes type information"):
        load(Filters(follow=True))
    assert native.still_open() == []


@pytest.mark.parametrize(("wanted", "without"), [(Wanted(), set(GO_SECRETS_PROGRAMS)), (WANTED, set())])
def test_only_the_programs_of_what_is_captured_are_loaded(
    native: FakeNative, wanted: Wanted, without: set[str]
) -> None:
    kernel = Kernel({"gotls"}, Filters(), wanted, ring_bytes=RING_BYTES)
    probes = {name for name in (*PROBE_PROGRAMS, *BIO_PROGRAMS) if native.loaded.autoload[name]}
    assert probes == set(GO_PROGRAMS) - without
    kernel.close()


def test_probes_are_linked_together_where_the_kernel_can(native: FakeNative) -> None:
    kernel = load()
    assert native.loaded.attach_types == dict.fromkeys((*PROBE_PROGRAMS, *BIO_PROGRAMS), UPROBE_MULTI)
    kernel.close()


@pytest.mark.parametrize(
    ("failing", "together"),
    [
        ({"link_uprobe_multi": errno.EINVAL}, False),
        ({"link_uprobe_multi": errno.EOPNOTSUPP}, False),
        ({"link_uprobe_multi": errno.EPERM}, True),
        ({"empty_program": errno.EPERM}, True),
    ],
)
def test_probes_are_linked_one_by_one_where_it_cannot(
    native: FakeNative, failing: dict[str, int], together: bool
) -> None:
    """A refusal for another reason is left to the real programs, which say why."""
    native.failing = failing
    kernel = load()
    assert bool(native.loaded.attach_types) == together
    kernel.close()
    assert native.still_open() == []


def test_linking_one_by_one_can_be_forced(native: FakeNative, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(forced.VARIABLE, "nomulti")
    kernel = load()
    assert native.loaded.attach_types == {}
    kernel.close()


@pytest.mark.parametrize("tracepoint", TRACEPOINTS.values())
def test_a_tracepoint_that_is_missing_leaves_nothing(native: FakeNative, tracepoint: str) -> None:
    native.failing = {tracepoint: errno.ENOENT}
    with pytest.raises(KernelError, match=f"use the tracepoint {tracepoint}"):
        load()
    assert native.objects[-1].closed
    assert native.still_open() == []


@pytest.mark.parametrize("tracepoint", CLOSE_TRACEPOINTS.values())
def test_a_kernel_that_does_not_tell_of_closing_is_taken(native: FakeNative, tracepoint: str) -> None:
    native.failing = {tracepoint: errno.ENOENT}
    kernel = load()
    assert tracepoint in native.tracepoints
    assert not native.loaded.closed
    kernel.close()
    assert native.still_open() == []


def test_closing_that_is_refused_is_an_error(native: FakeNative) -> None:
    native.failing = {"tcp_destroy_sock": errno.EPERM}
    with pytest.raises(PlaintapError):
        load()
    assert native.still_open() == []


def test_where_only_secrets_are_wanted_nothing_else_is_looked_at(native: FakeNative) -> None:
    kernel = load(wanted=Wanted(plaintext=False, secrets=True))
    assert {name: native.loaded.autoload[name] for name in (*NAME_PROGRAMS, *CLOSE_TRACEPOINTS)} == dict.fromkeys(
        (*NAME_PROGRAMS, *CLOSE_TRACEPOINTS), False
    )
    assert native.tracepoints == list(TRACEPOINTS.values())
    kernel.close()


def test_a_cgroup_that_is_missing_leaves_nothing(native: FakeNative, tmp_path: Path) -> None:
    with pytest.raises(PlaintapError, match="cannot open cgroup"):
        load(Filters(cgroup_path=str(tmp_path / "gone")))
    assert native.objects[-1].closed
    assert native.still_open() == []


def test_every_pid_is_told(native: FakeNative) -> None:
    kernel = load(Filters(pids=(7, 8)))
    assert native.updates == [(b"\7\0\0\0", b"\1\0\0\0"), (b"\x08\0\0\0", b"\1\0\0\0")]
    kernel.close()


def test_a_kernel_without_type_information_says_so(native: FakeNative, monkeypatch: pytest.MonkeyPatch) -> None:
    native.unloadable = set(Way)
    monkeypatch.setattr(programs, "BTF", Path("/proc/self/not-there"))
    with pytest.raises(KernelError, match="this kernel has no type information"):
        load()
