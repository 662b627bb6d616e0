# SPDX-License-Identifier: Apache-2.0
"""Questions about single processes, and our own priority."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from plaintap.events import ProcessFacts

CAPTURE_NICE = -10
"""A reader that waits for its turn behind the traffic it shows loses it; it takes what it needs, no more."""


# The last part of its cgroup's path, as Docker, containerd, CRI-O and Podman name it: 64 hexadecimal digits.
_CONTAINER = re.compile(rb"[/:-]([0-9a-f]{64})(?:\.scope)?\s*$", re.MULTILINE)


def look_at_process(pid: int, comm: str) -> ProcessFacts:
    """What /proc says of it now; of one that has gone, nothing but what was known."""
    exe, cgroup = "", b""
    with contextlib.suppress(OSError):
        exe = str(Path(f"/proc/{pid}/exe").readlink()).removesuffix(" (deleted)")
        cgroup = Path(f"/proc/{pid}/cgroup").read_bytes()
    container = _CONTAINER.search(cgroup)
    return ProcessFacts(pid=pid, comm=comm, exe=exe, container=container[1].decode() if container else "")


def process_is_alive(pid: int) -> bool:
    """False for zombies too: nothing more will come from one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b") ")[2][:1] not in {b"Z", b"X"}


def go_first() -> None:
    """Gives this thread, and those it starts, the priority of a capture; without the privilege nothing changes."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, CAPTURE_NICE)
