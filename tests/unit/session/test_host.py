# SPDX-License-Identifier: Apache-2.0
"""Modules that come and go: what is in force when, what a failure leaves, and what is counted across changes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from plaintap.config import CaptureConfig, CommonConfig, GoTlsConfig, ModuleConfig, TlsConfig
from plaintap.errors import KernelError, PlaintapError, TargetError, UsageError
from plaintap.messages import Totals
from plaintap.session.host import ModuleHost
from plaintap.session.signals import ENDING


@dataclass
class Kept:
    """A reporter that keeps what it is told."""

    notices: list[str] = field(default_factory=list)
    summaries: list[Totals] = field(default_factory=list)

    def ready(self, **_found: Any) -> None:
        raise AssertionError("that is the command line's to say")

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def debug(self, text: str) -> None:
        """Not kept."""

    def summary(self, totals: Totals) -> None:
        self.summaries.append(totals)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class FakePipeline:
    hurried = False

    def hurry(self) -> None:
        self.hurried = True


class FakeCapture:
    """Writes down what happens to it, and runs until it is stopped."""

    def __init__(self, stage: Stage, config: CaptureConfig) -> None:
        self.name = f"{next(iter(config.modules))} {config.common.comm}"
        self.config = config
        self.pipeline = FakePipeline()
        self.seen: Totals | None = Totals(exchanges=1)
        self.had_enough = False
        self._stage = stage
        self._stopped = threading.Event()
        self.fail_in_run: Exception | None = None
        stage.made.append(self)
        self._do("init")

    def _do(self, what: str) -> None:
        self._stage.did.append(f"{what} {self.name}")
        if self._stage.fails == what:
            raise self._stage.error

    def attach(self) -> None:
        self._do("attach")

    def begin(self, *, before: Callable[[], None] | None = None) -> None:
        if before:
            before()
        self._do("begin")

    def set_running(self, on: bool) -> None:
        self._do("on" if on else "off")

    def targets(self) -> list[str]:
        return ["libssl"]

    def run(self) -> None:
        assert self._stopped.wait(10)
        if self.fail_in_run:
            raise self.fail_in_run

    def enough(self) -> None:
        self.had_enough = True
        self.stop()

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> Totals:
        self._do("close")
        return Totals(exchanges=3, losses={"gap_bytes": 2})

    def exit_code(self, _totals: Totals) -> int:
        return 0

    def undo(self) -> None:
        self._do("undo")


class Stage:
    """A host whose captures are fakes; `fails` names what the next of them cannot do."""

    def __init__(self, *names: str) -> None:
        self.did: list[str] = []
        self.made: list[FakeCapture] = []
        self.fails = ""
        self.error: Exception = KernelError("no room")
        self.reporter = Kept()
        models: dict[str, ModuleConfig] = {"tls": TlsConfig(), "gotls": GoTlsConfig()}
        modules = {name: models[name] for name in names or ("tls", "gotls")}
        self.host = ModuleHost(
            CaptureConfig(common=CommonConfig(comm="a"), modules=modules),
            reporter=self.reporter,
            watch=lambda _messages: None,
            capture=lambda config, **_rest: FakeCapture(self, config),
        )

    def took(self) -> list[str]:
        """What was done since the last time."""
        did, self.did[:] = list(self.did), []
        return did

    def module(self, name: str) -> Any:
        return next(module for module in self.host.status()["modules"] if module["module"] == name)

    def change(self, comm: str) -> None:
        self.host.change("tls", CommonConfig(comm=comm), TlsConfig())


def test_a_change_is_ready_before_the_old_one_stops_and_touches_nobody_else() -> None:
    stage = Stage()
    stage.host.start()
    assert stage.took() == [f"{what} {name} a" for name in ("tls", "gotls") for what in ("init", "attach", "begin")]
    stage.change("b")
    assert stage.took() == ["init tls b", "attach tls b", "off tls a", "begin tls b", "close tls a", "undo tls a"]
    assert not stage.made[0].pipeline.hurried
    assert not stage.reporter.summaries
    assert stage.host.close() == 0
    (whole,) = stage.reporter.summaries
    assert (whole.exchanges, whole.losses) == (9, {"gap_bytes": 6})
    assert sorted(stage.took()) == ["close gotls a", "close tls b", "undo gotls a", "undo tls b"]
    assert stage.made[2].pipeline.hurried


@pytest.mark.parametrize("stage_of_life", ["init", "attach", "begin"])
@pytest.mark.parametrize("error", [UsageError("no such file"), TargetError("gone"), OSError(24, "files")])
def test_what_fails_leaves_what_was(stage_of_life: str, error: Exception) -> None:
    stage = Stage("tls")
    stage.host.start()
    stage.took()
    stage.fails, stage.error = stage_of_life, error
    with pytest.raises(type(error)):
        stage.change("b")
    stage.fails = ""
    did = stage.took()
    assert did[-1] == {"init": "init tls b", "attach": "undo tls b", "begin": "on tls a"}[stage_of_life]
    assert ("undo tls b" in did) == (stage_of_life != "init")
    assert stage.module("tls")["state"] == "run"
    assert stage.host.status()["coming"] is None
    stage.host.close()
    assert stage.took() == ["close tls a", "undo tls a"]


def test_one_that_cannot_start_is_told_of_and_the_others_go_on() -> None:
    stage = Stage()
    stage.fails = "attach"
    with pytest.raises(PlaintapError, match="no room"):
        stage.host.start()

    class First(FakeCapture):
        def attach(self) -> None:
            if self.name.startswith("tls"):
                raise KernelError("no room")

    stage = Stage()
    stage.host._make = lambda config, **_rest: First(stage, config)
    stage.host.start()
    assert (stage.module("tls")["state"], stage.module("tls")["why"]) == ("failed", "no room")
    assert stage.module("gotls")["state"] == "run"
    assert stage.reporter.notices == ["tls: no room; the other modules go on"]
    assert stage.host.close() == 0


def test_one_that_fails_while_it_runs_is_closed_and_can_come_back() -> None:
    stage = Stage()
    stage.host.start()
    first = stage.made[0]
    first.fail_in_run = RuntimeError("said by a peer")
    first.stop()
    failed = stage.host.find("tls")
    assert failed is not None
    failed.join()
    assert stage.module("tls")["state"] == "failed"
    assert "RuntimeError" in stage.module("tls")["why"]
    assert "said by a peer" not in str(stage.reporter.notices)
    assert stage.module("gotls")["state"] == "run"
    stage.change("b")
    assert stage.module("tls")["state"] == "run"
    assert stage.host.close() == 1


def test_counters_go_on_across_changes() -> None:
    stage = Stage("tls")
    stage.host.start()
    assert stage.module("tls")["exchanges"] == 1
    stage.change("b")
    assert (stage.module("tls")["exchanges"], stage.module("tls")["losses"]) == (4, {"gap_bytes": 2})
    stage.change("c")
    assert stage.module("tls")["exchanges"] == 7
    assert stage.host.close_module("tls")
    assert not stage.host.close_module("tls")
    assert (stage.module("tls")["exchanges"], stage.module("tls")["state"]) == (9, "close")
    assert stage.module("tls")["targets"] == []
    stage.host.close()


def test_the_reader_of_standard_output_has_gone() -> None:
    stage = Stage()
    stage.host.start()
    stage.made[1].enough()
    stage.host.wait()  # ends
    assert stage.host.close() == 0


def test_no_file_of_packets_is_written_to_twice() -> None:
    stage = Stage()
    stage.host.start()
    common = CommonConfig(model=("pcap",), pcapfile="/tmp/x.pcapng")
    for name, config in (("gotls", GoTlsConfig()), ("tls", TlsConfig()), ("tls", TlsConfig())):
        stage.host.change(name, common, config)
    written = [made.config.common.pcapfile for made in stage.made if made.config.common.wants_packets]
    assert written == ["/tmp/x.pcapng", "/tmp/x.pcapng1", "/tmp/x.pcapng2"]
    assert "tls: packets go to /tmp/x.pcapng2" in stage.reporter.notices
    stage.host.close()
