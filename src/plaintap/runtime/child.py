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

from plaintap.errors import PlaintapError, reason

NOT_FOUND = 127
NOT_EXECUTABLE = 126
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class CommandError(PlaintapError):
    """The command could not be executed; the exit code is the shell's for that."""

    def __init__(self, command: str, error: OSError) -> None:
        super().__init__(f"cannot run {command}: {reason(error)}", hint=_HINT)
        self.exit_code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE


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
        """Lets it execute the command."""
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


def release(pid: int) -> None:
    """Continues a process that was held."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


_HINT = "plaintap run [FLAGS] -- COMMAND [ARGUMENTS]"
