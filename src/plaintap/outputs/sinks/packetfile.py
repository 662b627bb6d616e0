# SPDX-License-Identifier: Apache-2.0
"""The files of a packet capture: their names, when the next one begins, how many are kept.

Owner's alone, and never half a block of ours longer than it takes to notice. What is in them is outputs/pcapng.py's
and the native writer's.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from plaintap.errors import OutputError, reason
from plaintap.trusted import is_trusted, open_trusted

STANDARD_OUTPUT = "-"
UNLIMITED = (1 << 63) - 1
_HINT = "-w FILE names another file, -w - standard output"
_MODE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When another file begins; as of tcpdump's -C, -G and -W."""

    size_bytes: int | None = None
    period_s: float | None = None
    files: int | None = None
    """How many there are at most; the oldest goes."""


class PacketFile:
    """The file being written; `fd` is -1 once it cannot be written any more."""

    def __init__(self, path: str, rotation: Rotation) -> None:
        """Raises OutputError."""
        self.fd = -1
        self.size_bytes = 0
        self._path = path
        self._rotation = rotation
        self._number = 0
        self._written: list[str] = []
        self._began_s = 0.0
        self.begin()

    @property
    def place(self) -> str:
        """Where packets go, for people."""
        return "standard output" if self._path == STANDARD_OUTPUT else self._path

    @property
    def room_bytes(self) -> int:
        """How much more this file is to hold."""
        limit = self._rotation.size_bytes
        return max(0, limit - self.size_bytes) if limit else UNLIMITED

    @property
    def is_due(self) -> bool:
        """Whether the next one should begin."""
        period_s = self._rotation.period_s
        return not self.room_bytes or bool(period_s and time.monotonic() - self._began_s >= period_s)

    def begin(self) -> None:
        """The next file, or the first. Raises OutputError."""
        self.close()
        self._began_s = time.monotonic()
        self.size_bytes = 0
        if self._path == STANDARD_OUTPUT:
            self.fd = os.dup(1)
            return
        name = self._next_name()
        try:
            self.fd = _open(name)
        except OSError as error:
            raise OutputError(f"cannot write packets to {name}: {reason(error)}", hint=_HINT) from error
        self._keep_so_many(name)

    def _next_name(self) -> str:
        """As of tcpdump: numbers behind the name, from 0 with as many digits as they need where files are reused."""
        number, self._number = self._number, self._number + 1
        path = time.strftime(self._path) if self._rotation.period_s and "%" in self._path else self._path
        if path != self._path:
            return path if path not in self._written else f"{path}.{number}"
        if self._rotation.files and (self._rotation.size_bytes or self._rotation.period_s):
            digits = len(str(self._rotation.files - 1))
            return f"{path}{number % self._rotation.files:0{digits}}"
        return f"{path}{number}" if number else path

    def _keep_so_many(self, name: str) -> None:
        if name in self._written:
            self._written.remove(name)
        self._written.append(name)
        if self._rotation.files and len(self._written) > self._rotation.files:
            with contextlib.suppress(OSError):
                Path(self._written.pop(0)).unlink()

    def write(self, data: bytes) -> None:
        """Whole blocks; taken back when they do not fit. Raises OSError."""
        start = self.size_bytes
        written = 0
        try:
            while written < len(data):
                written += os.write(self.fd, data[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, start)
            raise
        self.size_bytes += len(data)

    def close(self) -> None:
        """What was written stays; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def _lock(fd: int) -> None:
    """Until it is closed. Raises OSError when somebody else writes it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(errno.EAGAIN, "another plaintap writes it") from None
    except OSError:  # a file system without locks
        return


def _open(path: str) -> int:
    fd = open_trusted(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            if not is_trusted(status.st_uid):
                raise PermissionError(errno.EPERM, f"it belongs to user {status.st_uid}")
            if status.st_nlink != 1:
                raise FileExistsError(errno.EEXIST, "it has another name as well")
            _lock(fd)
            os.ftruncate(fd, 0)
            os.fchmod(fd, _MODE)
        os.set_blocking(fd, True)
    except OSError:
        os.close(fd)
        raise
    return fd
