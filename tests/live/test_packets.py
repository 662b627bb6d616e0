# SPDX-License-Identifier: Apache-2.0
"""`-m pcap`: the file alone decrypts, names the processes, and has what tcpdump has."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import leaks
from harness.golang import Build, row
from harness.nginx import start_nginx
from harness.packets import Frame, Packets, captured
from harness.pair import Pair
from harness.peers import Peers, Spoken, TwoProcesses
from harness.require import require_command
from harness.tap import Taps
from harness.target import Targets
from harness.veth import THERE, Veth, joined

SERVED = """
    server {{
        listen {host}:{port} ssl;
        location / {{ return 200 "served to you\\n"; }}
    }}
"""
MANY, MANY_PATH = 500, "/one/of/many/300"
CUTS = 200
STARTS = 10
VERSIONS = {"1.2": ["--tls-max", "1.2"], "1.3": ["--tlsv1.3"]}
SYN, SYN_ACK = 0x02, 0x12
PACKET_BLOCK = 6
NEAR_NS = 50_000_000


@pytest.fixture
def veth(privileged: None) -> Iterator[Veth]:
    """The device towards another network namespace."""
    del privileged
    with joined() as veth:
        yield veth


NGINX = """
daemon off;
master_process off;
user root;
pid {folder}/nginx.pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    keepalive_timeout 0;
    ssl_protocols TLSv1.2 TLSv1.3;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    server {{
        listen {address} ssl;
        location / {{ return 200 "served to you\n"; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A server of one process; of its last connection it sends every packet before the client ends."""

    pid: int
    host: str
    port: int

    def fetch(self, *flags: str) -> int:
        """One request with curl, whose pid this was."""
        url = f"https://{self.host}:{self.port}/"
        curl = subprocess.Popen([require_command("curl"), "-sS", "-k", "-o", "/dev/null", *flags, url])
        assert curl.wait(30) == 0
        return curl.pid


def serve(targets: Targets, folder: Path, address: str = "127.0.0.1", *, inside: Sequence[str] = ()) -> Site:
    """On a port that nobody has; `inside` are words to begin the command with."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    host = f"[{address}]" if ":" in address else address
    with socket.socket(family) as free:
        free.bind(("::1" if ":" in address else "127.0.0.1", 0))
        port = free.getsockname()[1]
    path = folder / f"nginx-{port}.conf"
    names = {"certificate": targets.certificate, "key": targets.key, "folder": folder}
    path.write_text(NGINX.format(address=f"{host}:{port}", **names))
    nginx = targets.start([*inside, require_command("nginx"), "-p", str(folder), "-c", str(path), "-e", "stderr"])
    while nginx.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 5):
            return Site(nginx.pid, host, port)
    raise AssertionError(f"nginx ended: {nginx.errors!r}")


def said_of(pid: int, comm: str) -> str:
    return f"pid={pid} comm={comm} uid=0"


def check_request(file: Packets) -> None:
    """It decrypts with nothing but itself."""
    messages = file.messages()
    assert [message.method for message in messages if message.method] == ["GET"]
    assert [message.status for message in messages if message.status] == ["200"]


def check_same(ours: list[Frame], theirs: list[Frame]) -> None:
    """The same packets, at times that are near; two processors may take two of them in another order."""
    mine, others = (
        sorted((frame.ports, frame.flags, frame.length, frame.ts_ns) for frame in frames) for frames in (ours, theirs)
    )
    assert [words[:-1] for words in mine] == [words[:-1] for words in others]
    assert all(abs(our[-1] - their[-1]) < NEAR_NS for our, their in zip(mine, others, strict=True))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_loopback(targets: Targets, taps: Taps, tmp_path: Path, version: str, address: str) -> None:
    site = serve(targets, tmp_path, address)
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, "tcp", "port", site.port)
    with captured(tmp_path / "theirs", [site.port]) as capture:
        curl = site.fetch(*VERSIONS[version])
        theirs = capture.stop()
    tap.stop_clean()
    ours = Packets(file, [site.port])
    check_request(ours)
    frames = ours.frames()
    check_same(frames, theirs.frames())
    both = {frozenset(frame.comment.split("; ")) for frame in frames}
    assert both == {frozenset({said_of(curl, "curl"), said_of(site.pid, "nginx")})}
    assert {frame.interface for frame in frames} == {"lo"}
    assert frames[0].comment == f"{said_of(curl, 'curl')}; {said_of(site.pid, 'nginx')}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


FILTER = ["prio", "7", "protocol", "all", "u32", "match", "u32", "0", "0", "classid", "1:1"]


def filters_of(device: str) -> str:
    """Disciplines and filters, as tc tells."""
    filters = [["filter", "show", "dev", device, way] for way in ("ingress", "egress")]
    words = [["qdisc", "show", "dev", device], *filters]
    tc = require_command("tc")
    return "".join(subprocess.run([tc, *each], check=False, capture_output=True, text=True).stdout for each in words)


def test_many_starts(taps: Taps, tmp_path: Path, veth: Veth) -> None:
    """Of either way nothing is left, not even the discipline."""
    before = filters_of(veth.name)
    for number in range(STARTS):
        environ = {"PLAINTAP_FORCE": "clsact"} if number % 2 else {}
        taps.ready("-m", "pcap", "-w", tmp_path / "out.pcapng", environ=environ).stop_clean()
        assert filters_of(veth.name) == before


@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside-others"])
def test_as_before_tcx(targets: Targets, taps: Taps, tmp_path: Path, veth: Veth, others: bool) -> None:
    """A kill leaves filters; the next run takes them away, and nobody else's."""
    tc = require_command("tc")
    if others:
        subprocess.run([tc, "qdisc", "add", "dev", veth.name, "clsact"], check=True)
        subprocess.run([tc, "filter", "add", "dev", veth.name, "egress", *FILTER], check=True)
    before = filters_of(veth.name)
    site = serve(targets, tmp_path, THERE[0], inside=veth.inside)
    environ = {"PLAINTAP_FORCE": "clsact"}
    words = ("-m", "pcap", "-i", veth.name, "tcp", "port", site.port)
    killed = taps.ready(*words, "-w", tmp_path / "killed.pcapng", environ=environ)
    assert filters_of(veth.name).count("plaintap-") == 2
    killed.send(signal.SIGKILL)
    killed.process.wait()
    assert filters_of(veth.name).count("plaintap-") == 2
    file = tmp_path / "out.pcapng"
    tap = taps.ready(*words, "-w", file, environ=environ)
    assert filters_of(veth.name).count("plaintap-") == 2
    with captured(tmp_path / "theirs", [site.port], interface=veth.name, towards=(THERE[0], 9)) as capture:
        site.fetch()
        theirs = capture.stop()
    tap.stop_clean()
    ours = Packets(file, [site.port])
    check_request(ours)
    check_same(ours.frames(), theirs.frames())
    after = filters_of(veth.name)
    assert "plaintap-" not in after
    assert after == before or not others


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_between_namespaces(
    targets: Targets, taps: Taps, tmp_path: Path, veth: Veth, version: str, family: int
) -> None:
    site = serve(targets, tmp_path, THERE[family], inside=veth.inside)
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", veth.name, "-w", file, "tcp", "port", site.port)
    with captured(tmp_path / "theirs", [site.port], interface=veth.name, towards=(THERE[0], 9)) as capture:
        curl = site.fetch(*VERSIONS[version])
        theirs = capture.stop()
    tap.stop_clean()
    ours = Packets(file, [site.port])
    check_request(ours)
    frames = ours.frames()
    check_same(frames, theirs.frames())
    assert all(said_of(curl, "curl") in frame.comment.split("; ") for frame in frames), frames


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
    there = veth.name.replace("ptA", "ptB")
    subprocess.run([*veth.inside, sys.executable, "-c", SEND, there, *frames], check=True)
    tap.stop_clean()
    sent = [bytes.fromhex(frame) for frame in frames]
    data = file.read_bytes()
    found = []
    start = 0
    for kind, end in blocks(data):
        if kind == PACKET_BLOCK:
            (length,) = struct.unpack_from("<I", data, start + 20)
            packet = data[start + 28 : start + 28 + length]
            found += [sent.index(packet)] if packet in sent else []
        start = end
    assert tuple(found) == taken


def test_a_servers_packets_are_its_workers(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """Those too that came before the worker accepted; and nobody else's are there."""
    worker, port = start_nginx(targets, tmp_path, SERVED)
    other = serve(targets, tmp_path)
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-w", file, "--pid", worker)
    other.fetch()
    Site(worker, "127.0.0.1", port).fetch()
    tap.stop_clean()
    ours = Packets(file, [port])
    check_request(ours)
    frames = ours.frames()
    assert all(said_of(worker, "nginx") in frame.comment.split("; ") for frame in frames), frames
    assert [frame.flags for frame in frames[:2]] == [SYN, SYN_ACK]
    assert all(port in frame.ports for frame in frames)


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


@pytest.mark.parametrize("rotation", [[], ["-C", "1"]], ids=["one-file", "rotated"])
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
    if rotation:
        file = tmp_path / "joined.pcapng"
        subprocess.run([require_command("mergecap"), "-w", file, *files], check=True, capture_output=True)
    ours = Packets(file, [port])
    messages = ours.messages()
    assert [message.uri for message in messages if message.method] == [MANY_PATH] * MANY
    assert sum(message.status == "200" for message in messages) == MANY
    ours.check(None, said)


@pytest.mark.timeout(600)  # it may fetch a toolchain
def test_many_connections_of_go(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """Secrets come by another module, and the file is as good."""
    peers = Peers(targets, tmp_path, Spoken("1.3"))
    spoken = TwoProcesses(row(Build(), targets.folder), peers)
    file = tmp_path / "out.pcapng"
    wanted = " or ".join(f"tcp port {port}" for port in spoken.ports)
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, wanted, command=("gotls",))
    spoken.do(f"many {MANY} {MANY_PATH}")
    said = spoken.finish()
    tap.stop().check_clean()
    ours = Packets(file, spoken.ports)
    assert sum(message.status == "200" for message in ours.messages()) == 2 * MANY
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


def test_killed(targets: Targets, taps: Taps, tmp_path: Path, veth: Veth) -> None:
    """Nothing stays behind; the file is good up to its end, and the next run has every packet once."""
    objects = leaks.kernel_objects()
    tap = taps.ready("-m", "pcap", "-w", tmp_path / "killed.pcapng")
    assert "link" in {kind for kind, _ in leaks.kernel_objects() - objects}
    tap.send(signal.SIGKILL)
    tap.process.wait()
    assert leaks.left_behind(objects) == set()
    subprocess.run([require_command("capinfos"), tmp_path / "killed.pcapng"], check=True, capture_output=True)
    site = serve(targets, tmp_path, THERE[0], inside=veth.inside)
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", veth.name, "-w", file, "tcp", "port", site.port)
    with captured(tmp_path / "theirs", [site.port], interface=veth.name, towards=(THERE[0], 9)) as capture:
        site.fetch()
        theirs = capture.stop()
    tap.stop_clean()
    check_same(Packets(file, [site.port]).frames(), theirs.frames())


def blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """The kind of each block of a file, and where it ends."""
    position = 0
    while position < len(data):
        kind, length = struct.unpack_from("<II", data, position)
        position += length
        assert struct.unpack_from("<I", data, position - 4) == (length,)
        yield kind, position


def test_cut_anywhere(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """It opens up to the cut."""
    site = serve(targets, tmp_path)
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, "tcp", "port", site.port)
    site.fetch()
    tap.stop_clean()
    data = file.read_bytes()
    packets = [end for kind, end in blocks(data) if kind == PACKET_BLOCK]
    assert len(packets) == len(Packets(file, [site.port]).frames())
    chosen = random.Random(7)  # noqa: S311 - cuts need no secrecy
    for cut in (chosen.randrange(packets[0], len(data)) for _ in range(CUTS)):
        part = tmp_path / "cut.pcapng"
        part.write_bytes(data[:cut])
        words = [require_command("capinfos"), "-M", "-c", str(part)]
        said = subprocess.run(words, check=False, capture_output=True, text=True)
        assert int(said.stdout.rpartition(":")[2]) == sum(end <= cut for end in packets), said


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["-i", "nosuch0"], "-i nosuch0: no such interface", 2),
        (["tcp", "prot", "80"], "packet filter: can't parse filter expression: syntax error, at character 5", 2),
        (["host", "nosuch.invalid"], "packet filter: unknown host 'nosuch.invalid', at character 6", 2),
        (["-w", "/proc/nosuch/x"], "cannot write packets to /proc/nosuch/x: ", 1),
        (["-w", "/"], "cannot write packets to /: is a directory", 1),
    ],
)
def test_bad_input(taps: Taps, words: list[str], said: str, code: int) -> None:
    output = [] if "-w" in words else ["-w", "/dev/null"]
    ended = taps.run("tls", "-m", "pcap", *output, *words)
    assert ended.code == code, ended.err
    assert f"plaintap: {said}" in ended.err


def test_a_full_disk(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """It is said, what is there is good, and the run fails."""
    site = serve(targets, tmp_path)
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", "/dev/full", "tcp", "port", site.port)
    site.fetch()
    ended = tap.stop()
    assert ended.code == 1
    assert "cannot write packets to /dev/full: no space left on device" in ended.err
    assert "Traceback" not in ended.err


def test_an_interface_that_goes(taps: Taps, tmp_path: Path) -> None:
    """It is said; those that are left, and one that comes, go on."""
    with joined() as veth:
        tap = taps.ready("-m", "pcap", "-w", tmp_path / "out.pcapng", "-d")
        tap.wait_for_err(f"packets of {veth.name} are captured")
    tap.wait_for_err(f"the interface {veth.name} is gone")
    with joined() as again:
        tap.wait_for_err(f"packets of {again.name} are captured", times=2)
    tap.stop_clean()
