# SPDX-License-Identifier: Apache-2.0
"""Opening a file that plaintext or keys go to: appended to, its owner's alone, and none that somebody laid out for it.

Pipes may be without a reader yet. What is written, and how, is the sinks'.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from plaintap.errors import OutputError, reason
from plaintap.outputs.framing import LINES, Framing
from plaintap.trusted import is_trusted, open_trusted

_MODE = 0o600
_OTHERS = 0o077


def open_to_append(path: str, *, task: str, hint: str, unfit: Callable[[int], str]) -> int:
    """A descriptor that waits when it is full; -1 for a pipe that nobody reads yet.

    `task` is for the error, such as `write keys to FILE`. `unfit` looks at what a regular file holds and says what
    speaks against it, or "". Raises OutputError.
    """
    try:
        fd = _open_at_once(path)
    except OSError as error:
        raise OutputError(f"cannot {task}: {reason(error)}", hint=hint) from error
    if fd < 0:
        return fd
    why = _why_not(fd, unfit) or _make_ours(fd)
    if why:
        os.close(fd)
        raise OutputError(f"cannot {task}: {why}", hint=hint)
    return fd


def wait_for_reader(path: str) -> int:
    """A descriptor of the pipe for which `open_to_append` had none. Raises OSError."""
    fd = open_trusted(path, os.O_WRONLY)
    if why := "it is no pipe any more" if is_regular(fd) else _why_not(fd, lambda _fd: ""):
        os.close(fd)
        raise OSError(errno.EPERM, why)
    return fd


def is_regular(fd: int) -> bool:
    """Whether what is written there stays, and can be taken back."""
    return fd >= 0 and stat.S_ISREG(os.fstat(fd).st_mode)


def ends_with_newline(fd: int) -> bool:
    """Of a regular file; one without anything ends well too."""
    size = os.fstat(fd).st_size
    try:
        return not size or os.pread(fd, 1, size - 1) == b"\n"
    except OSError:  # it cannot be read; an empty line does no harm
        return False


def append_whole(fd: int, lines: bytes, framing: Framing = LINES) -> int:
    """Writes whole events at the end of a regular file; how many bytes stay: all, or those of events that went whole.

    A short write, as on a full disk, is taken back to the last whole event. Raises OSError where none went.
    """
    written = 0
    try:
        while written < len(lines):
            written += os.write(fd, lines[written:])
    except OSError:
        whole = framing.ends(lines, written)
        _take_back(fd, written - whole)
        if not whole:
            raise
        return whole
    return written


def _take_back(fd: int, size_bytes: int) -> None:
    """Only while nobody else has written behind it."""
    end = os.lseek(fd, 0, os.SEEK_CUR)
    if size_bytes and os.fstat(fd).st_size == end:
        os.ftruncate(fd, end - size_bytes)


def _make_ours(fd: int) -> str:
    """Closes it to others, and lets it wait; why not, where that fails."""
    try:
        os.set_blocking(fd, True)
        _keep_from_others(fd)
    except OSError as error:
        return reason(error)
    return ""


def _why_not(fd: int, unfit: Callable[[int], str]) -> str:
    """What speaks against this file, which may have been put there by somebody who wants to read it, or be a slip."""
    status = os.fstat(fd)
    if not is_trusted(status.st_uid) and not stat.S_ISCHR(status.st_mode):
        return f"it belongs to user {status.st_uid}"
    if not stat.S_ISREG(status.st_mode):
        return ""
    if status.st_nlink != 1:
        return "it has another name as well"
    if any(_is_same(status, standard) for standard in (1, 2)):
        return "that is where standard output or standard error goes"
    return unfit(fd)


def _is_same(status: os.stat_result, fd: int) -> bool:
    try:
        other = os.fstat(fd)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (other.st_dev, other.st_ino)


def _open_at_once(path: str) -> int:
    flags = os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
    # Our own links are followed: /dev/fd/63 is one, of a shell's `>(command)`. What they lead to is looked at as well.
    mode = Path(path).stat().st_mode if Path(path).exists() else stat.S_IFREG
    if stat.S_ISREG(mode):
        # For reading too where that may be: what is there is looked at.
        with contextlib.suppress(PermissionError):
            return open_trusted(path, os.O_RDWR | flags)
    try:
        return open_trusted(path, os.O_WRONLY | flags)
    except OSError as error:
        # Not opened for reading as well, which always succeeds: its reader's end would then be no end.
        if error.errno == errno.ENXIO and stat.S_ISFIFO(mode):
            return -1
        raise


def _keep_from_others(fd: int) -> None:
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode) or stat.S_IMODE(mode) == _MODE:
        return
    try:
        os.fchmod(fd, _MODE)
    except PermissionError:
        if mode & _OTHERS:
            raise
