# SPDX-License-Identifier: Apache-2.0
"""The installed tool as a process: started, ready, stopped, its output collected."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.streams import Streams
from harness.target import SLOWNESS, read_line

PLAINTAP = Path(sys.executable).parent / "plaintap"
READY_TIMEOUT_S = 30.0 * SLOWNESS
END_TIMEOUT_S = 30.0 * SLOWNESS
POLL_S = 0.005
FORCED = os.environ.get("PLAINTAP_TEST_FORCE")
"""The ways that every run is to take whose test does not force its own."""
EPOLL_WAITS = {"232", "281"}  # epoll_wait and epoll_pwait on x86-64


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a run that no setting of the user's reaches."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLAINTAP_")}
    forced = {"PLAINTAP_FORCE": FORCED} if FORCED else {}
    fixed = {"XDG_CONFIG_HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
    return {**kept, **forced, **fixed, **(more or {})}


@dataclass(frozen=True, slots=True)
class Ended:
    """What is left of a run."""

    code: int
    out: str
    err: str
    record: Path

    @property
    def streams(self) -> Streams:
        return Streams.from_recording(self.record)

    @property
    def summary(self) -> str:
        """The last line on standard error."""
        return self.err.rstrip("\n").rpartition("\n")[2]

    def check_clean(self, *, code: int = 0) -> None:
        """Asserts the exit code and that nothing broke."""
        assert "Traceback" not in self.err, self.err
        assert "bug in plaintap" not in self.err, self.err
        assert self.code == code, f"exit {self.code}, expected {code}: {self.err}"


class Tap:
    """A running plaintap."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._folder = folder
        self.ended: Ended | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def record(self) -> Path:
        return self._folder / "recording"

    @property
    def err(self) -> str:
        return (self._folder / "stderr").read_text()

    @property
    def out(self) -> str:
        return (self._folder / "stdout").read_text()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def tell(self, line: str) -> None:
        """Writes a line to its standard input, a pipe."""
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def say(self, line: str) -> None:
        """Writes a line to its standard input, a pipe, and ends that; whoever read it may be gone."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n".encode())
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def wait_until_drained(self) -> None:
        """Until the reader has taken what is in its ring by now, and written it to the recording.

        It waits for more only when its ring is empty, so it must have woken since and be waiting again.
        """
        before = self._switches()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            switches = self._switches()
            if switches > before and self._waits_for_more() and self._switches() == switches:
                return
            assert time.monotonic() < deadline, f"never took all that was in its ring: {self.err}"
            assert self.process.poll() is None, f"ended: {self.err}"
            select.select([], [], [], POLL_S)

    def _switches(self) -> int:
        """How often its first thread, the reader, went to sleep."""
        status = Path(f"/proc/{self.pid}/task/{self.pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    def _waits_for_more(self) -> bool:
        return Path(f"/proc/{self.pid}/task/{self.pid}/syscall").read_text().split()[0] in EPOLL_WAITS

    def wait_for_err(self, words: str, *, times: int = 1) -> None:
        """Until standard error has `words`, so many times."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while self.err.count(words) < times:
            assert self.process.poll() is None, f"ended: {self.err}"
            assert time.monotonic() < deadline, f"never said {words!r}: {self.err}"
            select.select([], [], [], POLL_S)

    def wait(self) -> Ended:
        """Until it ends by itself."""
        try:
            code = self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not end: {self.err}") from None
        self.ended = Ended(code, self.out, self.err, self.record)
        return self.ended

    def stop(self, number: int = signal.SIGINT) -> Ended:
        """Interrupts it; only for one whose end was not collected."""
        assert self.ended is None
        self.send(number)
        return self.wait()

    def stop_clean(self) -> Ended:
        """Interrupts it and asserts that all went well and nothing was lost."""
        ended = self.stop()
        ended.check_clean()
        assert ended.summary.endswith("nothing lost"), ended.err
        return ended


class Taps:
    """Starts taps for one test; none outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taps: list[Tap] = []

    def start(
        self,
        *arguments: object,
        before: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> Tap:
        """Starts `plaintap ARGUMENTS…` and waits for nothing; `before` are words in front of it."""
        folder = self.folder / f"tap{len(self._taps)}"
        folder.mkdir()
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            process = subprocess.Popen(
                [*before, str(PLAINTAP), *map(str, arguments)],
                stdin=stdin,
                stdout=out if stdout is None else stdout,
                stderr=err,
                env=environment(environ),
                pass_fds=pass_fds,
            )
        tap = Tap(process, folder)
        self._taps.append(tap)
        return tap

    def run(self, *arguments: object, before: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> Ended:
        """`plaintap ARGUMENTS…` to its end."""
        return self.start(*arguments, before=before, environ=environ).wait()

    def ready(
        self,
        *arguments: object,
        before: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        stdout: int | None = None,
        command: Sequence[str] = ("tls",),
    ) -> Tap:
        """`plaintap tls`, recording but for --listen, with every probe attached; shows nothing unless told to."""
        ready_read, ready_write = os.pipe()
        words: list[object] = [*command, "--ready-fd", ready_write]
        if "--record" not in arguments and "--listen" not in arguments:
            words += ["--record", self.folder / f"tap{len(self._taps)}" / "recording"]
        if "--format" not in arguments:
            words += ["--format", "none"]
        try:
            tap = self.start(*words, *arguments, before=before, environ=environ, pass_fds=(ready_write,), stdout=stdout)
        finally:
            os.close(ready_write)
        try:
            line = read_line(ready_read, what="plaintap", timeout_s=READY_TIMEOUT_S)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {tap.err}") from None
        finally:
            os.close(ready_read)
        assert line == b"READY\n", f"not ready: {line!r}, {tap.err}"
        return tap

    def run_command(
        self, command: Sequence[object], *arguments: object, environ: Mapping[str, str] | None = None
    ) -> Ended:
        """`plaintap run -- COMMAND`, recorded, to its end."""
        record = self.folder / f"tap{len(self._taps)}" / "recording"
        words = ["run", "--record", record]
        if "--format" not in arguments:
            words += ["--format", "none"]
        return self.run(*words, *arguments, "--", *command, environ=environ)

    def close(self) -> None:
        for tap in self._taps:
            if tap.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    tap.process.kill()
                tap.process.wait()
            if tap.process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    tap.process.stdin.close()


def wait_until_blocked_on(path: Path, process: subprocess.Popen[bytes], *, timeout_s: float = READY_TIMEOUT_S) -> int:
    """Opens a FIFO for writing once the process has it open for reading; the descriptor."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        select.select([], [], [], POLL_S)
    raise AssertionError(f"the process never opened {path}")


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Taps]:
    taps = Taps(folder)
    try:
        yield taps
    finally:
        taps.close()
