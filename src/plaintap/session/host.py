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

from msgspec.structs import asdict

from plaintap.config import CaptureConfig, CommonConfig, ModuleConfig
from plaintap.errors import PlaintapError, UsageError, where_of
from plaintap.messages import Message, Totals
from plaintap.session.capture import Capture
from plaintap.session.pipeline import Reporter
from plaintap.session.signals import Signals

LOOK_S = 0.05
ENDS_S = 30.0
"""How long the end of a capture is waited for; its queues give up long before."""

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
        """See `pipeline.Reporter`."""
        self._reporter.notice(f"{self._name}: closed")
        self._reporter.summary(totals)


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
    ) -> None:
        self.name = name
        self.common = common
        self.config = config
        self.state = INIT
        self.why = ""
        """What went wrong."""
        self.exit_code = 0
        self._reporter = ModuleReporter(name, reporter)
        self._watch = watch
        self._capture: Capture | None = None
        self._thread: threading.Thread | None = None

    def prepare(self) -> None:
        """init and start: everything is attached, and still. Raises PlaintapError, and then nothing is left of it."""
        config = CaptureConfig(common=self.common, modules={self.name: self.config})
        try:
            capture = Capture(config, command=None, reporter=self._reporter, watch=self._watch)
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
                totals = capture.close()
            self.exit_code = capture.exit_code(totals)
        except Exception as error:  # noqa: BLE001 - a thread's outer edge: the other modules go on
            self.state = FAILED
            self.why = error.message if isinstance(error, PlaintapError) else where_of(error)
            self.exit_code = 1
            self._reporter.notice(f"failed: {self.why}; the other modules go on")
        finally:
            capture.undo()

    def stop(self) -> None:
        """Ends it soon; `join` waits for that."""
        if self._capture:
            self._capture.stop()
            self._capture.pipeline.hurry()

    def join(self) -> None:
        """Until it has ended and nothing of it is left."""
        if self._thread:
            self._thread.join(ENDS_S)

    @property
    def is_running(self) -> bool:
        """Whether its records come."""
        return self._thread is not None and self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """For people and programs; counters are at most a second old."""
        totals = self._capture.seen if self._capture else None
        return {
            "module": self.name,
            "state": self.state,
            **({"why": self.why} if self.why else {}),
            "targets": list(self._capture.targets()) if self._capture and self.is_running else [],
            "processes": totals.processes if totals else 0,
            "connections": totals.connections if totals else 0,
            "exchanges": totals.exchanges if totals else 0,
            "bytes": totals.bytes if totals else 0,
            "losses": dict(totals.losses) if totals else {},
        }


class ModuleHost:
    """All modules of one process. Changes are made one at a time, whoever asks for them."""

    def __init__(
        self, config: CaptureConfig, *, reporter: Reporter, watch: Callable[[Sequence[Message]], None]
    ) -> None:
        self._config = config
        self._reporter = reporter
        self._watch = watch
        self._modules: dict[str, Module] = {}
        self._changing = threading.Lock()
        self._stopping = False
        self._began = time.monotonic()
        self._past_exit_code = 0

    @property
    def common(self) -> CommonConfig:
        """What the command line said, which a change begins from."""
        return self._config.common

    def start(self) -> None:
        """All modules of the command line. Raises PlaintapError of the first that cannot start."""
        try:
            for name, config in self._config.modules.items():
                self.change(name, self._config.common, config)
        except BaseException:
            self.close()
            raise

    def change(self, name: str, common: CommonConfig, config: ModuleConfig) -> None:
        """This module with this configuration, in force when this returns. Raises PlaintapError: all is as before."""
        with self._changing:
            old = self._modules.get(name)
            running = old if old and old.is_running else None
            self._refuse_shared_packets(common)
            new = Module(name, common, config, reporter=self._reporter, watch=self._watch)
            try:
                new.prepare()
                new.begin(instead_of=running)
            except BaseException:
                if running is None:
                    self._modules[name] = new
                raise
            self._modules[name] = new
            if old:
                self._end(old)

    def _refuse_shared_packets(self, common: CommonConfig) -> None:
        if not common.wants_packets:
            return
        path = os.path.realpath(common.packets_path)
        for module in self._modules.values():
            writes = module.is_running and module.common.wants_packets
            if writes and os.path.realpath(module.common.packets_path) == path:
                raise UsageError(f"{module.name} writes packets to {path}", hint="pcapfile names another file")

    def _end(self, module: Module) -> None:
        module.stop()
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
        return {
            "uptime_s": round(time.monotonic() - self._began, 3),
            "pid": os.getpid(),
            "modules": [module.status() for module in list(self._modules.values())],
        }

    def configuration(self, name: str) -> Mapping[str, Any] | None:
        """A module's options by their names; None where it never ran."""
        module = self._modules.get(name)
        return None if module is None else {**asdict(module.common), **asdict(module.config)}

    def wait(self) -> None:
        """Until a signal, `stop` or the duration."""
        Signals(self.stop, None)
        ends = self._config.common.duration_s
        deadline = self._began + ends if ends else float("inf")
        while not self._stopping and time.monotonic() < deadline:
            time.sleep(LOOK_S)

    def stop(self) -> None:
        """Ends `wait` soon; safe in a signal handler."""
        self._stopping = True

    def close(self) -> int:
        """Ends all of them, side by side; the exit code."""
        with self._changing:
            modules = list(self._modules.values())
            for module in modules:
                module.stop()
            for module in modules:
                module.join()
        return self._past_exit_code or max((module.exit_code for module in modules), default=0)
