# SPDX-License-Identifier: Apache-2.0
"""One capture from the kernel: init, start, run, close, in that order and no other.

What is probed is the modules' business, what is shown the pipeline's.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from plaintap import _native
from plaintap.config import CaptureConfig, TlsConfig, ring_size_bytes
from plaintap.errors import RecordingError, TargetError, reason
from plaintap.events import Fact, Kind, ProcessHeld
from plaintap.messages import Totals
from plaintap.modules.attacher import Attacher, Library
from plaintap.modules.registry import MODULES
from plaintap.runtime.child import Child, release
from plaintap.runtime.kernel import Kernel
from plaintap.runtime.kernel_config import Filters
from plaintap.runtime.privileges import require_capabilities
from plaintap.runtime.processes import process_is_alive
from plaintap.runtime.recording import Recorder, clock_offset_ns
from plaintap.runtime.watch import Watcher
from plaintap.session.pipeline import Pipeline, Reporter

BATCH_BYTES = 1 << 20
POLL_MS = 20
IDLE_POLL_MS = 40
TICK_NS = 1_000_000_000
LINK_PIDS_MAX = 16
"""With more pids than this the probes go in once, for every process, and the kernel filters."""


class Capture:
    """One capture of this host's processes."""

    def __init__(self, config: CaptureConfig, *, command: Sequence[str] | None, reporter: Reporter) -> None:
        """init: checks privileges, opens outputs, forks the command, loads the programs."""
        self._began = time.monotonic()
        self._config = config
        self._common = common = config.common
        self._reporter = reporter
        self._stopping = False
        require_capabilities()
        for pid in common.pid:
            if not process_is_alive(pid):
                raise TargetError(f"cannot attach to pid {pid}: no such process", hint="pgrep -a NAME finds it")
        self._child = Child(command) if command else None
        try:
            self._init(common.mapsize)
        except BaseException:
            if self._child:
                self._child.abandon()
            raise

    def _init(self, mapsize_kb: int) -> None:
        common = self._common
        ring_bytes, rounded = ring_size_bytes(mapsize_kb, _native.possible_cpus())
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
        self.pipeline = Pipeline(
            common, clock_offset_ns=offset_ns, stop=self.stop, learn=self._learn, notice=self._reporter.notice
        )
        module = MODULES["tls"]
        self._recorder = Recorder(common.record, clock_offset_ns=offset_ns) if common.record else None
        self._kernel = Kernel(module.family, filters, ring_bytes=ring_bytes)
        if not self._kernel.addresses:
            self._reporter.notice("this kernel cannot tell which socket a call used: addresses are unknown")
        link_pids = common.pid if len(common.pid) <= LINK_PIDS_MAX and not self._child else ()
        self._attacher = Attacher(
            module, self._kernel, attached=self._library_attached, debug=self._reporter.debug, pids=link_pids
        )
        self._watcher: Watcher | None = None

    def _library_attached(self, library: Library) -> None:
        self.pipeline.connections.libraries[library.number] = library.name
        if self._recorder:
            self._recorder.meta({"library": library.number, "name": library.name, "path": library.path})

    def start(self) -> None:
        """start: attaches everything that is there now."""
        tls = self._config.modules["tls"]
        assert isinstance(tls, TlsConfig)
        processes, tls_processes = 0, 0
        if tls.libssl:
            self._attacher.attach_path(tls.libssl)
        else:
            if not self._child:
                self._watcher = Watcher(self._attacher.look_at_mapping)
            processes, tls_processes = self._attach_host()
        if self._watcher:
            self._watcher.start()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._signalled)
        self._kernel.set_running(True)
        names = [library.name for library in self._attacher.libraries]
        seconds = time.monotonic() - self._began
        self._reporter.ready(processes=processes, tls_processes=tls_processes, libraries=names, seconds=seconds)

    def _attach_host(self) -> tuple[int, int]:
        """How many processes there are, and how many of them have a library that was attached."""
        found = self._attacher.look_at_host(self._common.pid)
        attached = [file.pids for file in found.files.values() if self._attacher.is_attached(file)]
        return found.processes, len(set().union(*attached))

    def run(self, after_start: Callable[[Capture], None] | None = None) -> None:
        """run: drains the ring until told to stop, the command ends, or a limit is reached."""
        ends = self._common.duration_s
        deadline = time.monotonic() + ends if ends else float("inf")
        if self._child:
            self._child.go()
        if after_start:
            after_start(self)
        timeout_ms = POLL_MS
        next_tick = 0
        while not self._stopping:
            moved = self._drain(timeout_ms)
            timeout_ms = POLL_MS if moved else min(timeout_ms * 2, IDLE_POLL_MS)
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            if now >= next_tick:
                next_tick = now + TICK_NS
                self.pipeline.tick(now)
                self._stop_when_pids_are_gone()
            if time.monotonic() >= deadline or (self._child and self._child.ended()):
                break

    def _stop_when_pids_are_gone(self) -> None:
        pids = self._common.pid
        if pids and not self._child and not any(map(process_is_alive, pids)):
            self._reporter.notice(f"pid {', '.join(map(str, pids))} ended")
            self.stop()

    def _drain(self, timeout_ms: int) -> bool:
        record_fd = self._recorder.fd if self._recorder else -1
        try:
            batch = self._kernel.ring.drain(BATCH_BYTES, timeout_ms, record_fd, self.pipeline.shows)
        except _native.NativeError as error:
            self._recording_failed(error)
            return True
        if batch:
            self.pipeline.feed(batch)
        return self._kernel.ring.pending() > 0 or bool(batch)

    def _recording_failed(self, error: _native.NativeError) -> None:
        """What is recorded stays whole; the capture goes on without."""
        assert self._recorder
        self._reporter.notice(f"cannot record to {self._recorder.path}: {reason(error)}; recording ends here")
        self.pipeline.losses["recording_failed"] = 1
        self._recorder.close()
        self._recorder = None
        if not self.pipeline.shows:
            raise RecordingError(f"cannot record to {self._common.record}: {reason(error)}")

    def _learn(self, fact: Fact) -> None:
        """A held process goes on once its new file was looked at, and attached if need be."""
        if isinstance(fact, ProcessHeld):
            if not self._attacher.look_at_mapping(fact.pid, fact.device, fact.inode):
                self._attacher.looked_at(fact.device, fact.inode)
            release(fact.pid)

    def stop(self) -> None:
        """Ends `run` soon; safe in a signal handler and from other threads."""
        self._stopping = True

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        """With a command, a signal is the command's to answer; SIGINT the terminal sent it itself."""
        if not self._child:
            self.stop()
        elif number != signal.SIGINT:
            self._child.send(number)

    def abandon(self) -> None:
        """Takes everything back without a word: the start did not come to its end."""
        self._kernel.close()
        if self._child:
            self._child.abandon()

    def close(self) -> Totals:
        """close: detaches, takes what is left, flushes, sums up."""
        self._kernel.detach()
        if self._watcher:
            self._watcher.close()
        while self._kernel.ring.pending():
            self._drain(0)
        self._end_open_sessions()
        kernel = self._kernel.counters()
        kernel["watch_lost"] = self._watcher.lost if self._watcher else 0
        now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        totals = self.pipeline.close(kernel, now_ns=now_ns, duration_s=time.monotonic() - self._began)
        totals.bytes = self._kernel.ring.payload_bytes()
        if self._recorder:
            self._recorder.meta({"counters": kernel})
            self._recorder.close()
        self._kernel.close()
        self._reporter.summary(totals)
        return totals

    def _end_open_sessions(self) -> None:
        """Tells streams and recording how far each open session got, so that a lost end is named."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        records = self._kernel.open_sessions(now)
        if self._recorder:
            for record in records:
                self._recorder.raw(record)
        self.pipeline.feed([(0, int(Kind.SESSION_END), 0, now, record, 0) for record in records])

    def exit_code(self, totals: Totals) -> int:
        """The command's status, or 0; 1 with `strict` if that was 0 and something was lost."""
        code = 0
        if self._child:
            self._child.check_executed()
            code = self._child.exit_code()
        lost = totals.lost_bytes or any(totals.losses.values())
        return 1 if not code and lost and self._common.strict else code


def capture(
    config: CaptureConfig,
    *,
    command: Sequence[str] | None,
    reporter: Reporter,
    after_start: Callable[[Capture], None] | None = None,
) -> int:
    """Captures until it is stopped; the exit code. Raises PlaintapError.

    `after_start` is called once everything is attached, before the first record is shown.
    """
    session = Capture(config, command=command, reporter=reporter)
    try:
        session.start()
    except BaseException:
        session.abandon()
        raise
    try:
        session.run(after_start)
    finally:
        totals = session.close()
    return session.exit_code(totals)
