# SPDX-License-Identifier: Apache-2.0
"""Probes that are in place only as long as a process has sessions whose socket is looked for.

They sit at busy functions, and each run costs a trap whatever its program does. How many sessions of a process still
look is kept by the programs (`struct user` of bpf/include/users.h); what to link, and for whom, is kernel.py's to say.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from plaintap import _native

_PID = struct.Struct("<I")
_USER = struct.Struct("<II")
"""wants, seekers"""
_VAIN = 8
"""USER_VAIN"""
_FIRST_LOOK_S = 0.05
_RARELY_S = 2.0
_QUIET_LOOKS = 8
"""Of a process whose sessions find their sockets: the next one that speaks up has little time."""
_QUIET_LOOKS_MAX = 64
_REMEMBERED_MAX = 1024


@dataclass(slots=True)
class _Held:
    """Links, and the processes they are for."""

    links: list[int]
    pids: set[int]
    patience: int
    """How often as many looks as else: twice as often each time, for those that come back again and again."""
    quiet_looks: int = 0
    """That found nobody."""


@dataclass(slots=True)
class OnDemand:
    """Holds links by key, and closes those that nobody needs any more from a thread of its own."""

    users_fd: int
    close: Callable[[Sequence[int]], None]
    """Waits for the kernel, 40 ms for each."""
    _held: dict[Hashable, _Held] = field(default_factory=dict)
    _patience: dict[Hashable, int] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _watcher: threading.Thread | None = None
    _is_new: bool = False
    _ended: bool = False

    def holds(self, key: Hashable, pid: int) -> bool:
        """Whether the links of this key are in place; if so, from now on for this process too."""
        with self._changed:
            held = self._held.get(key)
            if held is None:
                return False
            held.pids.add(pid)
            held.quiet_looks = 0
            return True

    def hold(self, key: Hashable, pid: int, links: Sequence[int]) -> None:
        """Takes the links, which were made for this process."""
        with self._changed:
            if not self._ended:
                self._held[key] = _Held(list(links), {pid}, self._patience.get(key, 1))
                self._is_new = True
                if self._watcher is None:
                    self._watcher = threading.Thread(target=self._watch, daemon=True)
                    self._watcher.start()
                self._changed.notify_all()
                return
        self.close(links)

    def look(self) -> None:
        """Closes what nobody needs any more."""
        with self._changed:
            unused = [key for key, held in self._held.items() if self._is_unused(held)]
            links: list[int] = []
            if len(self._patience) > _REMEMBERED_MAX:
                self._patience.clear()
            for key in unused:
                held = self._held.pop(key)
                links += held.links
                self._patience[key] = min(2 * held.patience, _QUIET_LOOKS_MAX)
        if links:
            self.close(links)

    def _is_unused(self, held: _Held) -> bool:
        users = [self._user(pid) for pid in held.pids]
        if any(seekers for _, seekers in users):
            held.quiet_looks = 0
            return False
        held.quiet_looks += 1
        looks = 1 if all(wants & _VAIN for wants, _ in users) else _QUIET_LOOKS
        return held.quiet_looks >= min(looks * held.patience, _QUIET_LOOKS_MAX)

    def _user(self, pid: int) -> tuple[int, int]:
        value = _native.map_lookup(self.users_fd, _PID.pack(pid), _USER.size)
        return _USER.unpack(value) if value else (_VAIN, 0)

    def _watch(self) -> None:
        """Often at first, since a socket is mostly found or given up at once."""
        pause_s = _FIRST_LOOK_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self._ended)
                if self._changed.wait_for(lambda: self._is_new or self._ended, timeout=pause_s):
                    if self._ended:
                        return
                    self._is_new = False
                    pause_s = _FIRST_LOOK_S
                    continue
            self.look()
            pause_s = min(2 * pause_s, _RARELY_S)

    def end(self) -> list[int]:
        """Holds nothing from now on; the links that are left are the caller's."""
        with self._changed:
            self._ended = True
            links = [link for held in self._held.values() for link in held.links]
            self._held.clear()
            self._changed.notify_all()
        return links

    def wait_ended(self) -> None:
        """After `end`: until nothing is being closed any more."""
        if self._watcher:
            self._watcher.join()
