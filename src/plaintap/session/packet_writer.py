# SPDX-License-Identifier: Apache-2.0
"""What a packet capture writes: secrets before the packets, the blocks each file begins and ends with, the next file.

Packets themselves come through `PacketSource`, which the kernel's ring is; which interfaces there are is packets.py's.
Everything here runs in one thread, but for `add_secrets`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from plaintap import __version__
from plaintap.errors import PlaintapError, reason
from plaintap.outputs.pcapng import InterfaceFacts, interface_block, secrets_block, section_block, statistics_block
from plaintap.outputs.sinks.packetfile import PacketFile

RECENT_NS = 10_000_000_000
"""Secrets no older than this begin the next file too: packets that wait may need them there."""
RECENT_MOST = 20_000
STEP_BYTES = 8 << 20
"""Written at a time, before secrets are looked at again."""
CPUINFO = Path("/proc/cpuinfo")


class PacketSource(Protocol):
    """Where packets are taken from."""

    def write_packets(self, fd: int, *, until_ns: int, room_bytes: int, packet_id: int) -> tuple[int, int, int]:
        """Bytes written to `fd`, packets taken - with -1 that is all -, and what kept it from writing them, or 0."""

    def counts(self, index: int, /) -> tuple[int, int]:
        """Packets captured and lost so far at an interface."""


@dataclass(slots=True)
class _Described:
    facts: InterfaceFacts
    number: int
    counted: tuple[int, int] = (0, 0)
    """Packets that came and were lost before this file."""


class PacketWriter:
    """`stop` is called when nobody reads any more."""

    def __init__(
        self, file: PacketFile, source: PacketSource, *, notice: Callable[[str], None], stop: Callable[[], None]
    ) -> None:
        self.packets = 0
        self.failed = False
        """Not everything could be written."""
        self._file = file
        self._source = source
        self._notice = notice
        self._stop = stop
        self._secrets: deque[bytes] = deque()
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=RECENT_MOST)
        self._described: dict[int, _Described] = {}
        self._began_ns = 0

    def add_secrets(self, lines: bytes) -> None:
        """Lines of a key log, for the packets that wait; from any thread."""
        self._secrets.append(lines)

    def begin(self) -> None:
        """The first file's head."""
        self._began_ns = time.time_ns()
        release = platform.release()
        section = section_block(hardware=_processor(), os=f"Linux {release}", application=f"plaintap {__version__}")
        self._write_block(section)

    def describe(self, index: int, facts: InterfaceFacts) -> int:
        """An interface, before its first packet; its number in the files."""
        number = len(self._described)
        self._described[index] = _Described(facts, number)
        self._write_block(interface_block(facts))
        return number

    def write_due(self, until_ns: int) -> None:
        """Secrets, then packets captured before `until_ns` and those that need not wait; into the next file if due."""
        while True:
            self._write_secrets()
            room = min(STEP_BYTES, self._file.room_bytes)
            written, packets, error = self._source.write_packets(
                self._file.fd, until_ns=until_ns, room_bytes=room, packet_id=self.packets
            )
            self._file.size_bytes += written
            self.packets += packets
            if error:
                self._cannot_write(OSError(error, os.strerror(error)))
            elif self._file.is_due and self._file.fd >= 0:
                self._next_file()
            # Those behind what could not be written are counted at once.
            if written < room and not error:
                return

    def end(self) -> None:
        """What each file ends with: the interfaces' packets."""
        end_ns = time.time_ns()
        for index, described in self._described.items():
            captured, dropped = self._since(index, described)
            block = statistics_block(
                described.number,
                start_ns=self._began_ns,
                end_ns=end_ns,
                received=captured + dropped,
                dropped=dropped,
            )
            self._write_block(block)

    def fail(self, why: str) -> None:
        """Nothing more is written."""
        self.failed = True
        self._file.close()
        self._notice(f"cannot write packets to {self._file.place}: {why}; they are only counted from here on")

    def _since(self, index: int, described: _Described) -> tuple[int, int]:
        captured, dropped = self._source.counts(index)
        return captured - described.counted[0], dropped - described.counted[1]

    def _write_secrets(self) -> None:
        now_ns = time.monotonic_ns()
        while self._secrets:
            lines = self._secrets.popleft()
            self._recent.append((now_ns, lines))
            self._write_block(secrets_block(lines))

    def _write_block(self, block: bytes) -> None:
        if self._file.fd < 0:
            return
        try:
            self._file.write(block)
        except OSError as error:
            self._cannot_write(error)

    def _cannot_write(self, error: OSError) -> None:
        if error.errno == errno.EPIPE:
            self._file.close()
            self._stop()
        else:
            self.fail(reason(error))

    def _next_file(self) -> None:
        self.end()
        try:
            self._file.begin()
        except PlaintapError as error:
            self.fail(error.message)
            return
        self.begin()
        for index, described in self._described.items():
            described.counted = self._source.counts(index)
            self._write_block(interface_block(described.facts))
        since_ns = time.monotonic_ns() - RECENT_NS
        recent = b"".join(lines for added_ns, lines in self._recent if added_ns >= since_ns)
        if recent:
            self._write_block(secrets_block(recent))


def _processor() -> str:
    """The processor's name, or the architecture where it has none."""
    with contextlib.suppress(OSError):
        for line in CPUINFO.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
