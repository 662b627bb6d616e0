# SPDX-License-Identifier: Apache-2.0
"""The packets of a capture: whose interfaces and sockets are looked at, and the thread that writes them.

Packets stay in their ring for a moment where they may need it, until the secrets that decrypt them have been found,
which the capture hands over as they come. What the kernel does is runtime/packets.py's, what is written
packet_writer.py's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from plaintap import _native
from plaintap.config import CommonConfig
from plaintap.errors import PlaintapError, UsageError, where_of
from plaintap.outputs.pcapng import InterfaceFacts
from plaintap.outputs.sinks.packetfile import UNLIMITED, PacketFile, Rotation
from plaintap.runtime.interfaces import LINKTYPE_ETHERNET, Interface, Interfaces
from plaintap.runtime.kernel_config import Filters
from plaintap.runtime.packets import PacketKernel
from plaintap.runtime.recording import clock_offset_ns
from plaintap.session.packet_writer import PacketWriter

HOLD_NS = 1_000_000_000
"""How long packets wait for the secrets of their connection."""
POLL_MS = 50
ANY = "any"


class _Ring:
    """The kernel's, as the writer asks for it."""

    def __init__(self, kernel: PacketKernel, *, ring_bytes: int) -> None:
        self._kernel = kernel
        self._most_waiting_bytes = ring_bytes // 2

    def write_packets(self, fd: int, *, until_ns: int, room_bytes: int, packet_id: int) -> tuple[int, int, int]:
        """See `packet_writer.PacketSource`."""
        written, packets, _, error = self._kernel.ring.write(
            fd,
            until_ns,
            clock_offset_ns(),
            self._most_waiting_bytes,
            room_bytes,
            self._kernel.filtering,
            packet_id,
        )
        return written, packets, error

    def counts(self, index: int, /) -> tuple[int, int]:
        """See `packet_writer.PacketSource`."""
        return self._kernel.counts(index)


class Packets:
    """One capture of packets: `start`, secrets as they come, `finish`; `close` instead when it failed."""

    def __init__(
        self,
        common: CommonConfig,
        filters: Filters,
        *,
        ring_bytes: int,
        filter_maps: Mapping[str, int],
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
        self._seen: dict[int, Interface] = {}
        """By index, all that were ever attached to."""
        self._told: set[str] = set()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._interfaces = Interfaces()
        try:
            self._check_names()
            self._kernel = PacketKernel(
                filters,
                expression=common.pcapfilter or "",
                snaplen=common.snaplen,
                ring_bytes=ring_bytes,
                filter_maps=filter_maps,
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
        self._writer = PacketWriter(self._file, _Ring(self._kernel, ring_bytes=ring_bytes), notice=notice, stop=stop)

    @property
    def packets(self) -> int:
        """Written so far, or counted where nothing can be written."""
        return self._writer.packets

    @property
    def failed(self) -> bool:
        """Not everything could be written."""
        return self._writer.failed

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
        self._kernel.learn_open_sockets()
        self._writer.begin()
        self._look_at_interfaces()
        self._kernel.set_running(True)
        self._thread = threading.Thread(target=self._write_all, name="packets")
        self._thread.start()

    def add_secrets(self, lines: bytes) -> None:
        """Lines of a key log, for the packets that wait."""
        self._writer.add_secrets(lines)

    def finish(self) -> None:
        """No more packets; once every secret was added. What waits is written."""
        self._kernel.detach()
        self._ending.set()
        if self._thread:
            self._thread.join()

    def losses(self) -> dict[str, int]:
        """By counter."""
        return {
            "packets_dropped": sum(self._kernel.counts(index).dropped for index in self._seen),
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
                self._writer.write_due(time.clock_gettime_ns(time.CLOCK_MONOTONIC) - HOLD_NS)
            self._writer.write_due(UNLIMITED)
            self._writer.end()
        except Exception as error:  # noqa: BLE001 - a thread's outer edge: the capture goes on, and says so
            self._writer.fail(where_of(error))

    # ---- interfaces

    def _look_at_interfaces(self) -> None:
        """Attaches to those that are new, lets go of those that are not there any more."""
        there = {interface.index: interface for interface in self._interfaces.all()}
        for index in self._seen.keys() - there.keys():
            self._kernel.forget(index)
            name = self._seen[index].name
            if name not in self._told:
                self._told.add(name)
                self._notice(f"the interface {name} is gone")
        for interface in there.values():
            if self._wants(interface):
                self._attach(interface)

    def _wants(self, interface: Interface) -> bool:
        known = interface.index in self._seen
        if known or self._names:
            return interface.link_type is not None and (known or interface.name in self._names)
        return interface.is_up and interface.link_type is not None

    def _attach(self, interface: Interface) -> None:
        if interface.index not in self._seen:
            number = self._writer.describe(interface.index, self._facts_of(interface))
            ethernet = interface.link_type == LINKTYPE_ETHERNET
            self._kernel.ring.set_interface(interface.index, number, interface.is_loopback, ethernet)
            self._seen[interface.index] = interface
        try:
            if self._kernel.attach(interface):
                self._debug(f"packets of {interface.name} are captured")
        except _native.NativeError:
            return  # it went meanwhile
        except PlaintapError as error:
            if self._thread is None:
                raise
            self._notice(error.message)

    def _facts_of(self, interface: Interface) -> InterfaceFacts:
        assert interface.link_type is not None
        return InterfaceFacts(
            name=interface.name,
            link_type=interface.link_type,
            snaplen=self._common.snaplen,
            speed_bits=interface.speed_bits,
            filter=self._common.pcapfilter or "",
        )
