# SPDX-License-Identifier: Apache-2.0
"""The thread that tells of new mappings: nothing a mapping leads to ends it, and what is missed is counted."""

from __future__ import annotations

import queue
import threading

import pytest

from plaintap import _native
from plaintap.runtime.watch import Mapping, Watcher

WITHIN_S = 10.0
Told = tuple[int, int, int, int, int, str]


class FakeWatch:
    """In place of `_native.MapWatch`: hands out what the test puts in."""

    def __init__(self) -> None:
        self.coming: queue.SimpleQueue[tuple[list[Told], int]] = queue.SimpleQueue()
        self.forgotten: list[tuple[int, int, int, int]] = []
        self.closed = False

    def wait(self, timeout_ms: int) -> tuple[list[Told], int]:
        assert timeout_ms == -1
        return self.coming.get(timeout=WITHIN_S)

    def wake(self) -> None:
        self.coming.put(([], 0))

    def forget(self, major: int, minor: int, inode: int, generation: int) -> None:
        self.forgotten.append((major, minor, inode, generation))

    def close(self) -> None:
        self.closed = True


class Listener:
    """Takes mappings; of some inode numbers it wants to hear again, at some it fails."""

    def __init__(self) -> None:
        self.mappings: list[Mapping] = []
        self.failures: list[Exception] = []
        self.heard = threading.Semaphore(0)

    def mapped(self, mapping: Mapping) -> bool:
        self.mappings.append(mapping)
        self.heard.release()
        if mapping.inode == 13:
            raise RuntimeError("this one cannot be looked at")
        return mapping.inode != 404

    def wait_for(self, number: int) -> None:
        for _ in range(number):
            assert self.heard.acquire(timeout=WITHIN_S)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> FakeWatch:
    fake = FakeWatch()
    monkeypatch.setattr(_native, "MapWatch", lambda: fake)
    return fake


def mapping(pid: int, inode: int) -> Told:
    return (pid, 254, 1, inode, 99, "/lib/a.so")


def test_mappings_are_told_as_they_are(watch: FakeWatch) -> None:
    listener = Listener()
    watcher = Watcher(listener.mapped, failed=listener.failures.append)
    watch.coming.put(([mapping(7, 1), mapping(8, 2)], 0))
    watch.coming.put(([mapping(9, 3)], 0))
    watcher.start()
    listener.wait_for(3)
    watcher.close()
    told = [(7, 1), (8, 2), (9, 3)]
    assert listener.mappings == [Mapping(pid, (254, 1), inode, 99) for pid, inode in told]
    assert (watcher.lost, listener.failures, watch.forgotten) == (0, [], [])


def test_nothing_is_told_before_the_start_and_nothing_is_missed(watch: FakeWatch) -> None:
    listener = Listener()
    watcher = Watcher(listener.mapped, failed=listener.failures.append)
    watch.coming.put(([mapping(7, 1)], 0))
    assert listener.mappings == []
    watcher.start()
    listener.wait_for(1)
    watcher.close()


def test_a_failure_ends_nothing_and_is_counted(watch: FakeWatch) -> None:
    listener = Listener()
    watcher = Watcher(listener.mapped, failed=listener.failures.append)
    watcher.start()
    watch.coming.put(([mapping(7, 13), mapping(7, 1), mapping(7, 13)], 0))
    watch.coming.put(([mapping(8, 2)], 0))
    listener.wait_for(4)
    watcher.close()
    assert [each.inode for each in listener.mappings] == [13, 1, 13, 2]
    assert [str(error) for error in listener.failures] == ["this one cannot be looked at"] * 2
    assert watcher.lost == 2


def test_what_the_kernel_dropped_is_counted(watch: FakeWatch) -> None:
    listener = Listener()
    watcher = Watcher(listener.mapped, failed=listener.failures.append)
    watcher.start()
    watch.coming.put(([], 5))
    watch.coming.put(([mapping(7, 1)], 2))
    listener.wait_for(1)
    watcher.close()
    assert watcher.lost == 7


def test_a_file_that_was_not_there_yet_is_told_again(watch: FakeWatch) -> None:
    listener = Listener()
    watcher = Watcher(listener.mapped, failed=listener.failures.append)
    watcher.start()
    watch.coming.put(([mapping(7, 404), mapping(7, 1)], 0))
    listener.wait_for(2)
    watcher.close()
    assert watch.forgotten == [(254, 1, 404, 99)]


def test_the_end(watch: FakeWatch) -> None:
    watcher = Watcher(lambda _: True, failed=lambda _: None)
    watcher.start()
    watcher.close()
    assert watch.closed
    assert "watch" not in {thread.name for thread in threading.enumerate()}


def test_the_end_of_one_that_never_began(watch: FakeWatch) -> None:
    Watcher(lambda _: True, failed=lambda _: None).close()
    assert watch.closed
