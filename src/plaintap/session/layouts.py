# SPDX-License-Identifier: Apache-2.0
"""Which layout each library gets: the table's at once, and calibration's as soon as it is found.

Calibration runs beside the capture, one library at a time. What a layout is and how it is found is targets/'s; that
the programs use it, modules/'s.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from plaintap.errors import TargetError, UsageError
from plaintap.modules.attacher import Library
from plaintap.modules.base import ProbePlan
from plaintap.targets.layouts.lookup import differences, find_layout, nearest_names
from plaintap.targets.layouts.model import KnownLayout, Origin


@dataclass(frozen=True, slots=True)
class _Asked:
    """A library to be calibrated."""

    library: Library
    fd: int
    beside: str


class Settled(NamedTuple):
    """What calibration of a library came to. The kernel may have refused it since, and its number be another's."""

    library: Library
    found: KnownLayout | None
    why_not: str = ""


class Layouts:
    """`find` and `attached` are called together, by one thread at a time; `close` by any."""

    def __init__(self, *, ssl_version: str | None, keys: bool) -> None:
        """With `keys`, layouts of the tables are put to the test too. Raises UsageError for an unknown version."""
        self._forced = _named_layout(ssl_version) if ssl_version else None
        self._keys = keys
        self._settled: deque[Settled] = deque()
        self._file: tuple[int, str] | None = None
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lock = threading.Lock()

    def find(self, plan: ProbePlan, path: str, fd: int) -> KnownLayout | None:
        """What the tables say; the file is kept open when that is to be tested."""
        if self._forced and _is_openssl(plan.version):
            return self._forced
        known = find_layout(plan.version) if plan.version else None
        if self._keys or known is None or known.origin is not Origin.TABLE:
            with self._lock:
                self._forget_file()
                if not self._closed:
                    self._file = os.dup(fd), path
        return known

    def attached(self, library: Library) -> None:
        """The library that `find` was asked for is there now: calibrates it if need be."""
        with self._lock:
            if self._file is None:
                return
            (fd, path), self._file = self._file, None
            self._queue.put(_Asked(library, fd, path))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="calibration", daemon=True)
                self._thread.start()

    def take_settled(self) -> list[Settled]:
        """What calibration came to since the last time."""
        return [self._settled.popleft() for _ in range(len(self._settled))]

    def put_back(self, settled: Settled) -> None:
        """Comes once more the next time."""
        self._settled.append(settled)

    def close(self) -> None:
        """No child is started any more. What runs is not waited for: it ends with this process, if not before.

        A second call does nothing.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._forget_file()
            with contextlib.suppress(queue.Empty):
                while asked := self._queue.get_nowait():
                    os.close(asked.fd)
            self._queue.put(None)

    def _forget_file(self) -> None:
        if self._file:
            os.close(self._file[0])
            self._file = None

    def _work(self) -> None:
        while asked := self._queue.get():
            try:
                if not self._closed:
                    self._settled.append(_calibrate(asked))
            except Exception as error:  # noqa: BLE001 - the thread's outer edge: the next library must have its turn
                self._settled.append(
                    Settled(asked.library, None, f"{asked.library.name} cannot be calibrated: {error!r}")
                )
            finally:
                os.close(asked.fd)


def _calibrate(asked: _Asked) -> Settled:
    from plaintap.targets.calibration.calibrator import calibrated  # noqa: PLC0415 - few captures need it

    try:
        found = calibrated(asked.fd, name=asked.library.name, beside=asked.beside)
    except TargetError as error:
        return Settled(asked.library, None, error.message)
    return Settled(asked.library, found)


def explain_layout(name: str, known: KnownLayout | None) -> str:
    """What is wrong with a library's layout when calibration has not helped; "" when nothing is."""
    if known is None:
        return f"{name}: the layout of its structs is not known: no keys, and addresses only by its system calls"
    if known.origin is Origin.NEAREST:
        return f"{name}: the layout of its structs is not known, that of {known.label} is used: keys may be wrong"
    return ""


def explain_difference(name: str, before: KnownLayout | None, found: KnownLayout) -> str:
    """What calibration found against the tables; "" when they agree or had nothing to say."""
    if before is None or before.origin is not Origin.TABLE:
        return ""
    differing = differences(before.layout, found.layout)
    if not differing:
        return ""
    return f"{name}: not built as its version says ({', '.join(differing)}): the layout found by calibration is used"


def _is_openssl(version: str | None) -> bool:
    """Not for what says that it is something else."""
    return version is None or version[:1].isdigit()


def _named_layout(version: str) -> KnownLayout:
    known = find_layout(version)
    if known and known.origin is Origin.TABLE:
        return known
    names = nearest_names(version)
    hint = f"known and near: {', '.join(names)}" if names else "`plaintap layouts` lists them"
    raise UsageError(f"--ssl_version: no layout is known of {version!r}", hint=hint)
