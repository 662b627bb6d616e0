# SPDX-License-Identifier: Apache-2.0
"""`-m pcap`: the file alone decrypts, names the processes, and has what tcpdump has."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from harness.packetfile import check_accepted, check_same, packet_data
from harness.packets import Packets, captured
from harness.pair import Pair
from harness.require import require_command
from harness.rows import rows
from harness.site import Site, check_request, said_of, serve
from harness.tap import Taps
from harness.target import Targets
from harness.veth import THERE, Veth

MANY, MANY_PATH = 500, "/one/of/many/300"
PROGRAMS, VERSIONS, HERE = ("curl", "openssl"), ("1.2", "1.3"), ("127.0.0.1", "::1")
CORE = ("curl", "1.2", HERE[0])
FLAGS = {
    ("curl", "1.2"): ["--tls-max", "1.2"],
    ("curl", "1.3"): ["--tlsv1.3"],
    ("openssl", "1.2"): ["-tls1_2"],
    ("openssl", "1.3"): ["-tls1_3"],
}


def fetch(site: Site, program: str, version: str) -> int:
    """One request; the pid it was made by."""
    flags = FLAGS[program, version]
    return site.fetch(*flags) if program == "curl" else site.fetch_by_openssl(*flags)


@pytest.mark.parametrize(
    ("client", "version", "address"),
    rows(
        PROGRAMS,
        VERSIONS,
        HERE,
        quick={CORE, ("curl", "1.3", HERE[1]), ("openssl", "1.3", HERE[0])},
        core={CORE},
    ),
)
def test_loopback(targets: Targets, taps: Taps, tmp_path: Path, client: str, version: str, address: str) -> None:
    site = serve(targets, tmp_path, address)
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, "tcp", "port", site.port)
    with captured(tmp_path / "theirs", [site.port]) as capture:
        pid = fetch(site, client, version)
        theirs = capture.stop()
    tap.stop_clean()
    ours = Packets(file, [site.port])
    check_request(ours)
    frames = ours.frames()
    check_same(frames, theirs.frames())
    both = {frozenset(frame.comment.split("; ")) for frame in frames}
    assert both == {frozenset({said_of(pid, client), said_of(site.pid, "nginx")})}
    assert {frame.interface for frame in frames} == {"lo"}
    assert frames[0].comment == f"{said_of(pid, client)}; {said_of(site.pid, 'nginx')}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("client", "version", "address"),
    rows(PROGRAMS, VERSIONS, THERE, quick={("curl", "1.3", THERE[0]), ("openssl", "1.2", THERE[1])}),
)
def test_between_namespaces(
    targets: Targets, taps: Taps, tmp_path: Path, veth: Veth, client: str, version: str, address: str
) -> None:
    site = serve(targets, tmp_path, address, inside=veth.inside)
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", veth.name, "-w", file, "tcp", "port", site.port)
    with captured(tmp_path / "theirs", [site.port], interface=veth.name, towards=(THERE[0], 9)) as capture:
        pid = fetch(site, client, version)
        theirs = capture.stop()
    tap.stop_clean()
    ours = Packets(file, [site.port])
    check_request(ours)
    frames = ours.frames()
    check_same(frames, theirs.frames())
    assert all(said_of(pid, client) in frame.comment.split("; ") for frame in frames), frames


SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind((sys.argv[1], 0))
    for frame in sys.argv[2:]:
        raw.send(bytes.fromhex(frame))
"""
TAGS = ("8100 0005 88b5", "8100 e006 88b5", "88a8 0005 8100 0007 88b5", "88b5")


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ((), (0, 1, 2, 3)),
        (("vlan", "5"), (0, 2)),
        (("ether[14:2]", "=", "0xe006"), (1,)),
        (("ether[13]", "=", "0"), (0, 1)),
        (("ether[20:4]", "=", "0x62626262"), (0, 1, 3)),
        (("ether[14:4]", "=", "0x00058100"), (2,)),
    ],
)
def test_vlan_tags(taps: Taps, tmp_path: Path, veth: Veth, words: tuple[str, ...], taken: tuple[int, ...]) -> None:
    """The kernel keeps a tag beside the packet: it is in the file again, and filters see it where it was."""
    frames = [f"02000000000a 02000000000b {tags} 6161 {b'b'.hex() * 60}".replace(" ", "") for tags in TAGS]
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", veth.name, "-w", file, *words)
    subprocess.run([*veth.inside, sys.executable, "-c", SEND, veth.other, *frames], check=True)
    tap.stop_clean()
    sent = [bytes.fromhex(frame) for frame in frames]
    found = tuple(sent.index(packet) for packet in packet_data(file) if packet in sent)
    assert found == taken


