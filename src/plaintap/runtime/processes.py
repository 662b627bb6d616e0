# SPDX-License-Identifier: Apache-2.0
"""Questions about single processes, and our own priority."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

CAPTURE_NICE = -10
"""A reader that waits for its turn behind the traffic it shows loses it; it takes what it needs, no more."""


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
