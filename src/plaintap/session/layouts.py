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
from typing import TYPE_CHECKING, NamedTuple

from plaintap.errors import TargetError, UsageError
from plaintap.modules.attacher import Library, OtherHalf
from plaintap.modules.base import ProbePlan
from plaintap.targets.layouts.lookup import differences, find_layout, is_same_release, nearest_names
from plaintap.targets.layouts.model import Family, KnownLayout, Origin
from plaintap.targets.version import AWS_LC, BORINGSSL

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class _File:
    """A library kept open, with its libcrypto where a process has one mapped: their paths may lead elsewhere soon."""

    fd: int
    beside: str
    libcrypto_fd: int | None

    @property
    def libcrypto(self) -> str | None:
        return None if self.libcrypto_fd is None else f"/proc/self/fd/{self.libcrypto_fd}"

    def close(self) -> None:
        os.close(self.fd)
        if self.libcrypto_fd is not None:
            os.close(self.libcrypto_fd)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A library to be calibrated."""

    library: Library
    file: _File


class Settled(NamedTuple):
    """What calibration of a library came to. The kernel may have refused it since, and its number be another's."""

    library: Library
    found: KnownLayout | None
    why_not: str = ""


class _Forced(NamedTuple):
    """What the user said every library of that kind is."""

    version: str
    known: KnownLayout

    def is_for(self, version: str | None) -> bool:
        """Not for what says that it is something else: versions of OpenSSL are numbers, its relatives have names."""
        if version is None:
            return True
        if self.known.layout.family is Family.OPENSSL:
            return version[:1].isdigit()
        return version.startswith((BORINGSSL, AWS_LC))


class Layouts:
    """`find` and `attached` are called together, by one thread at a time; `close` by any."""

    def __init__(self, *, ssl_version: str | None, keys: bool, notice: Callable[[str], None]) -> None:
        """With `keys`, layouts of the tables are put to the test too. Raises UsageError for an unknown version.

        `notice` is told once of each version that a file says it is and `ssl_version` says it is not.
        """
        self._forced = _Forced(ssl_version, _named_layout(ssl_version)) if ssl_version else None
        self._notice = notice
        self._contradicted: set[str] = set()
        self._keys = keys
        self._settled: deque[Settled] = deque()
        self._file: _File | None = None
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lock = threading.Lock()

    def find(self, plan: ProbePlan, path: str, fd: int, other_half: OtherHalf) -> KnownLayout | None:
        """What the tables say; the file is kept open when that is to be tested."""
        with self._lock:
            self._forget_file()  # of a library that was refused
        if self._forced and plan.calibrated:
            self._tell_contradiction(plan, self._forced)
            if self._forced.is_for(plan.version):
                return self._forced.known
        known = find_layout(plan.version) if plan.version else None
        if not plan.calibrated:
            if problem := explain_layout(plan.name, known):
                self._notice(problem)
            return known
        if self._keys or known is None or known.origin is not Origin.TABLE:
            with self._lock:
                if not self._closed:
                    self._file = _File(os.dup(fd), path, _open_libcrypto(other_half()))
        return known

    def _tell_contradiction(self, plan: ProbePlan, forced: _Forced) -> None:
        version = plan.version
        if version is None or version in self._contradicted or is_same_release(version, forced.version):
            return
        self._contradicted.add(version)
        taken = "is taken for" if forced.is_for(version) else "is no"
        self._notice(f"{plan.name}: says that it is {version}, {taken} {forced.version} (--ssl_version)")

    def attached(self, library: Library) -> None:
        """The library that `find` was asked for is there now: calibrates it if need be."""
        with self._lock:
            if self._file is None:
                return
            file, self._file = self._file, None
            self._queue.put(_Asked(library, file))
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
                    asked.file.close()
            self._queue.put(None)

    def _forget_file(self) -> None:
        if self._file:
            self._file.close()
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
                asked.file.close()


def _open_libcrypto(path: str | None) -> int | None:
    if path is None:
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # its process has ended: what lies beside the library must do
        return None


def _calibrate(asked: _Asked) -> Settled:
    from plaintap.targets.calibration.calibrator import calibrated  # noqa: PLC0415 - few captures need it

    try:
        file = asked.file
        found = calibrated(file.fd, name=asked.library.name, beside=file.beside, libcrypto=file.libcrypto)
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


def _named_layout(version: str) -> KnownLayout:
    known = find_layout(version)
    if known and known.origin is Origin.TABLE and known.layout.family is not Family.GNUTLS:
        return known
    names = nearest_names(version)
    hint = f"known and near: {', '.join(names)}" if names else "`plaintap layouts` lists them"
    raise UsageError(f"--ssl_version: no layout is known of {version!r}", hint=hint)
