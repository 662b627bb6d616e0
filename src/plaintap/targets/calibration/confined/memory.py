# SPDX-License-Identifier: Apache-2.0
"""Reads the child's own memory without falling over addresses that are none.

Owns no meaning: what lies there is search.py's to say.
"""

from __future__ import annotations

import os


class Memory:
    """Opened before the privileges go: afterwards the file is root's. Its reads need no right beyond that."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)

    def read(self, address: int, size_bytes: int) -> bytes:
        """Up to `size_bytes`; fewer where the readable stretch ends, none where there is none."""
        try:
            return os.pread(self._fd, size_bytes, address)
        except (OSError, OverflowError):  # not mapped, or no address of user space
            return b""

    def pointer(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")
