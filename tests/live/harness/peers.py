# SPDX-License-Identifier: Apache-2.0
"""Both ends of the exchanges of a table row: the row's own processes, and the witness they speak with.

The witness is Python's ssl with this host's libssl: it alone says which version and cipher are spoken, and it writes
a key log of its own, with which what was captured can be compared. Looks at no capture.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.libraries import Row, python_words
from harness.target import Target, Targets
from harness.truth import Truth

CIPHERS = {
    ("1.2", "AES128"): "ECDHE-ECDSA-AES128-GCM-SHA256",
    ("1.2", "AES256"): "ECDHE-ECDSA-AES256-GCM-SHA384",
    ("1.2", "CHACHA20"): "ECDHE-ECDSA-CHACHA20-POLY1305",
    ("1.3", "AES128"): "TLS_AES_128_GCM_SHA256",
    ("1.3", "AES256"): "TLS_AES_256_GCM_SHA384",
    ("1.3", "CHACHA20"): "TLS_CHACHA20_POLY1305_SHA256",
}
# The only way to choose the suites of TLS 1.3 for Python's ssl.
SUITES = """openssl_conf = configuration
[configuration]
ssl_conf = modules
[modules]
system_default = defaults
[defaults]
Ciphersuites = {suites}
"""
WORKERD = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker", esModule = embed "worker.js")],
      compatibilityDate = "2024-01-01",
      globalOutbound = "witness")),
    (name = "witness", external = (
      address = "{host}:{port}",
      https = (options = (), tlsOptions = (trustedCertificates = [embed "certificate.pem"]),
               certificateHost = "localhost"))),
  ],
  sockets = [(
    name = "main", address = "127.0.0.1:0", service = "main",
    https = (options = (), tlsOptions = (keypair = (
      privateKey = embed "key.pem", certificateChain = embed "certificate.pem"))))],
);
"""
WORKER = """export default {
  async fetch(request) {
    return await fetch("https://localhost" + new URL(request.url).pathname);
  }
};
"""


class Client(Target):
    """programs/tls_peer.py or node_peer.js as a client."""

    def do(self, line: str) -> bool:
        """One command, done when this returns; whether its connection resumed an earlier one."""
        self.say(line)
        return self.expect("done") == ["1"]


class Server(Target):
    """The same as a server, on 127.0.0.1."""

    port = 0


@dataclass(frozen=True, slots=True)
class Spoken:
    """What the witness insists on; None leaves it to the two ends."""

    tls: str | None = None
    cipher: str | None = None

    @property
    def flags(self) -> list[str]:
        words = ["--tls", self.tls] if self.tls else []
        if self.cipher and self.tls:
            words += ["--cipher", CIPHERS[self.tls, self.cipher]]
        return words

    def environment(self, folder: Path) -> dict[str, str]:
        if self.tls != "1.3" or not self.cipher:
            return {}
        configuration = folder / "openssl.cnf"
        configuration.write_text(SUITES.format(suites=CIPHERS[self.tls, self.cipher]))
        return {"OPENSSL_CONF": str(configuration)}


