# SPDX-License-Identifier: Apache-2.0
"""From what a user types to what an option takes: times, users, names, sizes, and what the words of others mean.

Owns the meaning of values that a type alone does not tell, and their limits. Which options take them is config.py's.
"""

from __future__ import annotations

import os
import re
from typing import Annotated

from msgspec import Meta

from plaintap.errors import UsageError

COMM_MAX_BYTES = 15
LISTEN = "localhost:28256"
"""Where `--listen on` is."""
MAPSIZE_MAX_KB = 1 << 20
RING_MAX_BYTES = 1 << 31
Text = Annotated[str, Meta(min_length=1)]

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_UNIT_BYTES = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9}
_SIZE = re.compile(r"(\d{1,15})\s*([kmg]?b?)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")


def duration(value: object) -> object:
    """Seconds."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    return float(match[1]) * _UNIT_S[match[2]] if match else value


def size_bytes(value: object) -> object:
    """Bytes; a unit is a power of ten, as in a filter."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip().lower())
    return int(match[1]) * _UNIT_BYTES[match[2]] if match else value


def listening(value: object) -> object:
    """`HOST:PORT`; `on` is the address eCapture has. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if value in ("off", "false", "0"):
        return None
    if value in ("on", "true"):
        return LISTEN
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not int(port) < 1 << 16:
        raise ValueError(f"expected HOST:PORT with a port up to 65535, got {value!r}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"an IPv6 address stands in brackets, got {value!r}")
    return value


def user(value: object) -> object:
    """A user id. Raises ValueError where this host has no such user."""
    if not isinstance(value, str) or value.isdecimal() or value.startswith("-"):
        return value
    import pwd  # noqa: PLC0415 - asks the name service, and only who names a user needs it

    try:
        return pwd.getpwnam(value).pw_uid
    except KeyError:
        raise ValueError(f"this host has no user {value!r}") from None


def comm(value: object) -> object:
    """A process name as the kernel keeps it. Raises ValueError for one it would cut."""
    if isinstance(value, str) and len(os.fsencode(value)) > COMM_MAX_BYTES:
        kept = os.fsencode(value)[:COMM_MAX_BYTES].decode("utf-8", "ignore")
        raise ValueError(f"the kernel keeps {COMM_MAX_BYTES} bytes of a name, {value!r} would be {kept!r}")
    return value


def model(value: object) -> object:
    """What to make of a capture, also in eCapture's words."""
    return {"key": "keylog", "pcapng": "pcap"}.get(value, value) if isinstance(value, str) else value


def million_bytes(value: object) -> object:
    """Bytes, of a size in millions of them as tcpdump's -C has it."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    return value * 1_000_000 if isinstance(value, int) and not isinstance(value, bool) else value


def millions_or_size(value: object) -> object:
    """Bytes, of millions of them or of a size with its unit."""
    plain = not isinstance(value, str) or value.strip().isdecimal()
    return million_bytes(value) if plain else size_bytes(value)


def ring_size_bytes(mapsize_kb: int, cpus: int) -> tuple[int, bool]:
    """The ring buffer for `mapsize_kb` per CPU, and whether it had to be rounded up.

    The kernel takes a power of two of whole pages, up to 2 GiB in all; UsageError beyond that.
    """
    wanted = mapsize_kb * 1024 * cpus
    if wanted > RING_MAX_BYTES:
        raise UsageError(
            f"--mapsize: {mapsize_kb} KB for each of {cpus} CPUs is more than the kernel's 2 GiB for a ring",
            hint=f"on this host at most --mapsize {RING_MAX_BYTES // 1024 // cpus}",
        )
    size = max(os.sysconf("SC_PAGESIZE"), 1 << (wanted - 1).bit_length())
    return size, size != wanted
