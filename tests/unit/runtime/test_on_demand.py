# SPDX-License-Identifier: Apache-2.0
"""Links that are held for processes with seekers: who needs them keeps them, the rest is closed once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from plaintap import _native
from plaintap.runtime.on_demand import OnDemand

WAIT_S = 30


class Bench:
    """Holds made-up links; seekers by pid are what the map of users says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, watched: bool) -> None:
        self.seekers: dict[int, int] = {}
        self.wants = 7 | 8
        self.closed: list[int] = []
        self.something_closed = threading.Event()
        monkeypatch.setattr(_native, "map_lookup", self._lookup)
        if not watched:
            monkeypatch.setattr(OnDemand, "_watch", lambda _self: None)
        self.held = OnDemand(5, self._close)

    def _lookup(self, fd: int, key: bytes, size: int) -> bytes | None:
        assert (fd, size) == (5, 8)
        number = self.seekers.get(int.from_bytes(key, "little"))
        return None if number is None else self.wants.to_bytes(4, "little") + number.to_bytes(4, "little")

    def _close(self, links: Sequence[int]) -> None:
        self.closed += links
        self.something_closed.set()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(monkeypatch, watched=False)
    yield bench
    bench.held.end()
    bench.held.wait_ended()


def test_held_as_long_as_somebody_seeks(bench: Bench) -> None:
    bench.seekers[7] = 2
    bench.held.hold("a", 7, [100, 101])
    bench.held.look()
    bench.seekers[7] = 1
    bench.held.look()
    assert bench.held.holds("a", 7)
    assert bench.closed == []
    bench.seekers[7] = 0
    bench.held.look()
    assert bench.closed == [100, 101]
    assert not bench.held.holds("a", 7)
    bench.held.look()
    assert bench.closed == [100, 101]


def test_a_process_that_has_gone_seeks_nothing(bench: Bench) -> None:
    bench.held.hold("a", 7, [100])
    bench.held.look()
    assert bench.closed == [100]


def test_links_of_several_processes_are_held_for_each(bench: Bench) -> None:
    bench.seekers = {7: 0, 8: 1}
    bench.held.hold("a", 7, [100])
    bench.held.hold("b", 7, [200])
    assert bench.held.holds("a", 8)
    bench.held.look()
    assert bench.closed == [200]
    bench.seekers[8] = 0
    bench.held.look()
    assert bench.closed == [200, 100]


def test_those_that_come_back_again_stay_longer(bench: Bench) -> None:
    looks = []
    for link in range(9):
        bench.held.hold("a", 7, [link])
        looks.append(0)
        while bench.held.holds("b", 7) or link not in bench.closed:
            bench.held.look()
            looks[-1] += 1
    assert looks == [1, 2, 4, 8, 16, 32, 64, 64, 64]


def test_a_seeker_begins_the_patience_anew(bench: Bench) -> None:
    for link in (1, 2):
        bench.held.hold("a", 7, [link])
        while link not in bench.closed:
            bench.held.look()
    bench.held.hold("a", 7, [3])
    for seekers in (0, 0, 0, 1, 0, 0, 0):
        bench.seekers[7] = seekers
        bench.held.look()
    assert 3 not in bench.closed
    bench.held.look()
    assert 3 in bench.closed


def test_where_sockets_are_found_there_is_more_patience(bench: Bench) -> None:
    bench.wants = 7
    bench.seekers[7] = 0
    bench.held.hold("a", 7, [100])
    for _ in range(7):
        bench.held.look()
    assert bench.closed == []
    assert bench.held.holds("a", 7)
    for _ in range(7):
        bench.held.look()
    assert bench.closed == []
    bench.held.look()
    assert bench.closed == [100]


def test_what_is_left_is_the_callers(bench: Bench) -> None:
    bench.held.hold("a", 7, [100])
    assert bench.held.end() == [100]
    assert bench.held.end() == bench.closed == []
    bench.held.hold("b", 7, [200])
    assert bench.closed == [200]
    assert not bench.held.holds("b", 7)


def test_the_watcher_closes_what_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, watched=True)
    bench.seekers = {7: 1}
    bench.held.hold("a", 7, [100])
    bench.held.hold("b", 8, [200])
    assert bench.something_closed.wait(WAIT_S)
    assert bench.closed == [200]
    assert bench.held.end() == [100]
    bench.held.wait_ended()
