# SPDX-License-Identifier: Apache-2.0
"""Links by pid, without a kernel side: one of several pids may be gone, all of them may not."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from plaintap import _native
from plaintap.errors import KernelError, TargetError
from plaintap.events import SESSION_END
from plaintap.runtime import sockets
from plaintap.runtime.kernel import Kernel, Probe
from plaintap.runtime.kernel_config import Filters, Wanted
from plaintap.runtime.open_sessions import SESSION_HEAD, SESSION_SIZE
from plaintap.runtime.programs import (
    BIO_PROGRAMS,
    CLOSE_TRACEPOINTS,
    CONNECT_TRACEPOINTS,
    FOLLOW_TRACEPOINTS,
    PROBE_PROGRAMS,
    TRACEPOINTS,
    Programs,
)

PROBES = [
    Probe("pt_call_enter", 16, 1),
    Probe("pt_call_return", 16, 1, returns=True),
    Probe("pt_session_free", 32, 1),
]


class FakeObject:
    """Has every program but those, as long as they are loaded, and one map."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        self.not_loaded: set[str] = set()
        self.maps_asked: list[str] = []

    def program_fd(self, name: str) -> int:
        if name in self.unknown:
            raise KeyError(f"no program {name}")
        return -1 if name in self.not_loaded else 1000

    def map_fd(self, name: str) -> int:
        self.maps_asked.append(name)
        return 1001


class LoadedPrograms(Programs):
    """As after loading."""

    def __init__(self) -> None:
        self.multi = True
        self.object = FakeObject()
        self._object = self.object  # type: ignore[assignment] # only these two of its methods are used


class LoadedKernel(Kernel):
    """As after loading, with links that are plain descriptors."""

    def __init__(self, *, by_pid: bool = True, wanted: Wanted | None = None) -> None:
        self.filters = Filters()
        self._wanted = wanted or Wanted(secrets=True)
        self._left_without_secrets = 0
        self._layouts = {}
        self._on_demand = None
        self._links = []
        self._lock = threading.Lock()
        self._detached = False
        self._closed = False
        self._closers = []
        programs = LoadedPrograms()
        self._programs = programs
        self.object = programs.object
        self.by_pid = by_pid

    @property
    def _links_by_pid(self) -> bool:
        return self.by_pid


