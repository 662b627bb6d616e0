# SPDX-License-Identifier: Apache-2.0
"""Which file is which, whatever its names: identities for files that are attached, digests for copies."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from typing import NamedTuple

_FS_IOC_GETVERSION = 0x80087601  # include/uapi/linux/fs.h, _IOR('v', 1, long)


class Identity(NamedTuple):
    """A file and no other one: inode numbers are used again, generations are not."""

    device: int
    inode: int
    generation: int


def identity_of(fd: int) -> Identity:
    """The generation is 0 on file systems that have none to tell, such as tmpfs, which never reuse a number."""
    status = os.fstat(fd)
    generation = bytearray(8)
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, _FS_IOC_GETVERSION, generation)
    return Identity(status.st_dev, status.st_ino, int.from_bytes(generation[:4], "little"))


def digest(fd: int, size_bytes: int) -> bytes:
    """Of the first bytes of an open file."""
    return hashlib.blake2b(os.pread(fd, size_bytes, 0)).digest()
