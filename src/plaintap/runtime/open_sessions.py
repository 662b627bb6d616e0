# SPDX-License-Identifier: Apache-2.0
"""What the map of sessions says at the end: `struct session` of bpf/include/session.h.

A session is still there when its connection is open, or when its process ended without closing it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from plaintap import _native
from plaintap.events import SESSION_END, WIRE_VERSION, Kind

SESSION_KEY_SIZE = 16
SESSION_SIZE = 136
SESSION_HEAD = struct.Struct("<QQQ Q I B")
"""id, offset[2], image, uid, secrets"""
SECRETS_SENT, SECRETS_NONE, SECRETS_LOGGED = 1, 2, 8


class OpenSessions(NamedTuple):
    """How far each got."""

    ends: list[bytes]
    """A SESSION_END record for each."""
    without_secrets: int
    """Of how many neither secrets were sent, nor that there are none."""


def read_open_sessions(map_fd: int, *, ts_ns: int) -> OpenSessions:
    """Every session of the map, once each."""
    ends = []
    without_secrets = 0
    # A deletion between two steps of the walk, or an eviction, begins it anew.
    for key in dict.fromkeys(_native.map_keys(map_fd, SESSION_KEY_SIZE)):
        value = _native.map_lookup(map_fd, key, SESSION_SIZE)
        if not value:
            continue
        number, read, written, _image, _uid, secrets = SESSION_HEAD.unpack_from(value)
        head = (WIRE_VERSION, Kind.SESSION_END, 0, SESSION_END.size, ts_ns, 0, 0)
        ends.append(SESSION_END.pack(*head, number, read, written))
        without_secrets += not secrets & (SECRETS_SENT | SECRETS_NONE | SECRETS_LOGGED)
    return OpenSessions(ends, without_secrets)
