# SPDX-License-Identifier: Apache-2.0
"""Several captures of one process, one for each module, that can be changed while the others go on.

A changed module's new capture is made whole, attached but still, before the old one is stopped; where that fails the
old one goes on. Who asks for changes is not known here: the API, and the command line at the start.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import asdict, replace

from plaintap.config import CaptureConfig, CommonConfig, ModuleConfig
from plaintap.config_show import STANDARD_OUTPUT
from plaintap.errors import PlaintapError, where_of
from plaintap.messages import Message, Totals
from plaintap.session.capture import Capture
from plaintap.session.pipeline import Reporter
from plaintap.session.signals import Signals

LOOK_S = 0.05
ENDS_S = 30.0
"""How long the end of a capture is waited for; its queues give up long before."""

MakeCapture = Callable[..., Any]
"""As `Capture` is made."""
INIT, START, RUN, CLOSE, FAILED = "init", "start", "run", "close", "failed"


class ModuleReporter:
    """What one module's capture says, with its name before it; `ready` and `summary` are kept for the host."""

    def __init__(self, name: str, reporter: Reporter) -> None:
        self._name = name
        self._reporter = reporter
        self.libraries: list[str] = []

    def ready(
        self,
        *,
        processes: int,
        tls_processes: int,
        libraries: list[str],
        seconds: float,
        keys_to: str = "",
        packets_to: str = "",
    ) -> None:
        """See `pipeline.Reporter`."""
        del processes, tls_processes, keys_to, packets_to
        self.libraries = libraries
        self._reporter.debug(f"{self._name}: {len(libraries)} libraries attached in {seconds:.2f} s")

    def notice(self, text: str) -> None:
        """See `pipeline.Reporter`."""
        self._reporter.notice(f"{self._name}: {text}")

    def debug(self, text: str) -> None:
        """See `pipeline.Reporter`."""
        self._reporter.debug(f"{self._name}: {text}")

    def summary(self, totals: Totals) -> None:
        """See `pipeline.Reporter`; the host sums up all of them."""
        self._reporter.debug(f"{self._name}: closed after {totals.duration_s:.1f} s")


