# SPDX-License-Identifier: Apache-2.0
"""`-m keylog`: which secrets are written, and when; that they decrypt is seen with tshark."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from harness.keylog import KeyLog
from harness.libraries import ROWS
from harness.packets import captured
from harness.pair import HOST, Pair, keep
from harness.peers import Peers, Spoken, TwoProcesses
from harness.require import require_command
from harness.tap import Taps
from harness.target import Targets

BORINGSSL = "android-libboringssl"
MANY = 500
MANY_PATH = "/one/of/many/300"
EVERYDAY_LATE = {(HOST, "1.2"), (HOST, "1.3"), ("node-20.18.0", "1.3")}


@pytest.mark.core
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_both_ends_give_one_set(targets: Targets, taps: Taps, tmp_path: Path, tls: str) -> None:
    pair = Pair(targets, tmp_path, tls=tls)
    keylog = tmp_path / "keylog"
    tap = keep(taps, pair.pids, keylog)
    pair.do("connect", "get /a/1000", "close", "connect", "get /b/1000", "close")
    said = pair.finish()
    streams = tap.stop_clean().streams
    streams.check_all(said, comm=pair.comm)
    KeyLog.read(keylog).check_complete(connections=2)
    KeyLog.read(keylog).check_same(pair.witness)
    assert stat.S_IMODE(keylog.stat().st_mode) == 0o600


@pytest.mark.parametrize("tls", [pytest.param("1.2", marks=pytest.mark.matrix), "1.3"])
def test_many_short_connections(targets: Targets, taps: Taps, tmp_path: Path, tls: str) -> None:
    """Every one has all its secrets, and tshark has every answer."""
    pair = Pair(targets, tmp_path, tls=tls)
    keylog = tmp_path / "keylog"
    tap = keep(taps, pair.client.pid, keylog, "--mapsize", 32768)
    with captured(tmp_path / "packets", [pair.server.port]) as capture:
        pair.do(f"many {MANY} {MANY_PATH}")
        said = pair.finish()
        packets = capture.stop()
    streams = tap.stop_clean().streams
    streams.check_all(said, comm=pair.comm)
    KeyLog.read(keylog).check_complete(connections=MANY)
    KeyLog.read(keylog).check_same(pair.witness)
    messages = packets.messages(keylog)
    assert sum(message.status == "200" for message in messages) == MANY
    assert [message.uri for message in messages if message.method] == [MANY_PATH] * MANY
    packets.check(keylog, said)


@pytest.mark.matrix
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_many_short_processes(targets: Targets, taps: Taps, tmp_path: Path, tls: str) -> None:
    """A process per connection: gone a moment after its last byte."""
    peers = Peers(targets, tmp_path, Spoken(tls))
    server = peers.witness_server()
    keylog = tmp_path / "keylog"
    url = f"https://127.0.0.1:{server.port}{MANY_PATH}"
    # From an address of its own each, since ports come again.
    curl = f"{require_command('curl')} -sS -o /dev/null --cacert {targets.certificate} {url}"
    address = "127.1.$((i/250)).$((i%250+1))"
    loop = f"i=0; while [ $i -lt {MANY} ]; do {curl} --interface {address} || exit 1; i=$((i+1)); done"
    tap = taps.ready("--comm", "curl", "-m", "text,keylog", "-k", keylog, "--mapsize", 32768)
    with captured(tmp_path / "packets", [server.port]) as capture:
        subprocess.run(["sh", "-c", loop], check=True, timeout=100)
        served = server.finish()
        packets = capture.stop()
    tap.stop_clean()
    KeyLog.read(keylog).check_complete(connections=MANY)
    KeyLog.read(keylog).check_same(KeyLog.read(peers.keylog))
    assert sum(message.status == "200" for message in packets.messages(keylog)) == MANY
    packets.check(keylog, served)


@pytest.mark.parametrize(
    ("tls", "flags", "side"),
    [
        ("1.2", (), "client"),
        ("1.2", ("--no-tickets",), "server"),
        ("1.3", (), "client"),
        pytest.param("1.2", (), "server", marks=pytest.mark.matrix),
        pytest.param("1.2", ("--no-tickets",), "client", marks=pytest.mark.matrix),
        pytest.param("1.3", (), "server", marks=pytest.mark.matrix),
    ],
)
def test_resumed_sessions(
    targets: Targets, taps: Taps, tmp_path: Path, side: str, tls: str, flags: tuple[str, ...]
) -> None:
    """By ticket, by session id, by PSK: the keys are of the resumed connection, not of the first."""
    pair = Pair(targets, tmp_path, tls=tls, server_flags=flags)
    keylog = tmp_path / "keylog"
    tap = keep(taps, (pair.client if side == "client" else pair.server).pid, keylog)
    with captured(tmp_path / "packets", [pair.server.port]) as capture:
        pair.do("connect", "get /first/2000", "close")
        assert pair.client.do("resume"), "the session was not resumed"
        pair.do("get /second/2000", "close")
        said = pair.finish()
        packets = capture.stop()
    tap.stop_clean()
    KeyLog.read(keylog).check_complete(connections=2)
    KeyLog.read(keylog).check_same(pair.witness)
    packets.check(keylog, said)


def check_late(taps: Taps, folder: Path, spoken: TwoProcesses, peers: Peers) -> None:
    """The tool starts once the connections are up; what came before is decrypted as well."""
    keylog = folder / "keylog"
    with captured(folder / "packets", spoken.ports) as capture:
        spoken.do("connect")
        spoken.do("get /before/3000")
        tap = keep(taps, ",".join(str(target.pid) for target in spoken.targets), keylog)
        spoken.do("get /after/3000")
        spoken.do("close")
        said = spoken.finish()
        packets = capture.stop()
    streams = tap.stop_clean().streams
    for truth in said:
        (stream,) = streams.of(truth.pid)
        # When the address of one over memory is found is for the tests of addresses.
        assert stream.local in {truth.local, None}
        heard = (stream.read if truth.pid == spoken.client.pid else stream.written).bytes
        assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"/after/3000/after/3000" in heard
        assert b"/before/" not in heard
    KeyLog.read(keylog).check_same(KeyLog.read(peers.keylog))
    packets.check(keylog, said)


@pytest.mark.parametrize(
    ("name", "tls"),
    [
        (name, tls) if (name, tls) in EVERYDAY_LATE else pytest.param(name, tls, marks=pytest.mark.matrix)
        for name, row in ROWS.items()
        if not row.is_workerd and name != BORINGSSL
        for tls in ("1.2", "1.3")
    ],
)
def test_late_attach(targets: Targets, taps: Taps, tmp_path: Path, name: str, tls: str) -> None:
    """Secrets come with the next read or write."""
    peers = Peers(targets, tmp_path, Spoken(tls, "AES256"))
    check_late(taps, tmp_path, TwoProcesses(ROWS[name], peers), peers)


@pytest.mark.matrix
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_what_came_too_late_for_keys_is_said(targets: Targets, taps: Taps, tmp_path: Path, tls: str) -> None:
    """BoringSSL tells its secrets in the handshake and drops those that decrypt it."""
    spoken = TwoProcesses(ROWS[BORINGSSL], Peers(targets, tmp_path, Spoken(tls, "AES256")))
    spoken.do("connect")
    keylog = tmp_path / "keylog"
    tap = keep(taps, ",".join(str(target.pid) for target in spoken.targets), keylog)
    spoken.do("get /after/3000")
    spoken.do("close")
    spoken.finish()
    ended = tap.stop()
    ended.check_clean()
    assert not KeyLog.read(keylog).secrets
    assert "lost 2 connections: ended before their keys were found" in ended.summary, ended.err


@pytest.mark.parametrize("updates", [pytest.param(1, marks=pytest.mark.matrix), 3])
def test_late_attach_after_key_updates(targets: Targets, taps: Taps, tmp_path: Path, updates: int) -> None:
    """OpenSSL has forgotten the first traffic secrets by then: they are derived."""
    pair = Pair(targets, tmp_path, tls="1.3")
    keylog = tmp_path / "keylog"
    with captured(tmp_path / "packets", [pair.server.port]) as capture:
        pair.do("connect", "get /before/1000", *["update", "get /between/1000"] * updates)
        tap = keep(taps, pair.pids, keylog)
        pair.do("get /after/1000", "update", "get /last/1000", "close")
        said = pair.finish()
        packets = capture.stop()
    tap.stop_clean()
    KeyLog.read(keylog).check_complete(connections=1)
    KeyLog.read(keylog).check_same(pair.witness)
    packets.check(keylog, said)


def test_who_is_not_captured_gives_no_secret(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    pair = Pair(targets, tmp_path, tls="1.3")
    other = Pair(targets, tmp_path / "other", tls="1.3")
    keylog = tmp_path / "keylog"
    tap = keep(taps, pair.pids, keylog)
    for each in (other, pair):
        each.do("connect", "get /a/1000", "close")
        each.finish()
    tap.stop_clean()
    KeyLog.read(keylog).check_same(pair.witness)
    assert not set(KeyLog.read(keylog).secrets) & set(other.witness.secrets)
