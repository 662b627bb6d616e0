# SPDX-License-Identifier: Apache-2.0
"""programs/h2_peer.py as a server and a client, and their exchanges against the JSON lines of a run."""

from __future__ import annotations

from harness.peers import Client
from harness.shown import Line, Shown, reported
from harness.tap import Tap
from harness.target import Target, Targets


class H2:
    """programs/h2_peer.py at both ends."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self.server = self.start_server()
        (port,) = self.server.expect("ready")
        self.port = int(port)

    def start_server(self) -> Target:
        words = ("server", "127.0.0.1", 0, self.targets.certificate, self.targets.key)
        return self.targets.start(self.targets.command("h2_peer.py", *words))

    def client(self) -> Client:
        return self.client_of(self.targets, self.port)

    @staticmethod
    def client_of(targets: Targets, port: int) -> Client:
        client = Client(targets.command("h2_peer.py", "client", "127.0.0.1", port, targets.certificate))
        targets.started.append(client)
        client.expect("ready")
        return client


def finish(target: Target) -> list[Line]:
    """Its exchanges."""
    assert target.wait() == 0, target.errors.decode()
    return reported(target.output, "exchange")


def check(tap: Tap, *said: list[Line]) -> Shown:
    """That they are shown, and nothing else of their processes is."""
    exchanges = [exchange for each in said for exchange in each]
    shown = Shown.of(tap.stop_clean().out).of_processes({exchange["pid"] for exchange in exchanges})
    shown.check_whole()
    shown.check_exchanges(exchanges)
    return shown
