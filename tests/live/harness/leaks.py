# SPDX-License-Identifier: Apache-2.0
"""What a test must not leave behind: programs, maps and links in the kernel, and processes.

Every program and map of the tool is named `pt_…`. Other runs of the tool on this host are not ours to
judge: what a living process holds is not leaked by us.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import subprocess
import time
from pathlib import Path

from harness.target import SLOWNESS

PREFIX = "pt_"
# Programs and maps are freed a little after the last descriptor is closed: the kernel waits for its readers (RCU).
FREED_WITHIN_S = 5.0
ENDED_WITHIN_S = 2.0 * SLOWNESS
POLL_S = 0.02
PR_SET_CHILD_SUBREAPER = 36
FDINFO = re.compile(r"^(prog|map|link)_id:\t(\d+)$", re.MULTILINE)


def become_subreaper() -> None:
    """Orphans of what we start become our children, so that `children` sees them."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def children() -> set[int]:
    """Our living children; dead orphans are buried on the way."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        for word in (task / "children").read_text().split():
            stat = Path(f"/proc/{word}/stat")
            if not stat.exists():
                continue
            if stat.read_text().rpartition(") ")[2].startswith("Z"):
                os.waitpid(int(word), os.WNOHANG)
            else:
                found.add(int(word))
    return found


def _listed(kind: str) -> dict[int, dict[str, object]]:
    deadline = time.monotonic() + FREED_WITHIN_S
    while True:
        listing = subprocess.run(["bpftool", "-j", kind, "show"], check=False, capture_output=True)
        # It fails where something it was about to show, anybody's, went away at that moment.
        if not listing.returncode:
            return {entry["id"]: entry for entry in json.loads(listing.stdout)}
        assert time.monotonic() < deadline, listing.stdout + listing.stderr


def kernel_objects() -> set[tuple[str, int]]:
    """Programs and maps of the tool and links of such programs, as `(kind, id)`; those of other runs left out."""
    programs = {("prog", number) for number, entry in _listed("prog").items() if _is_ours(entry)}
    maps = {("map", number) for number, entry in _listed("map").items() if _is_ours(entry)}
    links = {
        ("link", number) for number, entry in _listed("link").items() if ("prog", entry.get("prog_id")) in programs
    }
    return (programs | maps | links) - _held_by_others()


def _is_ours(entry: dict[str, object]) -> bool:
    # Two listings at once can make the kernel keep an array of programs that no process holds any more, and nothing
    # else: prog_array_map_clear() counts a reference for work that is already queued. What it held would be seen.
    return str(entry.get("name", "")).startswith(PREFIX) and entry.get("type") != "prog_array"


def _held_by_others() -> set[tuple[str, int]]:
    """What processes hold that run the tool and are not our children."""
    ours = children()
    held = set()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) not in ours and _is_tool(process):
            held |= _held_by(process)
    return held


def _is_tool(process: Path) -> bool:
    with contextlib.suppress(OSError):
        return any(word.endswith(b"plaintap") for word in (process / "cmdline").read_bytes().split(b"\0")[:4])
    return False


def _held_by(process: Path) -> set[tuple[str, int]]:
    held = set()
    with contextlib.suppress(OSError):
        for descriptor in (process / "fdinfo").iterdir():
            with contextlib.suppress(OSError):
                for kind, number in FDINFO.findall(descriptor.read_text()):
                    held.add((kind, int(number)))
    return held


def left_behind(before: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """What is there that was not there before, once the kernel had time to free it."""
    deadline = time.monotonic() + FREED_WITHIN_S
    while (left := kernel_objects() - before) and time.monotonic() < deadline:
        select.select([], [], [], POLL_S)
    return left


def left_running(before: set[int]) -> set[int]:
    """Children there were not before, once orphans had time to find out that they are: one may have just begun."""
    deadline = time.monotonic() + ENDED_WITHIN_S
    while (left := children() - before) and time.monotonic() < deadline:
        select.select([], [], [], POLL_S)
    return left
