# SPDX-License-Identifier: Apache-2.0
"""Recordings: the records as they left the ring, in a file (docs/recording.md).

The format is eight magic bytes and then records of bpf/include/wire.h one after another, the
first a META with the clock offset. Append-only: a file cut anywhere is good up to the cut.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from plaintap import __version__, _native
from plaintap.errors import RecordingError, reason
from plaintap.events import Record, encode_meta

MAGIC = b"PTAPREC1"
READ_BYTES = 1 << 20


def clock_offset_ns() -> int:
    """What to add to CLOCK_MONOTONIC for the time of day, as of now."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Recorder:
    """A recording being written; the ring writes into `fd` itself, in C."""

    def __init__(self, path: str, *, clock_offset_ns: int) -> None:
        """Makes or empties the file, mode 0600. Raises RecordingError."""
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_APPEND
        try:
            self.fd = os.open(path, flags, 0o600)
            os.fchmod(self.fd, 0o600)
            os.write(self.fd, MAGIC)
        except OSError as error:
            raise RecordingError(f"cannot record to {path}: {reason(error)}", hint=_PATH_HINT) from error
        self.meta({"plaintap": __version__, "kernel": platform.release(), "clock_offset_ns": clock_offset_ns})

    def meta(self, values: dict[str, object]) -> None:
        """Appends a META record. Raises OSError."""
        self.raw(encode_meta(values, time.clock_gettime_ns(time.CLOCK_MONOTONIC)))

    def raw(self, record: bytes) -> None:
        """Appends one whole record. Raises OSError."""
        os.write(self.fd, record)

    def close(self) -> None:
        os.close(self.fd)


def batches(path: str) -> Iterator[list[Record]]:
    """The records of a recording, facts included, in order, about a MiB at a time.

    A cut last record is left out. Raises RecordingError where the file is no recording.
    """
    try:
        with Path(path).open("rb", buffering=0) as file:
            yield from _batches(file.read, path)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {reason(error)}", hint=_HINT) from error


def _batches(read: object, path: str) -> Iterator[list[Record]]:
    assert callable(read)
    magic = read(len(MAGIC))
    if magic != MAGIC:
        raise RecordingError(f"{path} is no recording: it does not begin with {MAGIC.decode()}", hint=_HINT)
    decoder = _native.Decoder()
    rest = b""
    while piece := read(READ_BYTES):
        data = rest + piece
        try:
            records, taken = decoder.decode(data)
        except ValueError as error:
            raise RecordingError(f"{path} is damaged: {error}", hint=_HINT) from error
        rest = data[taken:]
        yield records


def read(path: str) -> Iterator[Record]:
    """Every record of `batches`, one by one."""
    for batch in batches(path):
        yield from batch


_PATH_HINT = "give a file in a folder you may write to"
_HINT = "recordings are made with --record FILE"
