# SPDX-License-Identifier: Apache-2.0
"""What signals mean to a capture: its end, or, with a command of its own, that command's business."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from plaintap.runtime.child import Child

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PASSED_ON = (*ENDING, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
FROM_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT})


class Signals:
    """Handlers from now on, until the process ends; a SIGHUP that is ignored (nohup) stays so."""

    def __init__(self, stop: Callable[[], None], child: Child | None) -> None:
        self._stop = stop
        self._child = child
        self._noted: list[int] = []
        self._taken: list[int] = []
        if threading.current_thread() is not threading.main_thread():
            return
        for number in PASSED_ON if child else ENDING:
            # nohup ignores SIGHUP on purpose; a shell ignores SIGINT for whatever it starts with &.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)
                self._taken.append(number)

    def ignore(self) -> None:
        """From now on they mean nothing. Python, when it ends, makes handlers deadly again, but not this."""
        for number in self._taken:
            signal.signal(number, signal.SIG_IGN)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._child is None:
            self._stop()
        else:
            self._noted.append(number)

    def pass_on(self) -> None:
        """Sends the command what came since the last time."""
        while self._noted and self._child:
            number = self._noted.pop(0)
            if number not in FROM_TERMINAL or not _in_foreground():
                self._child.send(number)

    def wait_for_child(self) -> None:
        """Until the command is over, passing signals on."""
        while self._child and not self._child.ended():
            self.pass_on()
            time.sleep(0.02)


def _in_foreground() -> bool:
    """Whether Ctrl-C at our terminal reaches the whole group, the command included."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
