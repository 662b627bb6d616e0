# SPDX-License-Identifier: Apache-2.0
"""Target programs: compiled, started, told to go, listened to. What they say is truth.py's.

`python -m harness.target FOLDER` compiles all of them, for a run in a guest that has no compiler.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.require import require_command
from harness.truth import Truth, parse

NOBODY = 65534
PROGRAMS = Path(__file__).parents[1] / "programs"
SLOWNESS = float(os.environ.get("PLAINTAP_TEST_SLOWNESS") or 1)
"""How much longer than on a host things may take: a guest is emulated in software."""
TIMEOUT_S = 60.0 * SLOWNESS
PREBUILT = os.environ.get("PLAINTAP_TEST_PROGRAMS")
"""The folder of the programs where they were compiled before."""


def as_nobody() -> tuple[str, ...]:
    """Words before a command that is to run as another user than root."""
    return (require_command("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def read_line(fd: int, *, what: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """One line, byte by byte, so that nothing behind it is taken; less at the end of input."""
    line = b""
    deadline = time.monotonic() + timeout_s
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise TimeoutError(f"{what}: no line within {timeout_s} s, only {line!r}")
        byte = os.read(fd, 1)
        if not byte:
            break
        line += byte
    return line


class Target:
    """A started program."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.command = list(command)
        self.output = b""
        self.errors = b""
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            pass_fds=pass_fds,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def comm(self) -> str:
        """As the kernel has it, while the process lives."""
        return Path(f"/proc/{self.pid}/comm").read_text().rstrip("\n")

    def line(self) -> bytes:
        """The next line it says; empty when it has ended."""
        assert self.process.stdout
        return read_line(self.process.stdout.fileno(), what=str(self.command))

    def expect(self, word: str) -> list[str]:
        """Waits for a line that begins with `word`; the words behind it."""
        line = self.line().decode()
        if line.split()[:1] != [word]:
            self.kill()
            raise AssertionError(f"{self.command} said {line!r}, expected {word!r}: {self.errors!r}")
        return line.split()[1:]

    def say(self, line: str = "go") -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())

    go = say

    def wait(self) -> int:
        """Ends its input, collects what it says; its return code."""
        try:
            output, errors = self.process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.output += output
        self.errors += errors
        return self.process.returncode

    def finish(self, *, returncode: int = 0) -> list[Truth]:
        """Waits for its end, which must be `returncode`; what it reported."""
        assert self.wait() == returncode, f"{self.command}: {self.errors.decode(errors='replace')}"
        return parse(self.output)

    def kill(self) -> None:
        """Ends it, whatever state it is in."""
        if self.process.returncode is None:
            self.process.kill()
            with contextlib.suppress(ValueError):
                output, errors = self.process.communicate()
                self.output += output
                self.errors += errors


@dataclass(slots=True)
class Targets:
    """What a test starts; everything ends with the test."""

    folder: Path
    """Where binaries and certificates of the test run are; every user may read it."""
    started: list[Target]

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: Path) -> Iterator[Targets]:
        targets = cls(folder, [])
        try:
            yield targets
        finally:
            for target in targets.started:
                target.kill()

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def compiled(self, name: str) -> Path:
        """The binary of programs/NAME.c."""
        if PREBUILT:
            return Path(PREBUILT) / name
        binary = self.folder / name
        if not binary.exists():
            command = ["cc", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-o", str(binary)]
            command += [str(PROGRAMS / f"{name}.c"), "-lssl", "-lcrypto", "-lpthread"]
            subprocess.run(command, check=True)
        return binary

    def command(self, name: str, *arguments: object) -> list[str]:
        """The words that start a program, `name` being its file without `.c` or with `.py`."""
        python = [sys.executable, "-I", str(PROGRAMS / name)]
        words = python if name.endswith(".py") else [str(self.compiled(name))]
        return words + [str(argument) for argument in arguments]

    def start(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Target:
        """Any program at all."""
        target = Target(command, environment=environment)
        self.started.append(target)
        return target

    def ready(self, name: str, *arguments: object, before: Sequence[str] = ()) -> Target:
        """One of ours, up to its "ready"; `before` are words in front, such as `taskset 1`."""
        target = self.start([*before, *self.command(name, *arguments)])
        target.expect("ready")
        return target

    def server(self, kind: str = "stream", *, host: str = "127.0.0.1") -> Server:
        """programs/server.py, listening."""
        server = Server(self.command("server.py", self.certificate, self.key, host, kind))
        self.started.append(server)
        (port,) = server.expect("ready")
        server.host, server.port = host, int(port)
        server.name = server.comm
        return server

    def bystander(self, marker: str, *, before: Sequence[str] = ()) -> Bystander:
        """programs/bystander.c, speaking by the time this returns its `speak`."""
        bystander = Bystander([*before, *self.command("bystander", marker)])
        self.started.append(bystander)
        bystander.expect("ready")
        bystander.marker = marker.encode()
        return bystander


class Server(Target):
    """programs/server.py."""

    host = ""
    port = 0
    name = ""

    @property
    def address(self) -> tuple[str, int]:
        """To be given to a client program as two words."""
        return self.host, self.port


class Bystander(Target):
    """A process that must not be captured."""

    marker = b""

    def speak(self) -> None:
        """From when this returns until `finish` it has spoken and goes on."""
        self.go()
        self.expect("spoke")

    def check_spoke(self) -> None:
        """Ends it; it must have spoken all the time."""
        assert all(truth.written.count for truth in self.finish())

    def check_absent(self, record: Path) -> None:
        """Asserts that no byte it said is in the recording."""
        assert self.marker not in record.read_bytes()


def compile_all(folder: Path) -> None:
    """The binary of everything that is a program, in `folder`."""
    with Targets.opened(folder) as targets:
        for source in sorted(PROGRAMS.glob("*.c")):
            if "main(" in source.read_text():
                targets.compiled(source.stem)


if __name__ == "__main__":
    compile_all(Path(sys.argv[1]))