class Peers:
    """Starts peers of one test; they end with its targets."""

    def __init__(self, targets: Targets, folder: Path, spoken: Spoken) -> None:
        self.targets = targets
        self.folder = folder
        self.spoken = spoken

    @property
    def keylog(self) -> Path:
        """What the witnesses wrote."""
        return self.folder / "witness.keylog"

    def _files(self) -> list[str]:
        return ["--certificate", str(self.targets.certificate), "--key", str(self.targets.key)]

    def _start(self, target: Target) -> None:
        self.targets.started.append(target)

    def server(self, command: Sequence[str], flags: Sequence[str] = (), **environment: str) -> Server:
        """`command` is up to the port."""
        server = Server([*command, *self._files(), *flags], environment=environment)
        self._start(server)
        (port,) = server.expect("ready")
        server.port = int(port)
        return server

    def client(self, command: Sequence[str], flags: Sequence[str] = (), **environment: str) -> Client:
        client = Client([*command, *self._files(), *flags], environment=environment)
        self._start(client)
        client.expect("ready")
        return client

    def _witness(self, flags: Sequence[str]) -> list[str]:
        return [*self.spoken.flags, "--keylog", str(self.keylog), *flags]

    def witness_server(self, *flags: str) -> Server:
        command = [*python_words("python"), "server", "127.0.0.1", "0"]
        return self.server(command, self._witness(flags), **self.spoken.environment(self.folder))

    def witness_client(self, port: int, *flags: str) -> Client:
        command = [*python_words("python"), "client", "127.0.0.1", str(port)]
        return self.client(command, self._witness(flags), **self.spoken.environment(self.folder))

    def row_server(self, row: Row, *flags: str) -> Server:
        return self.server(row.command("server"), flags)

    def row_client(self, row: Row, port: int, *flags: str) -> Client:
        return self.client(row.command("client", port=port), flags)


class Exchange(ABC):
    """A row's library on one end of two connections, as a client and as a server; up, and not yet connected."""

    @property
    @abstractmethod
    def targets(self) -> list[Target]:
        """The row's processes."""

    @property
    @abstractmethod
    def ports(self) -> list[int]:
        """Of the two servers."""

    @abstractmethod
    def do(self, line: str) -> None:
        """What tls_peer.py's clients understand, over each connection."""

    def ask(self, path: str) -> None:
        """One exchange over a connection of its own each."""
        self.do("connect")
        self.do(f"get {path}")
        self.do("close")

    @abstractmethod
    def finish(self) -> list[Truth]:
        """What the row's ends read and wrote, as both ends of each connection agree."""


class TwoProcesses(Exchange):
    """A server and a client that are told what to do."""

    def __init__(self, row: Row, peers: Peers) -> None:
        self.witness = peers.witness_server()
        self.server = peers.row_server(row)
        self.client = peers.row_client(row, self.witness.port)
        self.other = peers.witness_client(self.server.port)

    @property
    def targets(self) -> list[Target]:
        return [self.server, self.client]

    @property
    def ports(self) -> list[int]:
        return [self.witness.port, self.server.port]

    def do(self, line: str) -> None:
        for client in (self.client, self.other):
            client.do(line)

    def finish(self) -> list[Truth]:
        said, witnessed = self.client.finish(), self.witness.finish()
        assert said == [truth.other_end(self.client.pid) for truth in witnessed]
        asked, served = self.other.finish(), self.server.finish()
        assert served == [truth.other_end(self.server.pid) for truth in asked]
        return [*said, *served]


class Workerd(Exchange):
    """One process that gets what it is asked for from the witness. What it said, its witnesses say."""

    def __init__(self, row: Row, peers: Peers) -> None:
        self.witness = peers.witness_server()
        folder = peers.folder
        (folder / "worker.js").write_text(WORKER)
        (folder / "workerd.capnp").write_text(WORKERD.format(host="127.0.0.1", port=self.witness.port))
        for file in (peers.targets.certificate, peers.targets.key):
            (folder / file.name).write_bytes(file.read_bytes())
        command = [*row.words(), "serve", str(folder / "workerd.capnp"), "--control-fd=1"]
        self.target = peers.targets.start(command)
        self.port = int(json.loads(self.target.line())["port"])
        self.client = peers.witness_client(self.port)

    @property
    def targets(self) -> list[Target]:
        return [self.target]

    @property
    def ports(self) -> list[int]:
        return [self.witness.port, self.port]

    def do(self, line: str) -> None:
        self.client.do(line)

    def finish(self) -> list[Truth]:
        asked = self.client.finish()
        # It keeps its connection to the witness until it ends.
        self.target.process.terminate()
        self.target.wait()
        return [truth.other_end(self.target.pid) for truth in [*self.witness.finish(), *asked]]


def exchange(row: Row, peers: Peers) -> Exchange:
    return (Workerd if row.is_workerd else TwoProcesses)(row, peers)