class FakeLinks:
    """Where links are asked for: the pids in `failing` get an error number instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing: dict[int, int] = {}
        self.made: list[tuple[int, bool, int]] = []
        self.marked: list[bytes] = []
        monkeypatch.setattr(_native, "link_uprobe_multi", self.link)
        monkeypatch.setattr(_native, "map_update", lambda _fd, key, _value: self.marked.append(key))

    def link(
        self,
        program_fd: int,
        path: str,
        offsets: Sequence[int],
        cookies: Sequence[int],
        *,
        returns: bool = False,
        pid: int = 0,
    ) -> int:
        if number := self.failing.get(pid):
            raise _native.NativeError(number, os.strerror(number))
        link = os.open(os.devnull, os.O_RDONLY)
        self.made.append((pid, returns, link))
        return link

    def still_open(self) -> list[int]:
        return [link for _, _, link in self.made if Path(f"/proc/self/fd/{link}").exists()]


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> FakeLinks:
    return FakeLinks(monkeypatch)


def close(kernel: Kernel) -> None:
    for link in kernel._links:
        os.close(link)


def test_one_set_of_links_for_everybody(links: FakeLinks) -> None:
    kernel = LoadedKernel()
    kernel.attach(0, PROBES, library=5)
    assert [pid for pid, _, _ in links.made] == [0, 0, 0]
    assert links.marked == [b"\5\0\0\0"]
    close(kernel)


def test_returns_are_linked_before_entries(links: FakeLinks) -> None:
    """No call is entered whose return would not be seen."""
    kernel = LoadedKernel()
    kernel.attach(0, PROBES, library=1)
    assert [returns for _, returns, _ in links.made] == [True, False, False]
    close(kernel)


def test_a_pid_that_is_gone_takes_no_other_with_it(links: FakeLinks) -> None:
    kernel = LoadedKernel()
    links.failing = {8: errno.ESRCH}
    kernel.attach(0, PROBES, library=1, pids=(8, 7, 9))
    assert [pid for pid, _, _ in links.made] == [7, 7, 7, 9, 9, 9]
    assert len(kernel._links) == 6
    assert links.marked
    close(kernel)


def test_pids_that_are_all_gone(links: FakeLinks) -> None:
    kernel = LoadedKernel()
    links.failing = {7: errno.ESRCH, 8: errno.ESRCH}
    with pytest.raises(TargetError, match="cannot attach to pid 7, 8: no such process"):
        kernel.attach(0, PROBES, library=1, pids=(7, 8))
    assert links.marked == []
    assert links.still_open() == kernel._links == []


def test_another_error_takes_everything_back(links: FakeLinks) -> None:
    kernel = LoadedKernel()
    links.failing = {8: errno.EMFILE}
    with pytest.raises(KernelError, match="attach the probes"):
        kernel.attach(0, PROBES, library=1, pids=(7, 8))
    assert links.still_open() == kernel._links == []


def test_where_links_are_of_one_thread_they_are_for_everybody(links: FakeLinks) -> None:
    kernel = LoadedKernel(by_pid=False)
    kernel.attach(0, PROBES, library=1, pids=(7, 8))
    assert [pid for pid, _, _ in links.made] == [0, 0, 0]
    close(kernel)


def test_what_is_attached_after_the_end_goes_at_once(links: FakeLinks) -> None:
    """The watching thread may be in the middle of it."""
    kernel = LoadedKernel()
    kernel._detached = True
    kernel.attach(0, PROBES, library=1)
    assert len(links.made) == 3
    assert links.still_open() == []


def test_a_program_that_was_not_loaded_is_not_there() -> None:
    kernel = LoadedKernel()
    kernel.object.unknown, kernel.object.not_loaded = {"pt_bio_write"}, {"pt_trace_tcp_send"}
    assert [kernel.has(name) for name in ("pt_call_enter", "pt_bio_write", "pt_trace_tcp_send")] == [True, False, False]


def test_a_layout_is_given_to_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[tuple[int, bytes, bytes]] = []
    monkeypatch.setattr(_native, "map_update", lambda *update: updates.append(update))
    kernel = LoadedKernel()
    kernel.set_layout(7, b"a layout")
    assert updates == [
        (1001, b"\1\0\0\0", b"a layout"),
        (1001, b"\7\0\0\0", b"\1\0\0\0"),
    ]
    assert kernel.object.maps_asked == ["pt_layouts", "pt_layout_of"]


def test_a_layout_that_was_set_is_never_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that run may be in the middle of it; libraries alike share one."""
    kernel = LoadedKernel()
    maps: list[tuple[str, int, bytes]] = []

    def update(_fd: int, key: bytes, value: bytes) -> None:
        maps.append((kernel.object.maps_asked[-1], int.from_bytes(key, "little"), value))

    monkeypatch.setattr(_native, "map_update", update)
    for library, packed in ((7, b"first"), (8, b"first"), (7, b"second"), (7, b"first")):
        kernel.set_layout(library, packed)
    assert [(number, packed) for name, number, packed in maps if name == "pt_layouts"] == [
        (1, b"first"),
        (2, b"second"),
    ]
    given = [(library, number[0]) for name, library, number in maps if name == "pt_layout_of"]
    assert given == [(7, 1), (8, 1), (7, 2), (7, 1)]
    assert maps[0][0] == "pt_layouts"  # there before anybody is told of it


def test_layouts_are_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "map_update", lambda *_update: None)
    monkeypatch.setattr("plaintap.runtime.kernel.LAYOUTS_MAX", 3)
    kernel = LoadedKernel()
    kernel.set_layout(1, b"first")
    kernel.set_layout(1, b"second")
    with pytest.raises(KernelError, match="more than 3 different layouts"):
        kernel.set_layout(1, b"third")
    kernel.set_layout(2, b"second")


def test_only_runs_of_loaded_programs_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = LoadedKernel()
    kernel.object.not_loaded = {*sockets.PROGRAMS, *FOLLOW_TRACEPOINTS, *CLOSE_TRACEPOINTS}
    kernel.object.unknown = {*BIO_PROGRAMS, *CONNECT_TRACEPOINTS}
    monkeypatch.setattr("plaintap.runtime.kernel.read_counters", lambda _fd: {"sessions_without_secrets": 1})
    monkeypatch.setattr(_native, "program_missed", lambda fd: {1000: 3}[fd])
    missed = 3 * (len(PROBE_PROGRAMS) + len(TRACEPOINTS))
    assert kernel.counters() == {"sessions_without_secrets": 1, "missed_runs": missed}


