# SPDX-License-Identifier: Apache-2.0
"""What a session tells while it works, on standard error, and the three ways to say "ready".

Standard output belongs to the capture. A standard error that went away never stops it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import TextIO

from plaintap import __version__
from plaintap.cli.stderr import say
from plaintap.errors import UsageError, reason
from plaintap.messages import Totals
from plaintap.outputs.summary import ready_line, summary_line


def check_ready_fd(ready_fd: int) -> None:
    """UsageError when nobody opened it; it is kept from the programs we start."""
    try:
        os.set_inheritable(ready_fd, False)
    except OSError as error:
        raise UsageError(
            f"--ready-fd: file descriptor {ready_fd} is not open",
            hint=f"in a shell: plaintap --ready-fd {ready_fd} {ready_fd}>FILE",
        ) from error


def notify_service_manager(address: str, state: str) -> None:
    """sd_notify(3): one datagram; "@" begins an abstract address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        notify.connect("\0" + address[1:] if address.startswith("@") else address)
        notify.sendall(state.encode())


class Reporter:
    """Implements the session's reporter; every line goes to standard error or `stream`."""

    def __init__(
        self,
        *,
        debug: bool = False,
        ready_fd: int | None = None,
        mapsize_kb: int | None = None,
        environ: MutableMapping[str, str] | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._debug = debug
        self._ready_fd = ready_fd
        self._mapsize_kb = mapsize_kb
        # Ours alone: a command we start must not tell the service manager in our name.
        self._notify_address = (os.environ if environ is None else environ).pop("NOTIFY_SOCKET", None)
        self._stream = stream
        if ready_fd is not None:
            check_ready_fd(ready_fd)

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
        """All probes the start found are attached."""
        places = {"keys_to": keys_to, "packets_to": packets_to}
        self._say(ready_line(__version__, processes, libraries, tls_processes, seconds, **places))
        self.say_ready()

    def say_ready(self) -> None:
        """To the service manager and to who gave --ready-fd."""
        if self._notify_address:
            try:
                notify_service_manager(self._notify_address, "READY=1")
            except OSError as error:
                self.notice(f"cannot tell the service manager at {self._notify_address}: {reason(error)}")
        self._write_ready_fd()

    def notice(self, text: str) -> None:
        """One line for the user."""
        self._say(f"plaintap: {text}")

    def debug(self, text: str) -> None:
        """One line that only -d shows."""
        if self._debug:
            self._say(f"debug: {text}")

    def summary(self, totals: Totals) -> None:
        """The last line."""
        self._say(summary_line(totals, mapsize_kb=self._mapsize_kb))

    def _write_ready_fd(self) -> None:
        if self._ready_fd is None:
            return
        ready_fd, self._ready_fd = self._ready_fd, None
        try:
            os.write(ready_fd, b"READY\n")
            os.close(ready_fd)
        except OSError as error:
            self.notice(f"cannot write to --ready-fd {ready_fd}: {reason(error)}")

    def _say(self, text: str) -> None:
        say(text, self._stream)
