# SPDX-License-Identifier: Apache-2.0
"""A client, its witness, and a run that writes their secrets: what most tests of the key log begin with."""

from __future__ import annotations

from pathlib import Path

from harness.keylog import KeyLog
from harness.libraries import ROWS, Row
from harness.peers import Client, Peers, Server, Spoken
from harness.tap import Tap, Taps
from harness.target import Targets
from harness.truth import Truth

HOST = "libssl-of-this-host"


class Pair:
    """A client with a libssl of its choice and the witness as its server; what both agree on."""

    def __init__(
        self, targets: Targets, folder: Path, *, tls: str, row: Row | None = None, server_flags: tuple[str, ...] = ()
    ) -> None:
        self.peers = Peers(targets, folder, Spoken(tls))
        self.server: Server = self.peers.witness_server(*server_flags)
        self.client: Client = self.peers.row_client(row or ROWS[HOST], self.server.port)
        self.comm = self.client.comm

    @property
    def pids(self) -> str:
        return f"{self.client.pid},{self.server.pid}"

    @property
    def witness(self) -> KeyLog:
        return KeyLog.read(self.peers.keylog).without_updates

    def do(self, *lines: str) -> None:
        for line in lines:
            self.client.do(line)

    def finish(self) -> list[Truth]:
        """Of the client."""
        said, served = self.client.finish(), self.server.finish()
        # Threads of the server end in an order of their own.
        assert {truth.other_end(self.server.pid) for truth in said} == set(served)
        return said


def keep(taps: Taps, pids: object, keylog: object, *flags: object, model: str = "text,keylog") -> Tap:
    """A run that writes the secrets of these processes."""
    return taps.ready("--pid", pids, "-m", model, "-k", keylog, *flags)