class FakeSessions:
    """The map of sessions: values by key, and the keys that a walk meets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: dict[bytes, bytes] = {}
        self.walk: list[bytes] = []
        monkeypatch.setattr(_native, "map_keys", lambda _fd, _size: self.walk)
        monkeypatch.setattr(_native, "map_lookup", lambda _fd, key, _size: self.values.get(key))
        monkeypatch.setattr("plaintap.runtime.kernel.read_counters", lambda _fd: {"sessions_without_secrets": 5})
        monkeypatch.setattr(_native, "program_missed", lambda _fd: 0)

    def add(self, number: int, *, secrets: int = 0) -> bytes:
        key = number.to_bytes(16, "little")
        head = SESSION_HEAD.pack(number, 10 * number, 100 * number, 0, 0, secrets)
        self.values[key] = head.ljust(SESSION_SIZE, b"\0")
        self.walk.append(key)
        return key


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> FakeSessions:
    return FakeSessions(monkeypatch)


def ends(records: list[bytes]) -> list[tuple[int, ...]]:
    return [SESSION_END.unpack(record)[-3:] for record in records]


def test_open_sessions_end_where_they_are(sessions: FakeSessions) -> None:
    sessions.add(1)
    sessions.add(2)
    assert ends(LoadedKernel().open_sessions(77)) == [(1, 10, 100), (2, 20, 200)]


def test_a_walk_that_began_anew_counts_each_once(sessions: FakeSessions) -> None:
    first, second = sessions.add(1), sessions.add(2)
    sessions.walk = [first, second, first, second]
    kernel = LoadedKernel()
    assert ends(kernel.open_sessions(77)) == [(1, 10, 100), (2, 20, 200)]
    assert kernel.counters()["sessions_without_secrets"] == 5 + 2


def test_a_session_that_has_gone_meanwhile_is_not_open(sessions: FakeSessions) -> None:
    del sessions.values[sessions.add(1)]
    kernel = LoadedKernel()
    assert kernel.open_sessions(77) == []
    assert kernel.counters()["sessions_without_secrets"] == 5


@pytest.mark.parametrize(("secrets", "without"), [(0, 1), (4, 1), (1, 0), (2, 0), (8, 0), (12, 0)])
def test_open_sessions_may_lack_their_secrets_too(sessions: FakeSessions, secrets: int, without: int) -> None:
    """4 says that the client random was seen, which is no secret."""
    sessions.add(1, secrets=secrets)
    kernel = LoadedKernel()
    kernel.open_sessions(77)
    assert kernel.counters()["sessions_without_secrets"] == 5 + without


def test_secrets_that_nobody_wants_are_not_missed(sessions: FakeSessions) -> None:
    sessions.add(1)
    kernel = LoadedKernel(wanted=Wanted(secrets=False))
    assert ends(kernel.open_sessions(77)) == [(1, 10, 100)]
    assert kernel.counters()["sessions_without_secrets"] == 5


def test_detached_is_when_every_link_is_closed(links: FakeLinks) -> None:
    kernel = LoadedKernel()
    kernel.attach(0, PROBES, library=1)
    assert len(links.still_open()) == 3
    kernel.detach()
    kernel.wait_detached()
    assert links.still_open() == []


def test_on_demand_is_for_one_process(links: FakeLinks) -> None:
    kernel = LoadedKernel()
    assert not kernel.has_on_demand(1, "libcrypto", 7)
    kernel.attach_on_demand(0, PROBES, library=1, file="libcrypto", pid=7)
    assert [pid for pid, _, _ in links.made] == [7, 7, 7]
    asked = [(1, "libcrypto", 7), (1, "libcrypto", 8), (2, "libcrypto", 7), (1, "node", 7)]
    assert [kernel.has_on_demand(*one) for one in asked] == [True, False, False, False]
    kernel.detach()
    kernel.wait_detached()
    assert links.still_open() == []


def test_on_demand_is_for_everybody_where_links_are(links: FakeLinks) -> None:
    kernel = LoadedKernel(by_pid=False)
    kernel.attach_on_demand(0, PROBES, library=1, file="libcrypto", pid=7)
    assert [pid for pid, _, _ in links.made] == [0, 0, 0]
    assert kernel.has_on_demand(1, "libcrypto", 8)
    kernel.detach()
    kernel.wait_detached()
    assert links.still_open() == []


@pytest.mark.parametrize("before", [True, False])
def test_what_is_demanded_after_the_end_goes_at_once(links: FakeLinks, before: bool) -> None:
    kernel = LoadedKernel()
    if before:
        kernel.attach_on_demand(0, PROBES, library=1, file="libcrypto", pid=7)
    kernel.detach()
    kernel.attach_on_demand(0, PROBES, library=1, file="libcrypto", pid=8)
    kernel.wait_detached()
    assert links.still_open() == []
