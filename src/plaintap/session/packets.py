# SPDX-License-Identifier: Apache-2.0
"""The packets of a capture: from the interfaces that are wanted into their files, with the secrets before them.

A thread of its own writes: packets stay in their ring for a moment, until the secrets that decrypt them have been
found, which the capture hands over as they come. What the kernel does is runtime/packets.py's, blocks and files are of
outputs.
"""

from __future__ import annotations

import contextlib
import errno
import platform
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plaintap import __version__, _native
from plaintap.config import CommonConfig
from plaintap.errors import PlaintapError, UsageError, reason, where_of
from plaintap.outputs.pcapng import InterfaceFacts, interface_block, secrets_block, section_block, statistics_block
from plaintap.outputs.sinks.packetfile import UNLIMITED, PacketFile, Rotation
from plaintap.runtime.interfaces import Interface, Interfaces
from plaintap.runtime.kernel_config import Filters
from plaintap.runtime.packets import PacketKernel
from plaintap.runtime.recording import clock_offset_ns

HOLD_NS = 1_000_000_000
"""How long packets wait for the secrets of their connection."""
RECENT_NS = 10 * HOLD_NS
"""Secrets no older than this begin the next file too: packets that wait may need them there."""
RECENT_MOST = 20_000
POLL_MS = 50
STEP_BYTES = 8 << 20
"""Written at a time, before secrets and interfaces are looked at again."""
ANY = "any"
CPUINFO = Path("/proc/cpuinfo")


@dataclass(slots=True)
class _Numbered:
    interface: Interface
    number: int
    counted: tuple[int, int] = (0, 0)
    """Packets that came and were lost before this file."""


