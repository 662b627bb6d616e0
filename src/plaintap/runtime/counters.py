# SPDX-License-Identifier: Apache-2.0
"""The kernel side's loss counters, in the order of `enum pt_counter` (bpf/include/counters.h)."""

from __future__ import annotations

import struct

from plaintap import _native

NAMES = (
    "ring_full_records",
    "ring_full_bytes",
    "unread_records",
    "unread_bytes",
    "beyond_ceiling_bytes",
    "map_full",
    "unmatched_returns",
    "too_deep",
    "not_held",
    "sessions_without_secrets",
    "sessions_evicted",
)


def read_counters(map_fd: int) -> dict[str, int]:
    """Every counter summed over the CPUs."""
    cpus = _native.possible_cpus()
    per_cpu = struct.Struct(f"<{cpus}Q")
    totals = {}
    for index, name in enumerate(NAMES):
        value = _native.map_lookup(map_fd, struct.pack("<I", index), per_cpu.size)
        totals[name] = sum(per_cpu.unpack(value)) if value else 0
    return totals
