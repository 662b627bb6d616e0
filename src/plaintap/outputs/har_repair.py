# SPDX-License-Identifier: Apache-2.0
"""Restores a HAR of ours whose last write was torn: keeps the entries that are whole, in a file that takes its place.

Reads line by line, so that its size does not matter. Files by other tools are refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from plaintap.errors import OutputError, reason
from plaintap.outputs.har_document import END, head_of

_HEAD_BYTES = 4096
_COPY_BYTES = 1 << 20
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds."""

    entries: int
    whole: bool
    """It ends as it should."""
    end_bytes: int
    """Where the last whole entry ends."""
    size_bytes: int


def look_at(path: str) -> Found:
    """Counts whole entries. Raises OutputError for what is no HAR of ours, or cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return _look(file, path)
    except OSError as error:
        raise OutputError(f"cannot read {path}: {reason(error)}") from error


def repair(path: str) -> Found:
    """What was found; a file that was whole stays as it is, any other is replaced at once by one that is."""
    real = Path(os.path.realpath(path))
    try:
        with real.open("rb") as file:
            _lock(file, path)
            found = _look(file, path)
            if not found.whole:
                _replace(real, file, found.end_bytes)
    except OSError as error:
        raise OutputError(f"cannot repair {path}: {reason(error)}") from error
    return found


def _lock(file: BinaryIO, path: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"a running plaintap writes {path}", hint="end it, and the file is whole") from None


def _look(file: BinaryIO, path: str) -> Found:
    size = os.fstat(file.fileno()).st_size
    head = head_of(file.read(_HEAD_BYTES))
    if not head:
        raise OutputError(f"{path} is no HAR of plaintap", hint="only what `--format har:FILE` wrote can be repaired")
    entries, end = 0, len(head)
    file.seek(end)
    for start, line in _entry_lines(file):
        if not _is_entry(line):
            break
        entries, end = entries + 1, start + len(line)
    file.seek(end)
    return Found(entries, file.read(len(END) + 1) == END, end, size)


def _entry_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Where each line that may be an entry begins, and the line without the comma and newline behind it."""
    at = file.tell()
    if file.readline() != b"\n":
        return
    at += 1
    for line in file:
        yield at, line.removesuffix(b"\n").removesuffix(b",")
        at += len(line)


def _is_entry(line: bytes) -> bool:
    try:
        return "startedDateTime" in _decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False


def _replace(path: Path, file: BinaryIO, end_bytes: int) -> None:
    """By one rename, so that there is a file at any moment; its owner stays who it was."""
    status = os.fstat(file.fileno())
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as new:
            file.seek(0)
            left = end_bytes
            while left and (piece := file.read(min(left, _COPY_BYTES))):
                new.write(piece)
                left -= len(piece)
            new.write(END)
            new.flush()
            with contextlib.suppress(PermissionError):
                os.fchown(new.fileno(), status.st_uid, status.st_gid)
            os.fsync(new.fileno())
        Path(name).rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
