# SPDX-License-Identifier: Apache-2.0
"""Which process listens at a TCP port of this network namespace, by /proc (proc(5): net/tcp, PID/fd)."""

from __future__ import annotations

import contextlib
from pathlib import Path

_LISTEN = "0A"
_TABLES = ("net/tcp", "net/tcp6")


def who_listens(port: int, *, proc: str = "/proc") -> str:
    """`nginx[611]`; "" when nobody does or it cannot be seen."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port, proc)}
    if not inodes:
        return ""
    for process in Path(proc).iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdecimal() and any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text(errors='replace').strip()}[{process.name}]"
    return ""


def _listening(port: int, proc: str) -> list[str]:
    found = []
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in Path(f"{proc}/{table}").read_text(encoding="ascii").splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTEN and int(words[1].rpartition(":")[2], 16) == port:
                    found.append(words[9])
    return found
