# SPDX-License-Identifier: Apache-2.0
"""Recordings: the records as they left the ring, in a file (docs/recording.md).

The format is eight magic bytes and then records of bpf/include/wire.h one after another, the
first a META with the clock offset. Append-only: a file cut anywhere is good up to the cut.
"""

from __future__ import annotations

import fcntl
import os
import platform
import stat
import threading
import time
from collections.abc import Callable, Iterator
from io import FileIO

from plaintap import __version__, _native
from plaintap.errors import RecordingError, reason
from plaintap.events import Meta, Record, encode_meta
from plaintap.trusted import is_trusted, open_trusted

MAGIC = b"PTAPREC1"
READ_BYTES = 1 << 20


def clock_offset_ns() -> int:
    """What to add to CLOCK_MONOTONIC for the time of day, as of now."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Recorder:
    """A recording being written; the ring writes into `fd` itself, in C, the rest comes through here."""

    def __init__(self, path: str) -> None:
        """Opens the file, if it is new, empty or a recording, and leaves it as it is until `begin`.

        Raises RecordingError.
        """
        self.path = path
        self._lock = threading.Lock()
        self._open = True
        self._begun = False
        try:
            self.fd = _open_to_write(path)
        except OSError as error:
            raise RecordingError(f"cannot record to {path}: {reason(error)}", hint=_PATH_HINT) from error
        if why := _why_not(self.fd):
            os.close(self.fd)
            raise RecordingError(f"cannot record to {path}: {why}", hint="--record names a new file, or a recording")

    def begin(self, *, clock_offset_ns: int) -> None:
        """Empties the file, mode 0600, and writes what a recording begins with; once. Raises RecordingError."""
        if self._begun:
            return
        self._begun = True
        try:
            if stat.S_ISREG(os.fstat(self.fd).st_mode):
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(self.fd, 0)
                os.fchmod(self.fd, 0o600)
        except BlockingIOError as error:
            raise RecordingError(f"{self.path} is being written by another capture", hint=_PATH_HINT) from error
        except OSError as error:
            raise self._failed(error) from error
        self.raw(MAGIC)
        self.meta(Meta(plaintap=__version__, kernel=platform.release(), clock_offset_ns=clock_offset_ns))

    def meta(self, meta: Meta) -> None:
        """Appends a META record. Raises RecordingError."""
        self.raw(encode_meta(meta, time.clock_gettime_ns(time.CLOCK_MONOTONIC)))

    def raw(self, record: bytes) -> None:
        """Appends one whole record, from any thread; nothing once it is closed. Raises RecordingError."""
        with self._lock:
            if not self._open:
                return
            try:
                while record:
                    record = record[os.write(self.fd, record) :]
            except OSError as error:
                raise self._failed(error) from error

    def _failed(self, error: OSError) -> RecordingError:
        return RecordingError(f"cannot record to {self.path}: {reason(error)}", hint=_PATH_HINT)

    def close(self) -> None:
        """What was written stays; a second call does nothing."""
        with self._lock:
            if self._open:
                self._open = False
                os.close(self.fd)


def _open_to_write(path: str) -> int:
    fd = open_trusted(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
    os.set_blocking(fd, True)
    return fd


def _why_not(fd: int) -> str:
    """What speaks against emptying this file, which may be a slip of whoever typed its name; "" when nothing does."""
    status = os.fstat(fd)
    if not is_trusted(status.st_uid) and not stat.S_ISCHR(status.st_mode):
        return f"it belongs to user {status.st_uid}"
    if not stat.S_ISREG(status.st_mode):
        return ""
    try:
        with FileIO(f"/proc/self/fd/{fd}") as file:
            begins = file.read(len(MAGIC))
    except OSError as error:
        return reason(error)
    return "" if MAGIC.startswith(begins) else "it holds something else, which would be lost"


def batches(path: str, *, cut: Callable[[int], None] = lambda _size_bytes: None) -> Iterator[list[Record]]:
    """The records of a recording, facts included, in order, about a MiB at a time.

    A last record that is not whole is left out, and `cut` told its size so far. Raises RecordingError where the
    file is no recording.
    """
    with _open(path) as file:
        yield from _batches(lambda size_bytes: _read(file, size_bytes, path), path, cut)


def _open(path: str) -> FileIO:
    try:
        return FileIO(path)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {reason(error)}", hint=_HINT) from error


def _read(file: FileIO, size_bytes: int, path: str) -> bytes:
    try:
        return file.read(size_bytes)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {reason(error)}", hint=_HINT) from error


def _batches(read: Callable[[int], bytes], path: str, cut: Callable[[int], None]) -> Iterator[list[Record]]:
    magic = read(len(MAGIC))
    if magic != MAGIC:
        raise RecordingError(f"{path} is no recording: it does not begin with {MAGIC.decode()}", hint=_HINT)
    decoder = _native.Decoder()
    rest = b""
    position = len(MAGIC)
    while piece := read(READ_BYTES):
        records, rest, position = _decode(decoder, rest + piece, position, path)
        yield records
    if rest:
        _decode(decoder, rest, position, path)
        cut(len(rest))


def _decode(decoder: _native.Decoder, data: bytes, position: int, path: str) -> tuple[list[Record], bytes, int]:
    """Whole records, what is left of `data`, and where in the file that begins."""
    try:
        records, taken = decoder.decode(data)
    except ValueError as error:
        raise RecordingError(f"{path} is damaged: no record at byte {position}", hint=_HINT) from error
    return records, data[taken:], position + taken


def read(path: str) -> Iterator[Record]:
    """Every record of `batches`, one by one."""
    for batch in batches(path):
        yield from batch


_PATH_HINT = "give a file in a folder you may write to"
_HINT = "recordings are made with --record FILE"
