# SPDX-License-Identifier: Apache-2.0
"""Go programs that nobody here wrote, as servers and as clients; a copy of crypto/tls; QUIC."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import time
from pathlib import Path

import pytest
from harness.gomodules import ModuleProgram, free_port, own_program
from harness.goweb import check_decrypted
from harness.keylog import KeyLog
from harness.packets import captured
from harness.peers import Peers, Spoken
from harness.require import require_command
from harness.shown import Line, Shown
from harness.tap import Ended, Taps
from harness.target import TIMEOUT_S, Target, Targets

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1200)]  # the first fetches and compiles
GOTLS = ("gotls",)
NOT_LOGGED = {"EXPORTER_SECRET"}
POLL_S = 0.02
PATH = "/from/behind/it/30000"
CADDY = ModuleProgram("github.com/caddyserver/caddy/v2@v2.8.4", ("cmd/caddy",))
ETCD = ModuleProgram("go.etcd.io/etcd/server/v3@v3.5.17")
ETCDCTL = ModuleProgram("go.etcd.io/etcd/etcdctl/v3@v3.5.17")
GRPC = ModuleProgram(
    "google.golang.org/grpc/examples@v0.0.0-20260825154716-030ee8becb20",
    ("features/encryption/TLS/server", "features/encryption/TLS/client"),
)
CADDYFILE = """{{
    admin off
    auto_https off
    persist_config off
    default_sni localhost
    servers {{
        protocols h1 h2
    }}
}}
:{port} {{
    bind 127.0.0.1
    tls {certificate} {key}
    reverse_proxy https://127.0.0.1:{behind} {{
        transport http {{
            tls_insecure_skip_verify
            versions 1.1
        }}
    }}
}}
"""


def until_it_listens(port: int) -> None:
    """A server that does not say when it is ready."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        select.select([], [], [], POLL_S)
    raise AssertionError(f"nobody listens on {port}")


def known_from_now_on(targets: Targets, command: list[str]) -> None:
    """What a program says in its first moment is missed where nobody had its file mapped before."""
    client = targets.start(command)
    assert client.wait() == 0, client.errors


def ended_by_signal(target: Target) -> None:
    target.process.terminate()
    target.wait()


def grpc_calls(ended: Ended, pid: int) -> list[Line]:
    """The exchanges of this process that are calls, all well."""
    shown = Shown.of(ended.out).of_processes({pid})
    exchanges = [line for line in shown.type("exchange") if line["request"]]
    calls = [line for line in exchanges if "grpc" in str(line["request"]["headers"])]
    assert calls, ended.out[:3000]
    return calls


