# SPDX-License-Identifier: Apache-2.0
"""Questions about single processes."""

from __future__ import annotations

from pathlib import Path


def process_is_alive(pid: int) -> bool:
    """False for zombies too: nothing more will come from one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b") ")[2][:1] not in {b"Z", b"X"}
