# SPDX-License-Identifier: Apache-2.0
"""Opening a file to write to by a name that others may have prepared: a link is followed only if it is ours or root's.

In a folder that others may write to, theirs could lead to any file that we may write to. Which files are fit to be
written to, and how, is who opens'.
"""

from __future__ import annotations

import errno
import os
import stat

_LINKS_MAX = 16
_PRIVATE = 0o600


def is_trusted(uid: int) -> bool:
    """Whether this is root, ourselves, or who called us by sudo: nobody who could want to deceive us."""
    return uid in (0, os.geteuid()) or str(uid) == os.environ.get("SUDO_UID")


def open_trusted(path: str, flags: int) -> int:
    """As `os.open`, mode 0600 where it makes the file. Raises OSError, ELOOP for the link of somebody else.

    Each link is looked at while it is held open, so that none can be put in its place meanwhile.
    """
    name = path
    for _ in range(_LINKS_MAX):
        try:
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        link = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(link)
            if not stat.S_ISLNK(status.st_mode):
                continue  # another one by now
            if not is_trusted(status.st_uid):
                raise OSError(errno.ELOOP, f"{name} is a link that belongs to user {status.st_uid}")
            if status.st_dev == os.lstat("/proc/self").st_dev:  # of a descriptor, as /dev/stdout: not a name's
                return os.open(name, flags | os.O_CLOEXEC, _PRIVATE)
            name = os.path.join(os.path.dirname(name), os.readlink("", dir_fd=link))  # noqa: PTH118, PTH120 - not read
        finally:
            os.close(link)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