class Packets:
    """One capture of packets: `start`, secrets as they come, `finish`; `close` instead when it failed."""

    def __init__(
        self,
        common: CommonConfig,
        filters: Filters,
        *,
        ring_bytes: int,
        pids_fd: int,
        notice: Callable[[str], None],
        debug: Callable[[str], None],
        stop: Callable[[], None],
    ) -> None:
        """Loads the programs and opens the file. Raises PlaintapError.

        `notice` and `debug` are called from the writing thread too; `stop` when nobody reads any more.
        """
        self._common = common
        self._notice = notice
        self._debug = debug
        self._stop = stop
        self._hold_ns = HOLD_NS
        self._ring_bytes = ring_bytes
        self._secrets: deque[bytes] = deque()
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=RECENT_MOST)
        self._numbered: dict[int, _Numbered] = {}
        self._told: set[str] = set()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._began_ns = 0
        self.packets = 0
        self.failed = False
        """Not everything could be written."""
        self._interfaces = Interfaces()
        try:
            self._check_names()
            self._kernel = PacketKernel(
                filters,
                expression=common.pcapfilter or "",
                snaplen=common.snaplen,
                ring_bytes=ring_bytes,
                pids_fd=pids_fd,
            )
        except BaseException:
            self._interfaces.close()
            raise
        try:
            rotation = Rotation(size_bytes=common.rotate_bytes, period_s=common.rotate_s, files=common.rotate_files)
            self._file = PacketFile(common.packets_path, rotation)
        except BaseException:
            self._kernel.close()
            self._interfaces.close()
            raise

    @property
    def place(self) -> str:
        """Where they go, for the ready line."""
        return self._file.place

    def _check_names(self) -> None:
        there = {interface.name: interface for interface in self._interfaces.all()}
        for name in self._names:
            if name not in there:
                hint = f"there are {', '.join(there)}"
                raise UsageError(f"-i {name}: no such interface", hint=hint)
            if there[name].link_type is None:
                raise UsageError(f"-i {name}: packets of its kind of device are not known", hint="tcpdump -L -i NAME")
            if not there[name].is_up:
                self._notice(f"{name} is down: there are packets once it is up")

    @property
    def _names(self) -> list[str]:
        return [] if ANY in self._common.ifname else list(self._common.ifname)

    def start(self) -> None:
        """Attaches, and begins to write."""
        self._began_ns = time.time_ns()
        self._kernel.learn_open_sockets()
        self._head()
        self._look_at_interfaces()
        self._kernel.set_running(True)
        self._thread = threading.Thread(target=self._write_all, name="packets")
        self._thread.start()

    def add_secrets(self, lines: bytes) -> None:
        """Lines of a key log, for the packets that wait."""
        self._secrets.append(lines)

    def finish(self) -> None:
        """No more packets; once every secret was added. What waits is written."""
        self._kernel.detach()
        self._ending.set()
        if self._thread:
            self._thread.join()

    def losses(self) -> dict[str, int]:
        """By counter."""
        return {
            "packets_dropped": sum(self._kernel.counts(index).dropped for index in self._numbered),
            "packets_failed": int(self.failed),
            "packet_owners": self._kernel.owners_lost(),
        }

    def close(self) -> None:
        """Lets go of everything."""
        self._ending.set()
        if self._thread:
            self._thread.join()
        self._kernel.close()
        self._interfaces.close()
        self._file.close()

    # ---- the writing thread

    def _write_all(self) -> None:
        try:
            while not self._ending.is_set():
                self._kernel.ring.wait(POLL_MS)
                if self._interfaces.changed():
                    self._look_at_interfaces()
                self._write_due(time.clock_gettime_ns(time.CLOCK_MONOTONIC) - self._hold_ns)
            self._write_due(UNLIMITED)
            self._tail()
        except Exception as error:  # noqa: BLE001 - a thread's outer edge: the capture goes on, and says so
            self._fail(where_of(error))

    def _write_due(self, until_ns: int) -> None:
        """Packets captured before `until_ns`, and what is more than half of the ring."""
        while True:
            self._write_secrets()
            room = min(STEP_BYTES, self._file.room_bytes)
            written, packets = self._write_packets(until_ns, room)
            self._file.size_bytes += written
            self.packets += packets
            if self._file.is_due and self._file.fd >= 0:
                self._next_file()
            if written < room:
                return

    def _write_packets(self, until_ns: int, room_bytes: int) -> tuple[int, int]:
        try:
            written, packets, _ = self._kernel.ring.write(
                self._file.fd,
                until_ns,
                clock_offset_ns(),
                self._ring_bytes // 2,
                room_bytes,
                self._kernel.filtering,
                self.packets,
            )
        except _native.NativeError as error:
            self._cannot_write(error)
            return 0, 0
        return written, packets

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
            self._fail(reason(error))

    def _fail(self, why: str) -> None:
        self.failed = True
        self._file.close()
        self._notice(f"cannot write packets to {self.place}: {why}; they are only counted from here on")

    def _head(self) -> None:
        release = platform.release()
        section = section_block(hardware=_processor(), os=f"Linux {release}", application=f"plaintap {__version__}")
        self._write_block(section)

    def _next_file(self) -> None:
        self._tail()
        try:
            self._file.begin()
        except PlaintapError as error:
            self._fail(error.message)
            return
        self._head()
        for numbered in self._numbered.values():
            counts = self._kernel.counts(numbered.interface.index)
            numbered.counted = counts.captured, counts.dropped
            self._write_block(self._describe(numbered.interface))
        self._began_ns = time.time_ns()
        since_ns = time.monotonic_ns() - RECENT_NS
        recent = b"".join(lines for added_ns, lines in self._recent if added_ns >= since_ns)
        if recent:
            self._write_block(secrets_block(recent))

    def _tail(self) -> None:
        end_ns = time.time_ns()
        for numbered in self._numbered.values():
            counts = self._kernel.counts(numbered.interface.index)
            captured, dropped = counts.captured - numbered.counted[0], counts.dropped - numbered.counted[1]
            block = statistics_block(
                numbered.number,
                start_ns=self._began_ns,
                end_ns=end_ns,
                received=captured + dropped,
                dropped=dropped,
            )
            self._write_block(block)

    # ---- interfaces

    def _look_at_interfaces(self) -> None:
        """Attaches to those that are new, lets go of those that are not there any more."""
        there = {interface.index: interface for interface in self._interfaces.all()}
        for index in self._numbered.keys() - there.keys():
            self._kernel.forget(index)
            name = self._numbered[index].interface.name
            if name not in self._told:
                self._told.add(name)
                self._notice(f"the interface {name} is gone")
        for interface in there.values():
            if self._wants(interface):
                self._attach(interface)

    def _wants(self, interface: Interface) -> bool:
        known = self._numbered.get(interface.index)
        if known or self._names:
            return interface.link_type is not None and (known is not None or interface.name in self._names)
        return interface.is_up and interface.link_type is not None

    def _attach(self, interface: Interface) -> None:
        if interface.index not in self._numbered:
            number = len(self._numbered)
            self._kernel.ring.set_interface(interface.index, number, interface.is_loopback)
            self._numbered[interface.index] = _Numbered(interface, number)
            self._write_block(self._describe(interface))
        try:
            if self._kernel.attach(interface):
                self._debug(f"packets of {interface.name} are captured")
        except _native.NativeError:
            return  # it went meanwhile
        except PlaintapError as error:
            if self._thread is None:
                raise
            self._notice(error.message)

    def _describe(self, interface: Interface) -> bytes:
        assert interface.link_type is not None
        facts = InterfaceFacts(
            name=interface.name,
            link_type=interface.link_type,
            snaplen=self._common.snaplen,
            speed_bits=interface.speed_bits,
            filter=self._common.pcapfilter or "",
        )
        return interface_block(facts)


def _processor() -> str:
    """The processor's name, or the architecture where it has none."""
    with contextlib.suppress(OSError):
        for line in CPUINFO.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
