# SPDX-License-Identifier: Apache-2.0
"""One capture from the kernel: init, start, run, close, in that order and no other.

What is probed is the modules' business, what is shown the pipeline's, signals are signals.py's, what is known of
libraries libraries.py's, what is recorded recording.py's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from plaintap import _native
from plaintap.config import CaptureConfig, TlsConfig
from plaintap.errors import TargetError, reason
from plaintap.events import Fact, Kind, Meta, ProcessExited, ProcessHeld, SessionSeen
from plaintap.messages import Message, Totals
from plaintap.modules.attacher import Attacher, Found
from plaintap.modules.registry import MODULES
from plaintap.runtime.child import Child, Guard, release, require_command
from plaintap.runtime.kernel import Kernel
from plaintap.runtime.kernel_config import Filters, Wanted
from plaintap.runtime.privileges import may_look_at_others, require_capabilities
from plaintap.runtime.processes import go_first, look_at_process, process_is_alive
from plaintap.runtime.recording import clock_offset_ns
from plaintap.runtime.watch import Mapping, Watcher
from plaintap.session.layouts import Layouts
from plaintap.session.libraries import Libraries
from plaintap.session.logs import LoggedReporter
from plaintap.session.packets import Packets
from plaintap.session.pipeline import Pipeline, Reporter
from plaintap.session.processes import Processes
from plaintap.session.recording import Recording
from plaintap.session.signals import Signals
from plaintap.targets.x86 import load_decoder
from plaintap.values import ring_size_bytes

BATCH_BYTES = 1 << 20
POLL_MS = 20
KEYS_POLL_MS = 100
"""Where only keys are wanted, whose reader does not look on: a quarter of the CPU that each handshake takes."""
IDLE_POLL_MS = 40
TICK_NS = 1_000_000_000
SECRETS_SHARE = 8
"""Where packets and no plaintext are wanted, which have a ring of their own, secrets need little of one."""
LINK_PIDS_MAX = 16
"""With more pids than this the probes go in once, for every process, and the kernel filters."""


class Capture:
    """One capture of this host's processes. `undo` takes back, in reverse, whatever was begun."""

    def __init__(
        self,
        config: CaptureConfig,
        *,
        command: Sequence[str] | None,
        reporter: Reporter,
        watch: Callable[[Sequence[Message]], None] | None = None,
    ) -> None:
        """init: checks privileges, opens outputs, forks the command, loads the programs.

        `watch` is shown every message as well; such a capture is one of several of its process, and signals are not
        its own.
        """
        self._began = time.monotonic()
        self._watch = watch
        self.seen: Totals | None = None
        """The totals of about a second ago, for who watches."""
        self._common = common = config.common
        tls = config.modules.get("tls", TlsConfig())
        assert isinstance(tls, TlsConfig)
        self._modules = [MODULES[name] for name in config.modules]
        self._only = {name: module.only for name, module in config.modules.items() if module.only}
        self._layouts = Layouts(ssl_version=tls.ssl_version, keys=common.wants_secrets, notice=reporter.notice)
        self._reporter = reporter = LoggedReporter(reporter)
        self._signals: Signals | None = None
        self._stopping = False
        self.had_enough = False
        """It ended because enough was shown, or nobody looks any more."""
        require_capabilities()
        for pid in common.pid:
            if not process_is_alive(pid):
                raise TargetError(f"cannot attach to pid {pid}: no such process", hint="pgrep -a NAME finds it")
        with ExitStack() as undo:
            if command:
                require_command(command[0])
            self._child = Child(command) if command else None
            if self._child:
                undo.callback(self._child.abandon)
                undo.callback(Guard(self._child.pid).close)
            self._init(undo)
            self._undo = undo.pop_all()

    def _init(self, undo: ExitStack) -> None:
        common = self._common
        ring_bytes, rounded = ring_size_bytes(common.mapsize, _native.possible_cpus())
        if rounded:
            self._reporter.notice(f"--mapsize: the ring is rounded up to {ring_bytes // 1024} KB in all")
        child_pids = (self._child.pid,) if self._child else ()
        filters = Filters(
            pids=common.pid + child_pids,
            uid=common.uid,
            comm=common.comm,
            cgroup_path=common.cgroup_path,
            follow=self._child is not None,
        )
        offset_ns = clock_offset_ns()
        self._processes = Processes(look=look_at_process, found=lambda facts: self._recording.meta(Meta(process=facts)))
        self.pipeline = Pipeline(
            common,
            clock_offset_ns=offset_ns,
            stop=self._have_enough,
            learn=self._learn,
            reporter=self._reporter,
            processes=self._processes,
            copy_secrets=self._add_secrets if common.wants_packets else None,
            watch=self._watch,
        )
        undo.callback(self.pipeline.abandon)
        self._recording = Recording(common.record, clock_offset_ns=offset_ns, ended=self._recording_ended)
        undo.callback(self._recording.close)
        undo.callback(self._layouts.close)
        wanted = Wanted(plaintext=common.wants_text, secrets=common.wants_secrets)
        families = {module.family for module in self._modules}
        self._kernel = Kernel(families, filters, wanted, ring_bytes=self._records_ring_bytes(ring_bytes))
        undo.callback(self._kernel.close)
        self._say_how_sockets_are_told()
        self._libraries = Libraries(
            self._layouts,
            self.pipeline,
            self._recording,
            sees_hellos=self._kernel.sees_hellos,
            problem=self._reporter.notice if common.wants_secrets else self._reporter.debug,
            debug=self._reporter.debug,
        )
        self._packets = self._open_packets(filters, ring_bytes) if common.wants_packets else None
        if self._packets:
            undo.callback(self._packets.close)
        link_pids = common.pid if len(common.pid) <= LINK_PIDS_MAX and not self._child else ()
        self._attacher = Attacher(
            [module for module in self._modules if module.name not in self._only],
            self._kernel,
            attached=self._libraries.attached,
            debug=self._reporter.debug,
            notice=self._reporter.notice,
            layout_for=self._layouts.find,
            pids=link_pids,
        )
        self._watcher: Watcher | None = None
        self._found = Found(0, 0, 0)

    def _records_ring_bytes(self, ring_bytes: int) -> int:
        if self._common.wants_text or not self._common.wants_packets:
            return ring_bytes
        return max(os.sysconf("SC_PAGESIZE"), ring_bytes // SECRETS_SHARE)

    def _say_how_sockets_are_told(self) -> None:
        for refused in self._kernel.refused:
            self._reporter.debug(f"sockets cannot be told by {refused}")
        if self._kernel.way is None:
            self._reporter.notice("this kernel cannot tell which socket a call used: addresses are unknown")
        else:
            self._reporter.debug(f"sockets are told by {self._kernel.way.value}")

    def _open_packets(self, filters: Filters, ring_bytes: int) -> Packets:
        return Packets(
            self._common,
            filters,
            ring_bytes=ring_bytes,
            filter_maps=self._kernel.filter_maps,
            notice=self._reporter.notice,
            debug=self._reporter.debug,
            stop=self.stop,
        )

    def attach(self) -> None:
        """start: attaches everything that is there now; no record is made yet."""
        go_first()
        for name, path in self._only.items():
            self._attacher.attach_path(path, MODULES[name])
        if not self._looks_around:
            return
        if not self._child:
            self._watcher = Watcher(self._look_at, failed=self._watch_failed, prepare=load_decoder)
            self._undo.callback(self._watcher.close)
        self._found = self._attacher.look_at_host(self._common.pid)
        if self._found.unreadable and not may_look_at_others():
            self._reporter.notice(f"{self._found.unreadable} processes are of other users: CAP_SYS_PTRACE is missing")

    def begin(self, *, before: Callable[[], None] | None = None) -> None:
        """The end of start: records are made from now on, directly behind `before`."""
        self._recording.begin()
        if self._watcher:
            self._watcher.start()
        if self._packets:
            self._packets.start()
        if before:
            before()
        self.set_running(True)
        if not self._watch:
            self._signals = Signals(self._interrupted, self._child)
            self._undo.callback(self._signals.ignore)
        self._reporter.ready(
            processes=self._found.processes,
            tls_processes=self._found.tls_processes,
            libraries=[library.name for library in self._attacher.libraries],
            seconds=time.monotonic() - self._began,
            keys_to=self.pipeline.keys_to,
            packets_to=self._packets.place if self._packets else "",
        )

    def set_running(self, on: bool) -> None:
        """Records are made from now on, or no more; safe from other threads."""
        self._kernel.set_running(on)

    def targets(self) -> list[str]:
        """What is attached, by name; safe from other threads."""
        return [library.name for library in list(self._attacher.libraries)]

    @property
    def _looks_around(self) -> bool:
        """Whether there are modules that were not given the one file they are for."""
        return len(self._only) < len(self._modules)

    def _look_at(self, mapping: Mapping) -> bool:
        return self._attacher.look_at_mapping(mapping.pid, mapping.device, mapping.inode)

    def _watch_failed(self, error: Exception) -> None:
        self._reporter.debug(f"looking at a new mapping failed: {error!r}")

    def run(self, after_start: Callable[[Capture], None] | None = None) -> None:
        """run: drains the ring until told to stop, the command ends, or a limit is reached."""
        ends = self._common.duration_s
        deadline = time.monotonic() + ends if ends else float("inf")
        if self._child:
            self._child.go()
        if after_start:
            after_start(self)
        busy_poll_ms = POLL_MS if self.pipeline.shows else KEYS_POLL_MS
        timeout_ms = busy_poll_ms
        next_tick = 0
        while not self._stopping:
            moved = self._drain(timeout_ms)
            self._libraries.settle(self._attacher)
            timeout_ms = busy_poll_ms if moved else IDLE_POLL_MS
            if self._signals:
                self._signals.pass_on()
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            if now >= next_tick:
                next_tick = now + TICK_NS
                self.pipeline.tick(now)
                if self._watch:
                    self.seen = self._totals_so_far()
                self._stop_when_pids_are_gone()
            if time.monotonic() >= deadline or (self._child and self._child.ended()):
                break

    def _totals_so_far(self) -> Totals:
        totals = self.pipeline.totals(self._kernel.counters(), duration_s=time.monotonic() - self._began)
        totals.bytes = self._kernel.ring.payload_bytes()
        return totals

    def _stop_when_pids_are_gone(self) -> None:
        pids = self._common.pid
        if pids and not self._child and not any(map(process_is_alive, pids)):
            self._reporter.notice(f"pid {', '.join(map(str, pids))} ended")
            self.stop()

    def _drain(self, timeout_ms: int) -> bool:
        fd = self._recording.fd
        try:
            batch = self._kernel.ring.drain(BATCH_BYTES, timeout_ms, fd, self.pipeline.shows)
        except _native.NativeError as error:
            if fd < 0:
                raise
            self._recording.fail(reason(error))
            return True
        if batch:
            self.pipeline.feed(batch)
        return self._kernel.ring.pending() > 0 or bool(batch)

    def _drain_all(self) -> None:
        while self._kernel.ring.pending():
            self._drain(0)

    def _recording_ended(self, why: str) -> None:
        """The capture goes on if there is something to show."""
        self._reporter.notice(f"{why}; recording ends here")
        self.pipeline.losses["recording_failed"] = 1
        if not self.pipeline.shows and not self._common.wants_secrets:
            self.stop()

    def _learn(self, fact: Fact) -> None:
        """A held process goes on once its new file was looked at, and attached if need be."""
        if isinstance(fact, SessionSeen) and fact.socket is None:
            self._attacher.attach_bios(fact.library, fact.pid)
        if isinstance(fact, ProcessExited):
            self._processes.forget(fact.pid)
        if not isinstance(fact, ProcessHeld):
            return
        try:
            if not self._looks_around or not self._attacher.look_at_mapping(fact.pid, fact.device, fact.inode):
                self._reporter.debug(f"pid {fact.pid} was held for inode {fact.inode}, which is not looked at")
            self._kernel.looked_at(fact.device, fact.inode, fact.generation)
        finally:
            release(fact.pid)

    def _add_secrets(self, lines: bytes) -> None:
        if self._packets:
            self._packets.add_secrets(lines)

    def stop(self) -> None:
        """Ends `run` soon; safe in a signal handler and from other threads."""
        self._stopping = True

    def _have_enough(self) -> None:
        self.had_enough = True
        self.stop()

    def _interrupted(self) -> None:
        self.stop()
        self.pipeline.hurry()

    def close(self) -> Totals:
        """close: detaches, takes what is left, flushes, sums up; the command may live on."""
        self._layouts.close()
        self._kernel.detach()
        self._drain_all()
        # A program that was running may have ended a session since: its record counts, then what is still open.
        self._kernel.wait_detached()
        self._drain_all()
        self._end_open_sessions()
        kernel = self._kernel.counters()
        kernel["watch_lost"] = self._attacher.refused + (self._watcher.lost if self._watcher else 0)
        if self._packets:
            self._packets.finish()
            kernel.update(self._packets.losses())
        self._recording.meta(Meta(counters=kernel))
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        totals = self.pipeline.close(kernel, now_ns=now_ns, duration_s=time.monotonic() - self._began)
        totals.bytes = self._kernel.ring.payload_bytes()
        totals.packets = self._packets.packets if self._packets else None
        self._reporter.summary(totals)
        if self._child:
            self._tell_of_the_living()
        return totals

    def _tell_of_the_living(self) -> None:
        living = [pid for pid in self._kernel.followed() if process_is_alive(pid)]
        if living:
            pids = ", ".join(map(str, living[:8]))
            self._reporter.notice(f"{len(living)} still running, no longer captured: pid {pids}")

    def _end_open_sessions(self) -> None:
        """Tells streams and recording how far each open session got, so that a lost end is named."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        records = self._kernel.open_sessions(now)
        self._recording.raw(b"".join(records))
        self.pipeline.feed([(0, int(Kind.SESSION_END), 0, now, record, 0) for record in records])

    def exit_code(self, totals: Totals) -> int:
        """The command's status, or 0; 1 if that was 0 and an output failed or, with `strict`, something was lost."""
        if self._child and self._signals:
            self._signals.wait_for_child()
            self._child.check_executed()
            if code := self._child.exit_code():
                return code
        failed = self.pipeline.failed or self._recording.failed or (self._packets is not None and self._packets.failed)
        return int(failed or (self._common.strict and totals.lost_anything))

    def undo(self) -> None:
        """Takes back what is left of it; after `close`, or instead when the start failed."""
        self._undo.close()


def capture(
    config: CaptureConfig,
    *,
    command: Sequence[str] | None,
    reporter: Reporter,
    after_start: Callable[[Capture], None] | None = None,
) -> int:
    """Captures until it is stopped; the exit code. Raises PlaintapError.

    In the main thread it takes over SIGINT, SIGTERM and SIGHUP for good.

    `after_start` is called once everything is attached, before the first record is shown.
    """
    session = Capture(config, command=command, reporter=reporter)
    try:
        session.attach()
        session.begin()
        try:
            session.run(after_start)
        finally:
            totals = session.close()
        return session.exit_code(totals)
    finally:
        session.undo()