class Module:
    """One module's capture and the thread it runs in, through init, start, run and close."""

    def __init__(
        self,
        name: str,
        common: CommonConfig,
        config: ModuleConfig,
        *,
        reporter: Reporter,
        watch: Callable[[Sequence[Message]], None],
        past: Totals | None = None,
        capture: MakeCapture = Capture,
    ) -> None:
        """`past` is what those before it in its place have counted."""
        self.name = name
        self.common = common
        self.config = config
        self.state = INIT
        self.why = ""
        """What went wrong."""
        self.exit_code = 0
        self.had_enough = False
        """Nobody looks any more at what it shows."""
        self._past = past or Totals()
        self._last: Totals | None = None
        self._reporter = ModuleReporter(name, reporter)
        self._watch = watch
        self._make = capture
        self._capture: Capture | None = None
        self._thread: threading.Thread | None = None

    def prepare(self) -> None:
        """init and start: everything is attached, and still. Raises PlaintapError, and then nothing is left of it."""
        config = CaptureConfig(common=self.common, modules={self.name: self.config})
        try:
            capture = self._make(config, command=None, reporter=self._reporter, watch=self._watch)
        except PlaintapError as error:
            self.state, self.why = FAILED, error.message
            raise
        self.state = START
        try:
            capture.attach()
        except BaseException as error:
            self.state = FAILED
            self.why = error.message if isinstance(error, PlaintapError) else where_of(error)
            capture.undo()
            raise
        self._capture = capture

    def begin(self, *, instead_of: Module | None = None) -> None:
        """run: from here on its records come, directly behind the last of `instead_of`."""
        capture = self._capture
        assert capture is not None
        try:
            capture.begin(before=instead_of.pause if instead_of else None)
        except BaseException as error:
            self.state, self.why = FAILED, where_of(error)
            capture.undo()
            if instead_of:
                instead_of.go_on()
            raise
        self.state = RUN
        self._thread = threading.Thread(target=self._run, name=self.name)
        self._thread.start()

    def begin_from(self, past: Totals) -> None:
        """What those before it have counted, now that they have ended."""
        self._past = past

    def pause(self) -> None:
        """Its programs make no more records."""
        if self._capture:
            self._capture.set_running(False)

    def go_on(self) -> None:
        """After a `pause`."""
        if self._capture and self.state == RUN:
            self._capture.set_running(True)

    def _run(self) -> None:
        capture = self._capture
        assert capture is not None
        try:
            try:
                capture.run()
            finally:
                self.state = CLOSE
                self._last = totals = capture.close()
                self.had_enough = capture.had_enough
            self.exit_code = capture.exit_code(totals)
        except Exception as error:  # noqa: BLE001 - a thread's outer edge: the other modules go on
            self.state = FAILED
            self.why = error.message if isinstance(error, PlaintapError) else where_of(error)
            self.exit_code = 1
            self._reporter.notice(f"failed: {self.why}; the other modules go on")
        finally:
            capture.undo()

    def stop(self, *, hurry: bool) -> None:
        """Ends it soon; `join` waits for that. With `hurry` nobody who reads its outputs is waited for long."""
        if self._capture:
            self._capture.stop()
            if hurry:
                self._capture.pipeline.hurry()

    def join(self) -> None:
        """Until it has ended and nothing of it is left."""
        if self._thread:
            self._thread.join(ENDS_S)

    @property
    def is_running(self) -> bool:
        """Whether its records come."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def totals(self) -> Totals:
        """Of it and all before it; while it runs at most a second old."""
        now = self._last or (self._capture.seen if self._capture else None)
        return joined([self._past, now]) if now else self._past

    def status(self) -> dict[str, Any]:
        """For people and programs."""
        totals = self.totals
        return {
            "module": self.name,
            "state": self.state,
            **({"why": self.why} if self.why else {}),
            "targets": list(self._capture.targets()) if self._capture and self.is_running else [],
            "processes": totals.processes,
            "connections": totals.connections,
            "exchanges": totals.exchanges,
            "bytes": totals.bytes,
            "losses": dict(totals.losses),
        }


def joined(each: Sequence[Totals]) -> Totals:
    """Their sum; a process that two of them saw counts twice."""
    whole = Totals()
    for totals in each:
        whole.processes += totals.processes
        whole.connections += totals.connections
        whole.exchanges += totals.exchanges
        whole.bytes += totals.bytes
        whole.lost_bytes += totals.lost_bytes
        whole.unattributed += totals.unattributed
        for name, number in totals.losses.items():
            whole.losses[name] = whole.losses.get(name, 0) + number
        whole.secret_sets = _added(whole.secret_sets, totals.secret_sets)
        whole.packets = _added(whole.packets, totals.packets)
    return whole


def _added(one: int | None, other: int | None) -> int | None:
    """Without what nobody asked for."""
    return one if other is None else (one or 0) + other


class ModuleHost:
    """All modules of one process. Changes are made one at a time, whoever asks for them."""

    def __init__(
        self,
        config: CaptureConfig,
        *,
        reporter: Reporter,
        watch: Callable[[Sequence[Message]], None],
        capture: MakeCapture = Capture,
    ) -> None:
        """`watch` is shown every message of every module."""
        self._config = config
        self._make = capture
        self._reporter = reporter
        self._watch = watch
        self._modules: dict[str, Module] = {}
        self._coming: Module | None = None
        """That a change is about to put in the place of another."""
        self._packet_files: set[str] = set()
        """Written to so far."""
        self._changing = threading.Lock()
        self._stopping = False
        self._began = time.monotonic()
        self._past_exit_code = 0

    @property
    def common(self) -> CommonConfig:
        """What the command line said, which a change begins from."""
        return self._config.common

    def start(self) -> None:
        """All modules of the command line; one that cannot is told of, and the others go on.

        Raises the PlaintapError of the first when none is left.
        """
        failures: list[tuple[str, PlaintapError]] = []
        for name, config in self._config.modules.items():
            try:
                self.change(name, self._config.common, config)
            except PlaintapError as error:
                failures.append((name, error))
            except BaseException:
                self.close()
                raise
        if len(failures) == len(self._config.modules):
            raise failures[0][1]
        for name, failure in failures:
            self._reporter.notice(f"{name}: {failure.message}; the other modules go on")

    def change(self, name: str, common: CommonConfig, config: ModuleConfig) -> None:
        """This module with this configuration, in force when this returns. Raises PlaintapError: all is as before."""
        with self._changing:
            old = self._modules.get(name)
            running = old if old and old.is_running else None
            common = self._with_own_packets(name, common)
            past = old.totals if old else None
            new = Module(
                name, common, config, reporter=self._reporter, watch=self._watch, past=past, capture=self._make
            )
            try:
                self._coming = new
                new.prepare()
                new.begin(instead_of=running)
            except BaseException:
                if running is None:
                    self._modules[name] = new
                raise
            finally:
                self._coming = None
            self._modules[name] = new
            if common.wants_packets:
                self._packet_files.add(os.path.realpath(common.packets_path))
            if old:
                self._end(old)
                new.begin_from(old.totals)

    def _with_own_packets(self, name: str, common: CommonConfig) -> CommonConfig:
        """With a file that nothing of this run was written to: a changed module's packets go on in another."""
        if not common.wants_packets or common.packets_path == STANDARD_OUTPUT:
            return common
        path, number = common.packets_path, 0
        while os.path.realpath(path) in self._packet_files:
            number += 1
            path = f"{common.packets_path}{number}"
        if number:
            self._reporter.notice(f"{name}: packets go to {path}")
        return replace(common, pcapfile=path)

    def _end(self, module: Module) -> None:
        module.stop(hurry=False)
        module.join()
        self._past_exit_code = self._past_exit_code or module.exit_code

    def close_module(self, name: str) -> bool:
        """Ends one; False where it was not running."""
        with self._changing:
            module = self._modules.get(name)
            if module is None or not module.is_running:
                return False
            self._end(module)
            return True

    def find(self, name: str) -> Module | None:
        """The module as it is now."""
        return self._modules.get(name)

    def status(self) -> dict[str, Any]:
        """Everything, for people and programs."""
        coming = self._coming
        return {
            "uptime_s": round(time.monotonic() - self._began, 3),
            "pid": os.getpid(),
            "modules": [module.status() for module in list(self._modules.values())],
            "coming": {"module": coming.name, "state": coming.state} if coming else None,
        }

    def configuration(self, name: str) -> Mapping[str, Any] | None:
        """A module's options by their names; None where it never ran."""
        module = self._modules.get(name)
        return None if module is None else {**asdict(module.common), **asdict(module.config)}

    def wait(self) -> None:
        """Until a signal, `stop`, the duration, or the reader of standard output has gone."""
        Signals(self.stop, None)
        ends = self._config.common.duration_s
        deadline = self._began + ends if ends else float("inf")
        while not self._stopping and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            if any(module.had_enough for module in list(self._modules.values())):
                return

    def stop(self) -> None:
        """Ends `wait` soon; safe in a signal handler."""
        self._stopping = True

    def close(self) -> int:
        """Ends all of them, side by side; the exit code."""
        with self._changing:
            modules = list(self._modules.values())
            for module in modules:
                module.stop(hurry=True)
            for module in modules:
                module.join()
        totals = joined([module.totals for module in modules])
        totals.duration_s = time.monotonic() - self._began
        self._reporter.summary(totals)
        return self._past_exit_code or max((module.exit_code for module in modules), default=0)
