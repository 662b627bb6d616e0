# SPDX-License-Identifier: Apache-2.0
"""Remembers calibrated layouts on disk: one small JSON file per library in a folder of the user's own.

What is in the folder is only used when nobody else could have put it there: the folder and the files are this user's,
and the folder is closed to others. A cache that cannot be read or written costs time, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from plaintap.targets.layouts.model import Layout

METHOD = 2
"""Counts changes of what calibration finds; layouts of another method are found anew."""
ROOT_FOLDER = Path("/var/cache/plaintap")
_FILE_MAX_BYTES = 1 << 16


class _Entry(Struct, frozen=True, kw_only=True):
    method: int
    key: tuple[str, ...]
    layout: Layout


class LayoutCache:
    """Layouts by key: words that together tell a library from every other, such as digests."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder nothing is remembered."""
        self._folder = folder

    @classmethod
    def standard(cls) -> Self:
        """/var/cache/plaintap for root, else plaintap in $XDG_CACHE_HOME or ~/.cache."""
        if os.geteuid() == 0:
            return cls(ROOT_FOLDER)
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        # XDG Base Directory Specification: relative paths are to be ignored.
        if not base.is_absolute():
            try:
                base = Path("~/.cache").expanduser()
            except RuntimeError:  # a user id without an account, and no $HOME
                return cls(None)
        return cls(base / "plaintap" if base.is_absolute() else None)

    def get(self, key: Sequence[str]) -> Layout | None:
        """None when there is none that can be trusted."""
        try:
            with self._opened(create=False) as folder_fd:
                data = _read(folder_fd, _file_name(key))
            entry = msgspec.json.decode(data, type=_Entry)
        except (OSError, msgspec.MsgspecError, ValueError):  # not there, not ours, damaged
            return None
        return entry.layout if (entry.method, entry.key) == (METHOD, tuple(key)) else None

    def put(self, key: Sequence[str], layout: Layout) -> None:
        """Whole or not at all; the one that was there is replaced."""
        data = msgspec.json.encode(_Entry(method=METHOD, key=tuple(key), layout=layout))
        # No folder, a full or read-only disk, a folder of somebody else's: the next time is not faster, that is all.
        with contextlib.suppress(OSError), self._opened(create=True) as folder_fd:
            _write(folder_fd, _file_name(key), data)

    @contextlib.contextmanager
    def _opened(self, *, create: bool) -> Iterator[int]:
        """The folder, through which all files are reached. Raises OSError when it is not this user's alone."""
        if self._folder is None:
            raise FileNotFoundError("there is no folder for a cache")
        if create:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir(mode=0o700)
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise PermissionError(f"{self._folder} is open to others")
            yield fd
        finally:
            os.close(fd)


def _file_name(key: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(key).encode(), digest_size=16).hexdigest() + ".json"


def _read(folder_fd: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError(f"{name} is open to others")
        return os.read(fd, _FILE_MAX_BYTES)
    finally:
        os.close(fd)


def _write(folder_fd: int, name: str, data: bytes) -> None:
    temporary = f".{name}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):  # of a process with our number that did not get this far
        os.unlink(temporary, dir_fd=folder_fd)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder_fd)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder_fd)
        raise
