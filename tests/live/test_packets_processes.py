# SPDX-License-Identifier: Apache-2.0
"""`-m pcap` with filters of processes: all packets of who matches are there, from the first on, and nobody else's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness.nginx import start_nginx
from harness.packetfile import check_same
from harness.packets import Packets, captured
from harness.pair import Pair
from harness.require import require_command
from harness.site import Site, check_request, said_of, serve
from harness.tap import Taps
from harness.target import NOBODY, Targets, as_nobody

SERVED = """
    server {{
        listen {host}:{port} ssl;
        location / {{ return 200 "served to you\\n"; }}
    }}
"""
SYN, SYN_ACK = 0x02, 0x12
NAME = "wanted-client"


def joining(cgroup: Path) -> tuple[str, ...]:
    """Words before a command that is to run in a cgroup."""
    return ("sh", "-c", f'echo $$ > {cgroup}/cgroup.procs; exec "$@"', "sh")


def copied_curl(targets: Targets, name: str) -> str:
    """What the kernel calls by another name."""
    copy = targets.folder / name
    shutil.copy(require_command("curl"), copy)
    return str(copy)


def check_only(file: Path, theirs: Packets, port: int, said: str) -> None:
    """Just the packets of this process's one connection."""
    ours = Packets(file, [port])
    check_request(ours)
    frames = ours.frames()
    assert [frame.flags for frame in frames[:2]] == [SYN, SYN_ACK]
    client = frames[0].ports[0]
    assert all(client in frame.ports for frame in frames)
    assert all(said in frame.comment.split("; ") for frame in frames), frames
    check_same(frames, [frame for frame in theirs.frames() if client in frame.ports])


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("uid", marks=pytest.mark.core),
        "comm",
        "cgroup",
        pytest.param("cgroup-below", marks=pytest.mark.matrix),
        "together",
    ],
)
def test_a_client(targets: Targets, taps: Taps, tmp_path: Path, cgroup: Path, kind: str) -> None:
    """Of three at the same server, of which each but one fails a filter."""
    site = serve(targets, tmp_path)
    wanted_program, alike = copied_curl(targets, NAME), copied_curl(targets, f"{NAME}s")
    place = cgroup / "below" if kind == "cgroup-below" else cgroup
    words, before, program = {
        "uid": (("--uid", NOBODY), as_nobody(), None),
        "comm": (("--comm", NAME), (), wanted_program),
        "cgroup": (("--cgroup_path", cgroup), joining(place), None),
        "cgroup-below": (("--cgroup_path", cgroup), joining(place), None),
        "together": (
            ("--uid", NOBODY, "--comm", NAME, "--cgroup_path", cgroup),
            (*joining(place), *as_nobody()),
            wanted_program,
        ),
    }[kind]
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, *words)
    with captured(tmp_path / "theirs", [site.port]) as capture:
        site.fetch(program=alike)
        pid = site.fetch(before=before, program=program)
        site.fetch(before=as_nobody() if kind == "together" else (), program=alike)
        theirs = capture.stop()
    tap.stop_clean()
    uid = NOBODY if kind in {"uid", "together"} else 0
    comm = NAME if program else "curl"
    check_only(file, theirs, site.port, said_of(pid, comm, uid=uid))


@pytest.mark.parametrize("kind", ["comm", pytest.param("uid", marks=pytest.mark.matrix), "cgroup"])
def test_a_connection_from_before(targets: Targets, taps: Taps, tmp_path: Path, cgroup: Path, kind: str) -> None:
    """Its sockets are older than the capture; of another such connection nothing is there."""
    wanted, other = (Pair(targets, tmp_path / each, tls="1.3") for each in _folders(tmp_path))
    for pair in (wanted, other):
        pair.do("connect", "get /a/1000")
    (cgroup / "cgroup.procs").write_text(str(wanted.client.pid))
    words = {
        "comm": ("--comm", wanted.comm),
        "uid": ("--uid", 0),
        "cgroup": ("--cgroup_path", cgroup),
    }[kind]
    file = tmp_path / "out.pcapng"
    ports = [pair.server.port for pair in (wanted, other)]
    expression = " or ".join(f"tcp port {port}" for port in (ports if kind == "cgroup" else ports[:1]))
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, *words, expression)
    with captured(tmp_path / "theirs", ports) as capture:
        for pair in (wanted, other):
            pair.do("get /b/1000", "close")
        theirs = capture.stop()
    for pair in (wanted, other):
        pair.finish()
    tap.stop_clean()
    frames = Packets(file, ports).frames()
    check_same(frames, [frame for frame in theirs.frames() if ports[0] in frame.ports])


def _folders(folder: Path) -> list[str]:
    names = ["wanted", "other"]
    for name in names:
        (folder / name).mkdir()
    return names


@pytest.mark.core
@pytest.mark.sockets
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
