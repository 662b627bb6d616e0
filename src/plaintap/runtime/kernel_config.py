# SPDX-License-Identifier: Apache-2.0
"""What the programs are told before they are loaded: `struct pt_config` of bpf/include/config.h.

It owns the bytes and the choice of defaults that are no user's business; the options themselves
are in config.py.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

CONFIG = struct.Struct("<IIIIBBBBBB2x16s")
CEILING_CHUNKS = 1024
"""16 MiB of one call, as PT_CEILING_CHUNKS; what is beyond is counted, and named by the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Who is captured; everything unset means everybody."""

    pids: tuple[int, ...] = ()
    uid: int | None = None
    comm: str | None = None
    cgroup_path: str | None = None
    follow: bool = False
    """The pids' descendants too, and stop them when they map a file nobody has looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is captured of them."""

    plaintext: bool = True
    secrets: bool = False


def pack_config(filters: Filters, wanted: Wanted, *, self_tgid: int, ring_bytes: int) -> bytes:
    """The bytes of `.rodata.config`; the reader is woken when the ring is a quarter full."""
    return CONFIG.pack(
        self_tgid,
        filters.uid or 0,
        ring_bytes // 4,
        CEILING_CHUNKS,
        bool(filters.pids or filters.follow),
        filters.uid is not None,
        filters.comm is not None,
        filters.cgroup_path is not None,
        wanted.plaintext,
        wanted.secrets,
        os.fsencode(filters.comm or "")[:15],
    )
