# SPDX-License-Identifier: Apache-2.0
"""The recording of a capture, if there is one: what goes into it, and that the capture outlives it.

The bytes are runtime/recording.py's; the ring writes the records itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plaintap.errors import RecordingError
from plaintap.runtime.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from plaintap.events import Meta


class Recording:
    """Without a path everything here does nothing."""

    def __init__(self, path: str | None, *, clock_offset_ns: int, ended: Callable[[str], None]) -> None:
        """`ended` is told why, when no more can be written; what was stays whole. Raises RecordingError."""
        self.failed = False
        self._clock_offset_ns = clock_offset_ns
        self._ended = ended
        self._recorder = Recorder(path) if path else None

    @property
    def fd(self) -> int:
        """Where the ring writes to; -1 when there is nothing to write to."""
        return -1 if self._recorder is None or self.failed else self._recorder.fd

    def begin(self) -> None:
        """What a recording begins with, once. Raises RecordingError."""
        if self._recorder:
            self._recorder.begin(clock_offset_ns=self._clock_offset_ns)

    def meta(self, meta: Meta) -> None:
        """Something of our own."""
        self._write(lambda recorder: recorder.meta(meta))

    def raw(self, records: bytes) -> None:
        """Whole records that did not come by the ring."""
        self._write(lambda recorder: recorder.raw(records))

    def _write(self, write: Callable[[Recorder], None]) -> None:
        if self._recorder is None or self.failed:
            return
        try:
            self.begin()
            write(self._recorder)
        except RecordingError as error:
            self._end(error.message)

    def fail(self, why: str) -> None:
        """The ring could not write."""
        if self._recorder:
            self._end(f"cannot record to {self._recorder.path}: {why}")

    def _end(self, why: str) -> None:
        self.failed = True
        self._ended(why)

    def close(self) -> None:
        """What was written stays; a second call does nothing."""
        if self._recorder:
            self._recorder.close()