def test_a_connection_from_before(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """Its processes are known, though it cannot be decrypted."""
    pair = Pair(targets, tmp_path, tls="1.3")
    pair.do("connect", "get /a/1000")
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, "tcp", "port", pair.server.port)
    pair.do("get /b/1000", "close")
    client, server = pair.client.pid, pair.server.pid
    pair.finish()
    tap.stop_clean()
    frames = Packets(file, [pair.server.port]).frames()
    assert len(frames) > 4
    for frame in frames:
        assert {word.split()[0] for word in frame.comment.split("; ")} == {f"pid={client}", f"pid={server}"}


@pytest.mark.parametrize(
    "rotation", [pytest.param([], marks=pytest.mark.matrix), ["-C", "1"]], ids=["one-file", "rotated"]
)
def test_many_short_connections(targets: Targets, taps: Taps, tmp_path: Path, rotation: list[str]) -> None:
    """All are decrypted in one pass from one file, or from all of them joined."""
    pair = Pair(targets, tmp_path, tls="1.3")
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, *rotation, "tcp", "port", pair.server.port)
    pair.do(f"many {MANY} {MANY_PATH}")
    port = pair.server.port
    said = pair.finish()
    tap.stop_clean()
    files = sorted(tmp_path.glob("out.pcapng*"))
    assert len(files) > 1 if rotation else len(files) == 1
    for each in files:
        check_accepted(each)
    if rotation:
        file = tmp_path / "joined.pcapng"
        subprocess.run([require_command("mergecap"), "-w", file, *files], check=True, capture_output=True)
    ours = Packets(file, [port])
    messages = ours.messages()
    assert [message.uri for message in messages if message.method] == [MANY_PATH] * MANY
    assert sum(message.status == "200" for message in messages) == MANY
    ours.check(None, said)


def test_text_and_packets_in_one_run(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    site = serve(targets, tmp_path)
    file, keylog = tmp_path / "out.pcapng", tmp_path / "keylog"
    words = ("-m", "text,keylog,pcap", "-k", keylog, "-w", file, "-i", "lo", "--format", "json")
    tap = taps.ready(*words, "tcp", "port", site.port)
    site.fetch()
    ended = tap.stop_clean()
    assert '"status":200' in ended.out.replace(" ", "")
    check_request(Packets(file, [site.port]))
    assert b"SERVER_TRAFFIC_SECRET_0" in keylog.read_bytes()


def test_into_a_pipe(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """A reader finds each request with its secrets before it, while the capture goes on."""
    site = serve(targets, tmp_path)
    tshark = [
        require_command("tshark"),
        "-l",
        "-n",
        "-i",
        "-",
        "-d",
        f"tcp.port=={site.port},tls",
        "-d",
        f"tls.port=={site.port},http",
    ]
    with subprocess.Popen(
        [*tshark, "-Y", "http.response", "-T", "fields", "-e", "http.response.code"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "XDG_CONFIG_HOME": "/nonexistent", "HOME": "/nonexistent"},
    ) as reader:
        assert reader.stdin
        assert reader.stdout
        tap = taps.ready("-m", "pcap", "-i", "lo", "-w", "-", "tcp", "port", site.port, stdout=reader.stdin.fileno())
        reader.stdin.close()
        site.fetch()
        assert reader.stdout.readline() == b"200\n"
        tap.stop_clean()
        assert reader.wait(30) == 0
