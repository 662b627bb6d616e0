# SPDX-License-Identifier: Apache-2.0
"""GnuTLS: wget and gnutls-cli as people use them, and the calls of its own that others do not make."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from harness.keylog import KeyLog
from harness.packets import Packets, captured
from harness.require import require, require_command
from harness.tap import Taps
from harness.target import Server, Target, Targets

GNUTLS = ("gnutls",)
REQUEST = b"GET /said/20 HTTP/1.1\r\nHost: localhost\r\n\r\n"
MARKER = "this was said by somebody who is not captured"


def libgnutls() -> str:
    """This host's."""
    listing = subprocess.run([require_command("ldconfig"), "-p"], check=True, capture_output=True, text=True).stdout
    found = [line.rpartition(" => ")[2] for line in listing.splitlines() if "libgnutls.so.30 " in line]
    require(found, "this host has no libgnutls.so.30")
    return found[0]


def wget(targets: Targets, server: Server, path: str, *more: str) -> Target:
    words = [require_command("wget"), "-q", "-O", "-", f"--ca-certificate={targets.certificate}", *more]
    return targets.start([*words, f"https://{server.host}:{server.port}{path}"])


@pytest.mark.parametrize("command", [GNUTLS, ("gnu",), ("all",)], ids=["gnutls", "gnu", "host-wide"])
def test_wget(targets: Targets, taps: Taps, command: tuple[str, ...]) -> None:
    server = targets.server("http")
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--comm", "wget", command=command)
    bystander.speak()
    fetched = [wget(targets, server, "/small/12"), wget(targets, server, "/large/300000")]
    posted = wget(targets, server, "/posted/70000", f"--post-data={'x' * 50_000}")
    for each in (*fetched, posted):
        assert each.wait() == 0, each.errors
    bystander.check_spoke()
    by_size = {truth.written.count: truth for truth in server.finish()}
    streams = tap.stop_clean().streams
    assert len(by_size) == 3
    sizes = sorted(by_size)
    for each, size in zip((fetched[0], posted, fetched[1]), sizes, strict=True):
        streams.check_all([by_size[size].other_end(each.pid)], comm="wget")
    streams.check_absent(server.pid)
    bystander.check_absent(tap.record)


def test_gnutls_cli_as_text(targets: Targets, taps: Taps) -> None:
    server = targets.server("http")
    tap = taps.ready("--format", "text", "--comm", "gnutls-cli", command=GNUTLS)
    words = [require_command("gnutls-cli"), f"--x509cafile={targets.certificate}", f"--port={server.port}", "localhost"]
    client = subprocess.run(words, input=REQUEST, capture_output=True, timeout=60, check=False)
    assert b"/said/20" in client.stdout
    (line,) = tap.stop_clean().out.splitlines()
    for word in ("gnutls-cli[", "GET", "https://localhost/said/20", " 200 ", "text"):
        assert word in line


@pytest.mark.parametrize("kind", ["blocking", "none", "same", "cork"])
def test_calls(targets: Targets, taps: Taps, kind: str) -> None:
    """Each byte once, also of a send that had to wait and was called again."""
    server = targets.server()
    client = targets.start(targets.command("gnutls_client.py", libgnutls(), *server.address, targets.certificate, kind))
    client.expect("ready")
    name = client.comm
    tap = taps.ready("--pid", client.pid, command=GNUTLS)
    client.go()
    (truth,) = client.finish()
    (served,) = server.finish()
    assert served.read == truth.written
    tap.stop_clean().streams.check_all([truth], comm=name)


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("program", ["wget", "gnutls-cli"])
def test_keys(targets: Targets, taps: Taps, tmp_path: Path, program: str, tls: str) -> None:
    """As the library itself logs them, and tshark decrypts with them what was said."""
    server = targets.server("http")
    keylog, witness = tmp_path / "keylog", tmp_path / "witness"
    priority = f"NORMAL:-VERS-ALL:+VERS-TLS{tls}"
    url = f"https://{server.host}:{server.port}/small/12"
    flags = {
        "wget": ["-qO-", f"--ca-certificate={targets.certificate}", f"--ciphers={priority}", url],
        "gnutls-cli": [
            *(f"--x509cafile={targets.certificate}", f"--priority={priority}", f"--port={server.port}"),
            "localhost",
        ],
    }
    words = [require_command(program), *flags[program]]
    tap = taps.ready("-m", "text,keylog", "-k", keylog, "--comm", program, command=GNUTLS)
    with captured(tmp_path / "packets", [server.port]) as capture:
        environment = {**os.environ, "SSLKEYLOGFILE": str(witness)}
        client = subprocess.run(words, input=REQUEST, capture_output=True, timeout=60, check=False, env=environment)
        assert client.stdout, client.stderr
        said = server.finish()
        packets = capture.stop()
    tap.stop_clean()
    KeyLog.read(keylog).check_complete(connections=1)
    KeyLog.read(keylog).check_same(KeyLog.read(witness))
    packets.check(keylog, said)


def test_packets_decrypted(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    server = targets.server("http")
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, f"tcp port {server.port}", command=GNUTLS)
    fetched = wget(targets, server, "/large/300000")
    assert fetched.wait() == 0
    said = server.finish()
    tap.stop_clean()
    Packets(file, [server.port]).check(None, said)


def test_one_library_by_its_path(targets: Targets, taps: Taps) -> None:
    server = targets.server("http")
    tap = taps.ready("--gnutls", libgnutls(), "--comm", "wget", command=GNUTLS)
    fetched = wget(targets, server, "/small/12")
    assert fetched.wait() == 0
    (served,) = server.finish()
    tap.stop_clean().streams.check_all([served.other_end(fetched.pid)], comm="wget")
    for path, why in (("/nonexistent", "cannot open"), ("/bin/true", "does not define gnutls_record_send")):
        ended = taps.run("gnutls", "--gnutls", path)
        assert ended.code == 1
        assert why in ended.err
