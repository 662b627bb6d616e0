# SPDX-License-Identifier: Apache-2.0
"""`-m pcap` that cannot begin or cannot go on: one clear line, the right exit code, and what is in the file is good."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.packetfile import PACKET_BLOCK, blocks, check_accepted, packets_of
from harness.packets import Packets, captured
from harness.require import require_command
from harness.site import check_request, serve
from harness.tap import Taps
from harness.target import Targets

CUTS = 200
SMALL_BYTES, FILLING = 128 << 10, 30_000
NO_ADMIN = "cap_net_admin,cap_sys_admin"
NO_RIGHT = """plaintap: capturing packets needs CAP_NET_ADMIN, this process lacks it
  hint: a container gets it with --cap-add=NET_ADMIN
"""
HINT_FILE = "hint: -w FILE names another file, -w - standard output"


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A file system of its own in memory."""
    place.mkdir()
    subprocess.run([require_command("mount"), "-t", "tmpfs", "-o", options, "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run([require_command("umount"), place], check=True)


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["-i", "nosuch0"], "-i nosuch0: no such interface\n  hint: there are lo", 2),
        (["tcp", "prot", "80"], "packet filter: can't parse filter expression: syntax error, at character 5", 2),
        (["host", "nosuch.invalid"], "packet filter: unknown host 'nosuch.invalid', at character 6", 2),
        (["--snaplen", "0"], "--snaplen: expected a number of bytes from 1 to 262144, got '0'\n  hint: ", 2),
        (["--snaplen", "-1"], "--snaplen: expected a number of bytes from 1 to 262144, got '-1'\n  hint: ", 2),
        (["-w", "/proc/nosuch/x"], "cannot write packets to /proc/nosuch/x: no such file or directory", 1),
        (["-w", "/"], "cannot write packets to /: is a directory", 1),
    ],
)
def test_bad_input(taps: Taps, words: list[str], said: str, code: int) -> None:
    output = [] if "-w" in words else ["-w", "/dev/null"]
    ended = taps.run("tls", "-m", "pcap", *output, *words)
    ended.check_clean(code=code)
    assert f"plaintap: {said}" in ended.err


@pytest.mark.parametrize(("way", "lacking"), [("tcx", NO_ADMIN), ("clsact", "cap_net_admin")])
def test_no_right_to_interfaces(taps: Taps, tmp_path: Path, way: str, lacking: str) -> None:
    """It says which, before anything is made."""
    file = tmp_path / "out.pcapng"
    environ = {"PLAINTAP_FORCE": "clsact"} if way == "clsact" else {}
    before = (require_command("capsh"), f"--drop={lacking}", "--", "-c", 'exec "$@"', "sh")
    ended = taps.run("tls", "-m", "pcap", "-i", "lo", "-w", file, before=before, environ=environ)
    ended.check_clean(code=1)
    assert ended.err == NO_RIGHT
    assert not file.exists()


def test_a_read_only_folder(taps: Taps, tmp_path: Path) -> None:
    with mounted(tmp_path / "folder", "ro,size=64k") as folder:
        file = folder / "out.pcapng"
        ended = taps.run("tls", "-m", "pcap", "-i", "lo", "-w", file)
    ended.check_clean(code=1)
    assert ended.err == f"plaintap: cannot write packets to {file}: read-only file system\n  {HINT_FILE}\n"


def test_a_device_that_takes_nothing(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """It is said, and the run fails."""
    site = serve(targets, tmp_path)
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", "/dev/full", "tcp", "port", site.port)
    site.fetch()
    ended = tap.stop()
    ended.check_clean(code=1)
    assert "cannot write packets to /dev/full: no space left on device" in ended.err


@pytest.mark.parametrize("rotation", [[], pytest.param(["-C", "1"], marks=pytest.mark.matrix)], ids=["one", "rotated"])
def test_a_full_disk(targets: Targets, taps: Taps, tmp_path: Path, rotation: list[str]) -> None:
    """It is said once, what is there is good up to its last whole packet, and all are counted."""
    site = serve(targets, tmp_path)
    size = SMALL_BYTES + (1 << 20 if rotation else 0)
    with mounted(tmp_path / "disk", f"size={size}") as disk:
        tap = taps.ready("-m", "pcap", "-i", "lo", "-w", disk / "out.pcapng", *rotation, f"udp or tcp port {site.port}")
        with captured(tmp_path / "theirs", [site.port]) as capture:
            site.fetch()
            fill(size)
            tap.wait_for_err("cannot write packets to ")
            site.fetch()
            theirs = capture.stop()
        ended = tap.stop()
        names = sorted(path.name for path in disk.iterdir())
        copies = [tmp_path / f"copy-{name}" for name in names]
        for name, copy in zip(names, copies, strict=True):
            copy.write_bytes((disk / name).read_bytes())
    ended.check_clean(code=1)
    assert ended.err.count(f"cannot write packets to {disk / names[0]}: no space left on device") == 1
    assert len(names) == 1 + bool(rotation)
    for copy in copies:
        check_accepted(copy)
    check_request(Packets(copies[0], [site.port]))
    (counted,) = re.findall(r" (\d+) packets ", ended.summary)
    assert int(counted) >= len(theirs.frames("udp || tcp")) > sum(map(packets_of, copies)) > 0


def fill(size: int) -> None:
    """More than so many bytes of packets on loopback, to a port that nobody else has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(2 * size // FILLING + 1):
            sink.sendto(bytes(FILLING), sink.getsockname())


def test_cut_anywhere(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """It opens up to the cut."""
    site = serve(targets, tmp_path)
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, "tcp", "port", site.port)
    site.fetch()
    tap.stop_clean()
    check_accepted(file)
    check_request(Packets(file, [site.port]))
    data = file.read_bytes()
    packets = [end for kind, end in blocks(data) if kind == PACKET_BLOCK]
    assert len(packets) == len(Packets(file, [site.port]).frames())
    chosen = random.Random(7)  # noqa: S311 - cuts need no secrecy
    for cut in (chosen.randrange(packets[0], len(data)) for _ in range(CUTS)):
        part = tmp_path / "cut.pcapng"
        part.write_bytes(data[:cut])
        assert packets_of(part) == sum(end <= cut for end in packets), cut