def test_caddy(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """A server, and a client of what is behind it."""
    peers = Peers(targets, tmp_path, Spoken("1.3"))
    behind = peers.witness_server()
    port = free_port()
    caddyfile = tmp_path / "Caddyfile"
    files = {"certificate": targets.certificate, "key": targets.key}
    caddyfile.write_text(CADDYFILE.format(port=port, behind=behind.port, **files))
    (program,) = CADDY.programs()
    caddy = targets.start(
        [str(program), "run", "--config", str(caddyfile), "--adapter", "caddyfile"],
        environment={"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
    )
    until_it_listens(port)
    keylog = tmp_path / "keylog"
    tap = taps.ready("--pid", caddy.pid, "-m", "text,keylog", "-k", keylog, command=GOTLS)
    client = peers.witness_client(port)
    with captured(tmp_path / "packets", [port]) as capture:
        for line in ("connect", f"get {PATH}", f"get {PATH}", "close"):
            client.do(line)
        said = client.finish()
        packets = capture.stop()
    ended_by_signal(caddy)
    served = [truth for truth in behind.finish() if truth.read.count]
    streams = tap.stop().streams
    expected = [truth.other_end(caddy.pid) for truth in said]
    streams.check(expected[0], comm="caddy")
    packets.check(keylog, expected)
    # What it asked the witness: of the last connection, those before it were not captured from their beginning.
    found = [stream for stream in streams.of(caddy.pid) if stream.remote and stream.remote[1] == behind.port]
    (asked,) = found
    truth = next(truth for truth in served if truth.remote == asked.local)
    assert asked.written.bytes.count(f"GET {PATH} ".encode()) == 2
    assert asked.read.bytes.count(PATH.encode()) == 2 * (30000 // len(PATH))
    assert len(asked.written.bytes) <= truth.read.count
    assert (asked.read.gaps, asked.written.gaps) == ([], [])


def test_etcd(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """grpc-go at both ends, and Go's HTTP/2 server under curl."""
    port, peer_port = free_port(), free_port()
    (server_program,), (client_program,) = ETCD.programs(), ETCDCTL.programs()
    url, peer_url = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    words = ["--data-dir", tmp_path / "etcd", "--listen-client-urls", url, "--advertise-client-urls", url]
    words += ["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]
    words += ["--initial-cluster", f"default={peer_url}", "--log-level", "error"]
    words += ["--cert-file", targets.certificate, "--key-file", targets.key]
    server = targets.start([*map(str, (server_program, *words))])
    until_it_listens(port)
    keylog = tmp_path / "keylog"
    flags = ("-m", "text,keylog", "-k", keylog, "--format", "json", "-t", 0)
    tap = taps.ready(*flags, command=GOTLS)
    etcdctl = [str(client_program), "--endpoints", url, "--cacert", str(targets.certificate)]
    known_from_now_on(targets, [*etcdctl, "get", "nothing"])
    with captured(tmp_path / "packets", [port]) as capture:
        for command in (["put", "name", "value" * 1000], ["get", "name"]):
            client = targets.start([*etcdctl, *command])
            assert client.wait() == 0, client.errors
            assert b"OK" in client.output or b"valuevalue" in client.output
            last = client.pid
        curl = [require_command("curl"), "-sS", "--cacert", str(targets.certificate), f"{url}/version"]
        version = subprocess.run(curl, check=True, capture_output=True, timeout=60).stdout
        packets = capture.stop()
    ended_by_signal(server)
    ended = tap.stop()
    check_decrypted(ended.streams, packets, keylog, only_captured=True)
    for pid in (server.pid, last):
        urls = {line["request"]["url"] for line in grpc_calls(ended, pid)}
        assert any(each.endswith("/etcdserverpb.KV/Range") for each in urls), urls
    shown = Shown.of(ended.out).type("exchange", server.pid)
    assert any(line["response"]["body"] == version.decode() for line in shown if line["response"])


def test_grpc_example(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """A process that lives for one call."""
    server_program, client_program = GRPC.programs()
    port = free_port()
    server = targets.start([str(server_program), "-port", str(port)])
    until_it_listens(port)
    keylog = tmp_path / "keylog"
    flags = ("-m", "text,keylog", "-k", keylog, "--format", "json", "-t", 0)
    tap = taps.ready(*flags, command=GOTLS)
    words = [str(client_program), "-addr", f"localhost:{port}"]
    known_from_now_on(targets, words)
    with captured(tmp_path / "packets", [port]) as capture:
        client = targets.start(words)
        assert client.wait() == 0, client.errors
        assert b"UnaryEcho:  hello world" in client.output, client.output
        packets = capture.stop()
    ended_by_signal(server)
    ended = tap.stop()
    check_decrypted(ended.streams, packets, keylog, only_captured=True)
    for pid in (server.pid, client.pid):
        urls = [call["request"]["url"] for call in grpc_calls(ended, pid)]
        assert all(url.endswith("/grpc.examples.echo.Echo/UnaryEcho") for url in urls), urls


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_utls(targets: Targets, taps: Taps, tmp_path: Path, tls: str) -> None:
    """A vendored copy of crypto/tls, byte for byte and with its keys."""
    program = own_program("utls", "github.com/refraction-networking/utls@v1.6.7", targets.folder)
    peers = Peers(targets, tmp_path, Spoken(tls))
    server = peers.witness_server()
    client = peers.client([str(program), "client", "127.0.0.1", str(server.port)])
    comm = client.comm
    keylog = tmp_path / "keylog"
    tap = taps.ready("--pid", client.pid, "-m", "text,keylog", "-k", keylog, command=GOTLS)
    with captured(tmp_path / "packets", [server.port]) as capture:
        for line in ("connect", f"get {PATH}", "close"):
            client.do(line)
        said = client.finish()
        packets = capture.stop()
    server.finish()
    tap.stop_clean().streams.check_all(said, comm=comm)
    KeyLog.read(keylog).check_same(KeyLog.read(peers.keylog).without(NOT_LOGGED))
    packets.check(keylog, said)


def test_quic(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """Its records are not crypto/tls's: the keys are had, the plaintext is not."""
    program = own_program("quic", "github.com/quic-go/quic-go@v0.48.2", targets.folder)
    witness, keylog = tmp_path / "witness", tmp_path / "keylog"
    target = targets.start([str(program), str(witness)])
    target.expect("ready")
    tap = taps.ready("--pid", target.pid, "-m", "text,keylog", "-k", keylog, command=GOTLS)
    target.go()
    assert target.wait() == 0, target.errors
    ended = tap.stop_clean()
    assert KeyLog.read(witness).secrets
    KeyLog.read(keylog).check_same(KeyLog.read(witness))
    assert ended.streams.of(target.pid) == []
