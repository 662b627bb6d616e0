# SPDX-License-Identifier: Apache-2.0
"""Lists the files that processes have mapped executable, and opens them in whatever container they are.

A file is its device and inode as /proc/PID/maps tells them. stat() may give another device for the same file (btrfs,
overlayfs), so that only the inode is compared when a file is opened again. What is in the files is not known here.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from plaintap.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_READ_BYTES = 256 * 1024
_MAPS_MAX_BYTES = 64 * 1024 * 1024
"""A process may have 65,530 mappings (vm.max_map_count), more where that was raised."""
_PIDS_TRIED_MAX = 16
_DELETED = " (deleted)"
# From the x of the permissions, since the engine skips to a literal first letter ten times as fast.
_EXECUTABLE = re.compile(rb"x[ps] [0-9a-f]+ (([0-9a-f]+):([0-9a-f]+) ([1-9][0-9]*)) +(/[^\n]*)")


class FileId(NamedTuple):
    """A file, whatever its names: device as (major, minor) and inode number."""

    device: tuple[int, int]
    inode: int


@dataclass(slots=True)
class MappedFile:
    """A file that processes run code from; paths hold for the first of its processes that was seen."""

    id: FileId
    display_path: str
    """As its process names it."""
    open_path: str
    """A path that led to this very file when it was seen; `mapping_path` where none did, as for deleted files."""
    mapping_path: str
    """/proc/PID/map_files/..., the very file that is mapped; CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE opens it."""
    deleted: bool
    pids: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Scan:
    """The mapped files of some processes, and how many processes that were."""

    files: dict[FileId, MappedFile] = field(default_factory=dict)
    processes: int = 0
    """Processes that were read; kernel threads count, having no mappings."""
    unreadable: int = 0
    """Processes whose mappings this process may not read."""
    vanished: int = 0
    """Processes that ended meanwhile."""


def scan(pids: Iterable[int] | None = None, *, skip: Collection[int] = (), proc: str = "/proc") -> Scan:
    """The executable file mappings of these processes, all of the host's by default, but not of those in `skip`."""
    result = Scan()
    seen: dict[bytes, MappedFile] = {}
    for pid in _all_pids(proc) if pids is None else pids:
        if pid in skip:
            continue
        try:
            maps = _read_maps(f"{proc}/{pid}/maps")
        except PermissionError:
            result.unreadable += 1
            continue
        except OSError:
            result.vanished += 1
            continue
        result.processes += 1
        for match in _EXECUTABLE.finditer(maps):
            key = match[1]
            file = seen.get(key)
            if file is None:
                file = seen[key] = _mapped_file(f"{proc}/{pid}", maps, match)
                result.files[file.id] = file
            file.pids.add(pid)
    return result


def open_mapped(file: MappedFile, *, proc: str = "/proc") -> int:
    """A file descriptor of the mapped file itself, checked by inode; `/proc/self/fd/N` is a path to attach by.

    Tries every process that had it mapped, then the mapping. Raises TargetError when none leads to that file, as
    when it was replaced on disk and this process lacks the capability to open mappings.
    """
    paths = [file.open_path]
    for pid in sorted(file.pids)[:_PIDS_TRIED_MAX]:
        paths += _paths(f"{proc}/{pid}", file.display_path)
    reasons = []
    for path in dict.fromkeys((*paths, file.mapping_path)):
        try:
            # Looked at before it is opened: opening a device that took the name could do something.
            if not _leads_to(path, file.id.inode):
                reasons.append("replaced on disk")
                continue
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            reasons.append(os.strerror(error.errno or 0).lower())
            continue
        if _is_inode(os.fstat(fd), file.id.inode):
            return fd
        os.close(fd)
        reasons.append("replaced on disk")
    raise TargetError(f"{file.display_path}: cannot be opened: {', '.join(dict.fromkeys(reasons))}")


def _is_inode(status: os.stat_result, inode: int) -> bool:
    return status.st_ino == inode and stat.S_ISREG(status.st_mode)


def _leads_to(path: str, inode: int) -> bool:
    return _is_inode(os.stat(path), inode)  # noqa: PTH116 - a Path per file is slow


def _paths(process: str, path: str) -> tuple[str, str]:
    """Where the file may be: the kernel tells paths as this process sees them, if it can, else as the other does."""
    return f"{process}/root{path}", path


def _all_pids(proc: str) -> list[int]:
    return [int(name) for name in os.listdir(proc) if name.isdigit()]  # noqa: PTH208 - a Path per process is slow


def _read_maps(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces, total = [], 0
        while total < _MAPS_MAX_BYTES and (piece := os.read(fd, _READ_BYTES)):
            pieces.append(piece)
            total += len(piece)
    finally:
        os.close(fd)
    return b"".join(pieces)


def _mapped_file(process: str, maps: bytes, match: re.Match[bytes]) -> MappedFile:
    major, minor, inode = int(match[2], 16), int(match[3], 16), int(match[4])
    # The kernel writes a line feed in a name as \012, since it ends the line.
    path = match[5].replace(b"\\012", b"\n").decode("utf-8", "surrogateescape")
    line = maps.rfind(b"\n", 0, match.start()) + 1
    addresses = maps[line : maps.index(b" ", line)].decode()
    first, _, last = addresses.partition("-")
    mapping = f"{process}/map_files/{int(first, 16):x}-{int(last, 16):x}"
    deleted = path.endswith(_DELETED)
    return MappedFile(
        id=FileId((major, minor), inode),
        display_path=path.removesuffix(_DELETED),
        open_path=mapping if deleted else _first_leading_to(inode, _paths(process, path)) or mapping,
        mapping_path=mapping,
        deleted=deleted,
    )


def _first_leading_to(inode: int, paths: Iterable[str]) -> str | None:
    for path in paths:
        with suppress(OSError):
            if _leads_to(path, inode):
                return path
    return None
