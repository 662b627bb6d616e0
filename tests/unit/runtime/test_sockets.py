# SPDX-License-Identifier: Apache-2.0
"""Ways to tell sockets: which are tried on which kernel, and that half of one is never left behind."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from plaintap import _native
from plaintap.runtime import forced, sockets
from plaintap.runtime.sockets import HOOKS, PROGRAMS, Way

ALL = [Way.TRACEPOINT, Way.TRACING, Way.KPROBE]


@pytest.fixture(autouse=True)
def _not_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(forced.VARIABLE, raising=False)


def run_on(monkeypatch: pytest.MonkeyPatch, release: str, *, tracing: bool, kprobes: bool) -> list[int]:
    """What was asked of the kernel."""
    asked: list[int] = []

    def has(program_type: int) -> bool:
        asked.append(program_type)
        return tracing

    monkeypatch.setattr(platform, "release", lambda: release)
    monkeypatch.setattr(_native, "has_program_type", has)
    monkeypatch.setattr(sockets, "KPROBE_EVENTS", Path("/proc/self" if kprobes else "/proc/self/not-there"))
    return asked


@pytest.mark.parametrize(
    ("release", "tracing", "kprobes", "expected"),
    [
        ("6.12.9-amd64", True, True, ALL),
        ("6.3.0", True, True, ALL),
        ("6.2.16", True, True, [Way.TRACING, Way.KPROBE]),
        ("5.19.0", True, True, [Way.TRACING, Way.KPROBE]),
        ("5.18.19", True, True, [Way.KPROBE]),
        ("5.10.0-28-amd64", True, True, [Way.KPROBE]),
        ("6.1.0-18-amd64", False, True, [Way.KPROBE]),
        ("6.1.0-18-amd64", False, False, []),
        ("6.18.44-fc-v657", True, False, [Way.TRACEPOINT, Way.TRACING]),
        ("6.18.44-fc-v657", False, False, [Way.TRACEPOINT]),
    ],
)
def test_the_best_comes_first(
    monkeypatch: pytest.MonkeyPatch, release: str, tracing: bool, kprobes: bool, expected: list[Way]
) -> None:
    run_on(monkeypatch, release, tracing=tracing, kprobes=kprobes)
    assert sockets.ways() == expected


def test_the_kernel_is_asked_for_tracing_programs_where_they_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = run_on(monkeypatch, "6.12.9", tracing=True, kprobes=True)
    sockets.ways()
    assert asked == [26]  # BPF_PROG_TYPE_TRACING
    asked = run_on(monkeypatch, "5.15.0", tracing=True, kprobes=True)
    sockets.ways()
    assert asked == []  # the results are elsewhere there, whatever it takes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("fentry", [Way.TRACING]),
        ("kprobe", [Way.KPROBE]),
        ("rawtp", [Way.TRACEPOINT]),
        ("nomulti,rawtp", [Way.TRACEPOINT]),
        ("rawtp,kprobe", [Way.TRACEPOINT, Way.KPROBE]),
        ("nomulti", ALL),
    ],
)
def test_what_is_forced_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, value: str, expected: list[Way]) -> None:
    asked = run_on(monkeypatch, "6.12.9", tracing=True, kprobes=True)
    monkeypatch.setenv(forced.VARIABLE, value)
    assert sockets.ways() == expected
    assert bool(asked) == (expected == ALL)


@pytest.mark.parametrize(
    ("release", "expected"),
    [("6.1.0-18-amd64", (6, 1)), ("6.18.44-fc-v657", (6, 18)), ("5.19", (5, 19)), ("6.12-rc3", (6, 12))],
)
def test_a_release_is_two_numbers(monkeypatch: pytest.MonkeyPatch, release: str, expected: tuple[int, int]) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    assert sockets.kernel_release() == expected


class FakePrograms:
    """Descriptors from 100 on, in the order of PROGRAMS."""

    def program_fd(self, name: str) -> int:
        return 100 + PROGRAMS.index(name)


class FakeLinks:
    """Where links are asked for: places in `failing` get an error number instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing: dict[str, int] = {}
        self.made: list[tuple[str, str, bool]] = []
        self.fds: list[int] = []
        monkeypatch.setattr(_native, "link_tracing", lambda fd: self._link(fd, "", returns=False))
        monkeypatch.setattr(_native, "link_raw_tracepoint", lambda fd, name: self._link(fd, name, returns=False))
        monkeypatch.setattr(_native, "link_kprobe", self._link_kprobe)

    def _link_kprobe(self, program_fd: int, function: str, *, returns: bool = False) -> tuple[int, int]:
        return self._link(program_fd, function, returns=returns), self._open()

    def _link(self, program_fd: int, place: str, *, returns: bool) -> int:
        program = PROGRAMS[program_fd - 100]
        if number := self.failing.get(place) or self.failing.get(program):
            raise _native.NativeError(number, os.strerror(number))
        self.made.append((program, place, returns))
        return self._open()

    def _open(self) -> int:
        self.fds.append(os.open(os.devnull, os.O_RDONLY))
        return self.fds[-1]

    def still_open(self) -> list[int]:
        return [fd for fd in self.fds if Path(f"/proc/self/fd/{fd}").exists()]


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLinks]:
    links = FakeLinks(monkeypatch)
    yield links
    for fd in links.still_open():
        os.close(fd)


