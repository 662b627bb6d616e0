# SPDX-License-Identifier: Apache-2.0
"""How a HAR of ours lies in its file: a head, an entry per line, an end. So it can be continued, and repaired.

Knows bytes only. The sink is sinks/harfile.py, an entry har.py's.
"""

from __future__ import annotations

import re

from plaintap import __version__

END = b"\n]}}\n"
_HEAD = b'{"log":{"version":"1.2","creator":{"name":"plaintap","version":"%s"},"entries":['
_OURS = re.compile(re.escape(_HEAD).replace(re.escape(b"%s"), rb"[^\"\\\n]*"))


def head() -> bytes:
    """What it begins with."""
    return _HEAD % __version__.encode()


def is_ours(start: bytes) -> bool:
    """By its beginning, of whatever version."""
    return _OURS.match(start) is not None


def head_of(start: bytes) -> bytes:
    """The beginning of a file of ours; b"" of any other."""
    match = _OURS.match(start)
    return match[0] if match else b""


def is_whole(tail: bytes) -> bool:
    """By its last bytes: those of an entry, or of the head, then the end."""
    return tail.endswith((b"}" + END, b"[" + END))
