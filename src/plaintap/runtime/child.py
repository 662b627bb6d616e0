# SPDX-License-Identifier: Apache-2.0
"""The command of `plaintap run`: forked at once, executed when the capture is ready.

It keeps the terminal and the process group, so what the user types reaches it as without us.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from plaintap.errors import PlaintapError, reason

NOT_FOUND = 127
NOT_EXECUTABLE = 126
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class CommandError(PlaintapError):
    """The command could not be executed; the exit code is the shell's for that."""

    def __init__(self, command: str, error: OSError) -> None:
        super().__init__(f"cannot run {command}: {reason(error)}", hint=_HINT)
        self.exit_code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE


def require_command(name: str) -> None:
    """Raises CommandError for what cannot be executed, before anything is done for it."""
    paths = [name] if "/" in name else [os.path.join(folder, name) for folder in os.get_exec_path()]  # noqa: PTH118
    there = [path for path in paths if name and os.path.exists(path)]  # noqa: PTH110 - a folder may be no readable one
    if not any(os.path.isfile(path) and os.access(path, os.X_OK) for path in there):  # noqa: PTH113
        number = errno.EACCES if there else errno.ENOENT
        raise CommandError(name, OSError(number, os.strerror(number)))


class Child:
    """A process that waits for `go` and then becomes the command."""

    def __init__(self, command: Sequence[str]) -> None:
        """Forks; call it before any thread is started."""
        self.command = tuple(command)
        self.status: int | None = None
        go_read, self._go = os.pipe()
        self._failed, failed_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            self._become(go_read, failed_write)
        os.close(go_read)
        os.close(failed_write)

    def _become(self, go: int, failed: int) -> None:
        error_number = 0
        try:
            for number in IGNORED_BY_PYTHON:
                signal.signal(number, signal.SIG_DFL)
            if os.read(go, 1):
                os.execvp(self.command[0], self.command)  # noqa: S606 - the user's own command
        except OSError as error:
            error_number = error.errno or 0
        finally:
            if error_number:
                os.write(failed, str(error_number).encode())
            os._exit(NOT_FOUND)

    def go(self) -> None:
        """Lets it execute the command; one that was killed meanwhile has its status to tell."""
        with suppress(BrokenPipeError):
            os.write(self._go, b"g")
        os.close(self._go)
        self._go = -1

    def check_executed(self) -> None:
        """Raises CommandError if the command could not be executed; call it once it ended."""
        number = os.read(self._failed, 16)
        os.close(self._failed)
        if number:
            error_number = int(number)
            raise CommandError(self.command[0], OSError(error_number, os.strerror(error_number)))

    def ended(self) -> bool:
        """Whether the command is over; never waits."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status is not None

    def wait(self) -> None:
        """Until the command is over; a signal's handler runs meanwhile."""
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)

    def exit_code(self) -> int:
        """As a shell reports it: 128 + N for a command ended by signal N."""
        code = os.waitstatus_to_exitcode(self.status or 0)
        return 128 - code if code < 0 else code

    def send(self, number: int) -> None:
        """Passes a signal on."""
        if not self.ended():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def abandon(self) -> None:
        """Ends a child that was never told to go."""
        if self._go >= 0:
            os.close(self._go)
            self._go = -1
            os.waitpid(self.pid, 0)


class Guard:
    """A process that outlives us by a moment: should we be killed, nobody we held stays stopped."""

    def __init__(self, pid: int) -> None:
        """Forks; watches over `pid` and its descendants until `close`. Call it before any thread is started."""
        watched, self._alive = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.setsid()  # what the terminal sends is not for it
            os.closerange(3, watched)
            os.closerange(watched + 1, 1 << 16)
            if not os.read(watched, 1):
                for stopped in _stopped_descendants(pid):
                    release(stopped)
            os._exit(0)
        os.close(watched)

    def close(self) -> None:
        """We are alive and have released everybody ourselves."""
        with suppress(BrokenPipeError):
            os.write(self._alive, b"q")
        os.close(self._alive)
        os.waitpid(self._pid, 0)


def _stopped_descendants(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    stopped = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state, parent = (entry / "stat").read_text().rpartition(") ")[2].split()[:2]
            parents[int(entry.name)] = int(parent)
            if state == "T":
                stopped.append(int(entry.name))
    return [each for each in stopped if _descends(each, pid, parents)]


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid and pid != ancestor:
        pid = parents.get(pid, 0)
    return pid == ancestor


def release(pid: int) -> None:
    """Continues a process that was held."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


_HINT = "plaintap run [FLAGS] -- COMMAND [ARGUMENTS]"
