# SPDX-License-Identifier: Apache-2.0
"""Notices every executable file mapping of the host the moment it happens; what to do is the caller's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from plaintap import _native

FOREVER_MS = -1


class Mapping(NamedTuple):
    """A process has mapped a file; the generation tells apart files that had the same inode number."""

    pid: int
    device: tuple[int, int]
    inode: int
    generation: int


class Watcher:
    """A thread over perf's MMAP2 records; every file is told once."""

    def __init__(
        self,
        mapped: Callable[[Mapping], bool],
        *,
        failed: Callable[[Exception], None],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """Notices from now on, tells from `start` on, so that nothing falls between a scan and it.

        `mapped` returns False for a file it wants to be told of again; what it raises goes to `failed`. `prepare` does
        what the first file would have to wait for.
        """
        self.lost = 0
        """Notices the kernel dropped or `mapped` failed at: a new library may have been missed."""
        self._mapped = mapped
        self._failed = failed
        self._prepare = prepare
        self._watch = _native.MapWatch()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begins to tell."""
        self._thread.start()

    def _run(self) -> None:
        self._prepare()
        while not self._stop.is_set():
            try:
                mappings, lost = self._watch.wait(FOREVER_MS)
            except OSError as error:
                self.lost += 1
                self._failed(error)
                return
            self.lost += lost
            for pid, major, minor, inode, generation, _ in mappings:
                if not self._tell(Mapping(pid, (major, minor), inode, generation)):
                    self._watch.forget(major, minor, inode, generation)

    def _tell(self, mapping: Mapping) -> bool:
        try:
            return self._mapped(mapping)
        except Exception as error:  # noqa: BLE001 - the thread's outer edge: the next library must be noticed
            self.lost += 1
            self._failed(error)
            return True

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._watch.wake()
        if self._thread.ident is not None:
            self._thread.join()
        self._watch.close()
