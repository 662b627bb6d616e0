# SPDX-License-Identifier: Apache-2.0
"""A file of events that is renamed when it is large or old enough, and made anew when somebody took it away.

Owns when, the names of what was rotated (they sort by time), how many of them stay, and compressing them. What is
written and how is file.py's.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from plaintap.errors import OutputError
from plaintap.outputs.framing import Framing
from plaintap.outputs.sinks.file import FileSink
from plaintap.trusted import open_trusted

_LOOK_S = 0.5
_COMPRESS_END_S = 30.0
_STAMP = r"\.\d{8}T\d{6}\.\d{6}Z(\.zst)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When another file begins, and what becomes of the old ones."""

    size_bytes: int | None = None
    period_s: float | None = None
    keep: int | None = None
    compress: bool = False


class RotatingFile(FileSink):
    """Files without a rotation too: one that was removed or renamed by others is made anew."""

    def __init__(
        self, path: str, *, form: str, unfit: Callable[[int], str], framing: Framing, rotation: Rotation
    ) -> None:
        """Raises OutputError."""
        super().__init__(path, form=form, unfit=unfit, framing=framing)
        self._rotation = rotation
        self._began_s = self._looked_s = time.monotonic()
        self._last_stamp_us = 0
        self._compressing: threading.Thread | None = None

    def close(self) -> None:
        """Flushes, closes, and waits a while for what is being compressed."""
        super().close()
        if self._compressing:
            self._compressing.join(_COMPRESS_END_S)

    def _write_some(self, view: memoryview) -> int:
        if not self._regular:
            return super()._write_some(view)
        self._look()
        size = os.fstat(self._fd).st_size
        if size and self._is_old():
            self._rotate()
            size = 0
        return super()._write_some(view[: self._fitting(view, size)])

    def _fitting(self, view: memoryview, size_bytes: int) -> int:
        """Whole events, one at the least; begins another file where not one fits."""
        limit = self._rotation.size_bytes
        if limit is None or size_bytes + len(view) <= limit:
            return len(view)
        data = bytes(view)
        if end := self._framing.ends(data, max(0, limit - size_bytes)):
            return end
        if size_bytes:
            self._rotate()
            if end := self._framing.ends(data, limit):
                return end
        return self._framing.cut(data, bare=False)[1][0]

    def _is_old(self) -> bool:
        period_s = self._rotation.period_s
        return period_s is not None and time.monotonic() - self._began_s >= period_s

    def _look(self) -> None:
        """Whether the name still leads to the file. Raises OSError where it cannot be made again."""
        now_s = time.monotonic()
        if self._fd >= 0 and now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                there, ours = os.stat(self._path), os.fstat(self._fd)  # noqa: PTH116 - beside fstat
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    return
        self._begin()

    def _begin(self) -> None:
        """A new file of the same name. The old one is closed only then. Raises OSError."""
        try:
            fd = self._open()
        except OutputError as error:
            cause = error.__cause__
            raise cause if isinstance(cause, OSError) else OSError(0, error.message) from error
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._torn = fd, False
        self._began_s = time.monotonic()

    def _rotate(self) -> None:
        """Raises OSError: the old file then goes on."""
        name = f"{self._path}.{self._stamp()}"
        os.rename(self._path, name)  # noqa: PTH104 - beside os.open
        self._begin()
        if self._rotation.compress:
            self._compress(name)
        self._forget_the_oldest()

    def _stamp(self) -> str:
        """Later than the last, whatever the clock does within a microsecond."""
        now_us = max(time.time_ns() // 1000, self._last_stamp_us + 1)
        self._last_stamp_us = now_us
        return datetime.fromtimestamp(now_us // 1_000_000, UTC).strftime(f"%Y%m%dT%H%M%S.{now_us % 1_000_000:06}Z")

    def _forget_the_oldest(self) -> None:
        if not self._rotation.keep:
            return
        path = Path(self._path)
        ours = re.compile(re.escape(path.name) + _STAMP)
        names = sorted(each.name for each in path.parent.iterdir() if ours.fullmatch(each.name))
        for name in names[: -self._rotation.keep]:
            with contextlib.suppress(OSError):
                path.with_name(name).unlink()

    def _compress(self, name: str) -> None:
        """Beside the capture, one file at a time."""
        before = self._compressing

        def work() -> None:
            if before:
                before.join()
            with contextlib.suppress(OSError):  # it stays as it is
                _compress_file(name)

        self._compressing = threading.Thread(target=work, name="compress", daemon=True)
        self._compressing.start()


def _compress_file(name: str) -> None:
    """To NAME.zst, which is there only when it is whole. Raises OSError."""
    import zstandard  # noqa: PLC0415 - only who rotates and compresses needs it

    part = f"{name}.zst.part"
    fd = open_trusted(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        with os.fdopen(fd, "wb") as target, Path(name).open("rb") as source:
            os.fchmod(target.fileno(), 0o600)
            zstandard.ZstdCompressor().copy_stream(source, target)
        os.rename(part, f"{name}.zst")  # noqa: PTH104 - beside os.open
    except OSError:
        Path(part).unlink(missing_ok=True)
        raise
    Path(name).unlink(missing_ok=True)
