# SPDX-License-Identifier: Apache-2.0
"""plaintap as it is used: started, waited for, sampled while it works, interrupted, its summary read."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SAMPLE_EVERY_S = 0.1
READY_TIMEOUT_S = 30
END_TIMEOUT_S = 120
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

NOTHING_LOST = "nothing lost"
_LOST_BYTES = re.compile(r"([\d,]+) bytes?\b")


class ToolError(Exception):
    """plaintap did not start, or did not end well; the text is what it said."""


def cpu_s(pid: int) -> float:
    """User and system time of a living process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _children(pid: int) -> list[int]:
    try:
        tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
        found = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in tasks]
    except OSError:
        return []
    return [int(child) for text in found for child in text.split()]


def family(pid: int) -> list[int]:
    """The process and what it started, as of now."""
    pids = [pid]
    for known in pids:
        pids += _children(known)
    return pids


def private_bytes(pid: int) -> int:
    """RssAnon of the family."""
    total = 0
    for member in family(pid):
        try:
            status = Path(f"/proc/{member}/status").read_text()
        except OSError:
            continue
        match = re.search(r"RssAnon:\s*(\d+)", status)
        total += int(match[1]) * 1024 if match else 0
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a run ended."""

    summary: str
    lost_bytes: int
    """As the summary names them; 0 when it says that nothing was lost."""
    lost_anything: bool
    took_s: float
    """From the signal to the exit."""
    cpu_s: float
    """From READY to the exit."""
    peak_private_bytes: int


class Tool:
    """One running `plaintap`, ready when the constructor returns. Raises ToolError."""

    def __init__(self, program: Path, *arguments: str, output: Path | None = None) -> None:
        self._errors = bytearray()
        read_fd, write_fd = os.pipe()
        command = [str(program), *arguments, "--ready-fd", str(write_fd)]
        target = output.open("wb") if output else None
        self.began_s = time.monotonic()
        self.process = subprocess.Popen(
            command, stdout=target or subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=[write_fd]
        )
        os.close(write_fd)
        if target:
            target.close()
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self._wait_until_ready(read_fd)
        self.ready_s = time.monotonic()
        self._ready_cpu_s = self.cpu_s()
        self._peak_private_bytes = 0
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _read_errors(self) -> None:
        assert self.process.stderr
        while piece := os.read(self.process.stderr.fileno(), 65536):
            self._errors += piece

    def _wait_until_ready(self, read_fd: int) -> None:
        watchdog = threading.Timer(READY_TIMEOUT_S, self.process.kill)
        watchdog.start()
        said = os.read(read_fd, 64)
        watchdog.cancel()
        os.close(read_fd)
        if not said:
            self.process.wait()
            self._reader.join()
            raise ToolError(f"{self.process.args!r} was never ready: {self.said().strip()[-300:]}")

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            self._peak_private_bytes = max(self._peak_private_bytes, private_bytes(self.pid))

    def said(self) -> str:
        """Its standard error so far."""
        return self._errors.decode(errors="replace")

    def cpu_s(self) -> float:
        """CPU time of it and what it started."""
        return sum(cpu_s(pid) for pid in family(self.pid))

    def stop(self) -> End:
        """Interrupts it and waits. Raises ToolError when the exit code is not 0."""
        waited_for = resource.getrusage(resource.RUSAGE_CHILDREN)
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        took_s = time.monotonic() - began_s
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = usage.ru_utime + usage.ru_stime - waited_for.ru_utime - waited_for.ru_stime
        self._ended.set()
        self._sampler.join()
        self._reader.join()
        assert self.process.stderr
        self.process.stderr.close()
        if self.process.returncode:
            raise ToolError(f"exit code {self.process.returncode}: {self.said().strip()[-300:]}")
        summary = ([line for line in self.said().splitlines() if line.strip()] or [""])[-1]
        return End(
            summary=summary,
            lost_bytes=lost_bytes(summary),
            lost_anything=NOTHING_LOST not in summary,
            took_s=took_s,
            cpu_s=cpu_s - self._ready_cpu_s,
            peak_private_bytes=self._peak_private_bytes,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def lost_bytes(summary: str) -> int:
    """What a summary line names as lost, in bytes."""
    _, _, lost = summary.rpartition(" lost ")
    return 0 if NOTHING_LOST in summary else sum(int(text.replace(",", "")) for text in _LOST_BYTES.findall(lost))


def run_once(command: Sequence[str | Path], *, output: Path | None = None) -> tuple[float, float]:
    """Wall and CPU seconds of a command that ends by itself. Raises ToolError."""
    began_s = time.monotonic()
    target = output.open("wb") if output else None
    process = subprocess.Popen(command, stdout=target or subprocess.DEVNULL, stderr=subprocess.PIPE)
    if target:
        target.close()
    assert process.stderr
    said = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    took_s = time.monotonic() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ToolError(f"{command!r} ended with {process.returncode}: {said.decode(errors='replace')[-300:]}")
    return took_s, usage.ru_utime + usage.ru_stime