def link(way: Way) -> list[int]:
    return sockets.link(cast("_native.Object", FakePrograms()), way)


def test_tracing_programs_know_their_functions(links: FakeLinks) -> None:
    assert link(Way.TRACING) == links.fds == links.still_open()
    assert links.made == [(hook.program, "", False) for hook in HOOKS[Way.TRACING]]


def test_kprobes_are_an_event_and_a_link_each(links: FakeLinks) -> None:
    assert link(Way.KPROBE) == links.fds == links.still_open()
    assert len(links.fds) == 12
    assert links.made == [(hook.program, hook.place, hook.returns) for hook in HOOKS[Way.KPROBE]]


def test_what_is_entered_is_seen_to_leave(links: FakeLinks) -> None:
    link(Way.KPROBE)
    ends = [program in {"pt_probe_received", "pt_probe_copied"} for program, _, _ in links.made]
    assert ends == sorted(ends, reverse=True)
    assert {place for _, place, returns in links.made if returns} == {"unix_stream_recvmsg"}


def test_tcp_takes_a_probe_at_returns_only_where_nothing_else_does(links: FakeLinks) -> None:
    links.failing = {"tcp_cleanup_rbuf": errno.ENOENT}
    assert link(Way.KPROBE) == links.fds
    assert links.made[0] == ("pt_probe_received", "tcp_recvmsg", True)
    assert {place for _, place, returns in links.made if returns} == {"tcp_recvmsg", "unix_stream_recvmsg"}


def test_tracepoints_are_linked_by_name(links: FakeLinks) -> None:
    assert link(Way.TRACEPOINT) == links.fds
    assert links.made == [
        ("pt_socket_send", "sock_send_length", False),
        ("pt_socket_receive", "sock_recv_length", False),
    ]


@pytest.mark.parametrize("way", ALL)
@pytest.mark.parametrize("which", [0, -1])
def test_half_a_way_is_none(links: FakeLinks, way: Way, which: int) -> None:
    links.failing = {HOOKS[way][which].program: errno.EINVAL}
    with pytest.raises(_native.NativeError):
        link(way)
    assert links.still_open() == []


def test_before_its_tracepoints_there_were_none(links: FakeLinks) -> None:
    links.failing = {"sock_send_length": errno.ENOENT}
    with pytest.raises(_native.NativeError) as raised:
        link(Way.TRACEPOINT)
    assert raised.value.errno == errno.ENOENT


def test_a_kernel_without_unix_sockets_has_the_others(links: FakeLinks) -> None:
    links.failing = {"unix_stream_sendmsg": errno.ENOENT, "unix_stream_recvmsg": errno.ENOENT}
    assert link(Way.KPROBE) == links.fds
    assert {place for _, place, _ in links.made} == {"tcp_sendmsg", "tcp_recvmsg", "tcp_cleanup_rbuf"}


@pytest.mark.parametrize(("place", "number"), [("tcp_sendmsg", errno.ENOENT), ("unix_stream_sendmsg", errno.EMFILE)])
def test_nothing_else_is_left_out(links: FakeLinks, place: str, number: int) -> None:
    links.failing = {place: number}
    with pytest.raises(_native.NativeError) as raised:
        link(Way.KPROBE)
    assert raised.value.errno == number
    assert links.still_open() == []
