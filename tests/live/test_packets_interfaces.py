# SPDX-License-Identifier: Apache-2.0
"""Where packets are taken: nothing stays at an interface, nobody else's is touched, interfaces come, change and go."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from harness import leaks
from harness.packetfile import check_accepted, check_same, packet_data, packets_of
from harness.packets import Packets, captured
from harness.require import require, require_command
from harness.site import check_request, serve
from harness.tap import Taps
from harness.target import Targets
from harness.veth import THERE, Veth, add_others_filter, filters_of, joined

TUN = Path("/dev/net/tun")
TUN_SET_INTERFACE, TUN_WITHOUT_HEADER = 0x400454CA, 0x1001  # TUNSETIFF, IFF_TUN | IFF_NO_PI
HERE, BEYOND = "10.202.9.1", "10.202.9.2"
IPV4 = struct.Struct("!BBHHHBBH4s4s")
UDP = struct.Struct("!HHHH")
UDP_SEGMENT = 103  # include/uapi/linux/udp.h


def ip(*words: str) -> None:
    subprocess.run([require_command("ip"), *words], check=True, capture_output=True, timeout=30)


@pytest.mark.parametrize("starts", [6, pytest.param(50, marks=[pytest.mark.matrix, pytest.mark.timeout(400)])])
def test_many_starts(taps: Taps, tmp_path: Path, veth: Veth, starts: int) -> None:
    """Of either way nothing is left, not even the discipline."""
    objects = leaks.kernel_objects()
    devices = [veth.name, "lo"]
    before = [filters_of(device) for device in devices]
    for number in range(starts):
        environ = {"PLAINTAP_FORCE": "clsact"} if number % 2 else {}
        taps.ready("-m", "pcap", "-w", tmp_path / "out.pcapng", "tcp", "port", 1, environ=environ).stop_clean()
        assert [filters_of(device) for device in devices] == before
    assert leaks.left_behind(objects) == set()


@pytest.mark.parametrize("others", [False, pytest.param(True, marks=pytest.mark.core)], ids=["alone", "beside-others"])
def test_as_before_tcx(targets: Targets, taps: Taps, tmp_path: Path, veth: Veth, others: bool) -> None:
    """A kill leaves filters; the next run takes them away, and nobody else's."""
    if others:
        add_others_filter(veth.name)
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


def test_killed(targets: Targets, taps: Taps, tmp_path: Path, veth: Veth) -> None:
    """Nothing stays behind; the file is good up to its end, and the next run has every packet once."""
    add_others_filter(veth.name)
    before = filters_of(veth.name)
    objects = leaks.kernel_objects()
    site = serve(targets, tmp_path, THERE[0], inside=veth.inside)
    killed = tmp_path / "killed.pcapng"
    tap = taps.ready("-m", "pcap", "-w", killed)
    assert "link" in {kind for kind, _ in leaks.kernel_objects() - objects}
    site.fetch()
    tap.send(signal.SIGKILL)
    tap.process.wait()
    assert leaks.left_behind(objects) == set()
    assert packets_of(killed) >= 0
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", veth.name, "-w", file, "tcp", "port", site.port)
    with captured(tmp_path / "theirs", [site.port], interface=veth.name, towards=(THERE[0], 9)) as capture:
        site.fetch()
        theirs = capture.stop()
    tap.stop_clean()
    check_same(Packets(file, [site.port]).frames(), theirs.frames())
    assert filters_of(veth.name) == before


def test_an_interface_that_goes(taps: Taps, tmp_path: Path) -> None:
    """It is said; those that are left, and one that comes, go on."""
    file = tmp_path / "out.pcapng"
    with joined() as veth:
        tap = taps.ready("-m", "pcap", "-w", file, "-d")
        tap.wait_for_err(f"packets of {veth.name} are captured")
    tap.wait_for_err(f"the interface {veth.name} is gone")
    with joined() as again:
        tap.wait_for_err(f"packets of {again.name} are captured", times=2)
    tap.stop_clean()
    check_accepted(file)


def test_the_only_interface_goes_and_comes(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """One that was asked for by its name is captured again when there is one of that name."""
    file = tmp_path / "out.pcapng"
    with joined() as veth:
        tap = taps.ready("-m", "pcap", "-i", veth.name, "-w", file, "-d", "tcp")
    tap.wait_for_err(f"the interface {veth.name} is gone")
    with joined() as again:
        assert again.name == veth.name
        tap.wait_for_err(f"packets of {again.name} are captured", times=2)
        site = serve(targets, tmp_path, THERE[0], inside=again.inside)
        site.fetch()
        tap.stop_clean()
    check_accepted(file)
    check_request(Packets(file, [site.port]))


@pytest.mark.parametrize("way", ["tcx", pytest.param("clsact", marks=pytest.mark.matrix)])
def test_an_interface_that_is_renamed_and_goes_down(
    targets: Targets, taps: Taps, tmp_path: Path, veth: Veth, way: str
) -> None:
    """It is the same one: every packet is there once."""
    site = serve(targets, tmp_path, THERE[0], inside=veth.inside)
    file = tmp_path / "out.pcapng"
    environ = {"PLAINTAP_FORCE": "clsact"} if way == "clsact" else {}
    tap = taps.ready("-m", "pcap", "-i", veth.name, "-w", file, "tcp", "port", site.port, environ=environ)
    renamed = veth.name.replace("ptA", "ptR")
    ip("link", "set", veth.name, "name", renamed)
    try:
        ip("link", "set", renamed, "down")
        ip("link", "set", renamed, "up")
        with captured(tmp_path / "theirs", [site.port], interface=renamed, towards=(THERE[0], 9)) as capture:
            site.fetch()
            theirs = capture.stop()
        tap.stop_clean()
        assert "plaintap" not in filters_of(renamed)
    finally:
        ip("link", "set", renamed, "name", veth.name)
    ours = Packets(file, [site.port])
    check_request(ours)
    check_same(ours.frames(), theirs.frames())


def test_an_interface_that_is_down(targets: Targets, taps: Taps, tmp_path: Path, veth: Veth) -> None:
    """It is said, and it is captured once it is up."""
    ip("link", "set", veth.name, "down")
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", veth.name, "-w", file, "tcp")
    assert f"{veth.name} is down: there are packets once it is up" in tap.err
    ip("link", "set", veth.name, "up")
    site = serve(targets, tmp_path, THERE[0], inside=veth.inside)
    site.fetch()
    tap.stop_clean()
    check_request(Packets(file, [site.port]))


@pytest.mark.core
def test_a_vlan_device(targets: Targets, taps: Taps, tmp_path: Path, veth: Veth) -> None:
    """Its packets have no tag, those of the device below it have."""
    above = f"ptV{os.getpid()}"
    words = ("type", "vlan", "id", "5")
    made = subprocess.run(
        [require_command("ip"), "link", "add", "link", veth.name, "name", above, *words],
        check=False,
        capture_output=True,
    )
    if b"Unknown device type" in made.stderr:
        pytest.skip("this kernel has no VLAN devices")
    ip("-n", veth.namespace, "link", "add", "link", veth.other, "name", above, *words)
    ip("address", "add", f"{HERE}/24", "dev", above)
    ip("-n", veth.namespace, "address", "add", f"{BEYOND}/24", "dev", above)
    ip("link", "set", above, "up")
    ip("-n", veth.namespace, "link", "set", above, "up")
    site = serve(targets, tmp_path, BEYOND, inside=veth.inside)
    file = tmp_path / "out.pcapng"
    tap = taps.ready("-m", "pcap", "-i", above, "-i", veth.name, "-w", file, "tcp or (vlan and tcp)")
    site.fetch()
    tap.stop_clean()
    frames = Packets(file, [site.port]).frames()
    upper, lower = ([each for each in frames if each.interface == name] for name in (above, veth.name))
    assert sorted((each.ports, each.flags, each.length + 4) for each in upper) == sorted(
        (each.ports, each.flags, each.length) for each in lower
    )
    tagged = Packets(file, []).fields("frame.interface_name", wanted="vlan.id == 5 && tcp")
    assert tagged == [veth.name] * len(lower)
    assert len(lower) > 8


@pytest.mark.parametrize(
    ("address", "size", "sizes"),
    [
        pytest.param("127.0.0.1", 1000, [1000] * 5 + [1], marks=pytest.mark.core),
        pytest.param("127.0.0.1", 1, [1] * 64, marks=pytest.mark.matrix),
        pytest.param("127.0.0.1", 700, [700], marks=pytest.mark.matrix),
        ("::1", 1201, [1201] * 50),
    ],
)
def test_datagrams_handed_over_as_one(taps: Taps, tmp_path: Path, address: str, size: int, sizes: list[int]) -> None:
    """Each is there as who receives them gets it, with headers that are right."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    file = tmp_path / "out.pcapng"
    said = os.urandom(sum(sizes))
    with socket.socket(family, socket.SOCK_DGRAM) as sender, socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((address, 0))
        port = receiver.getsockname()[1]
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, "udp", "port", port)
        sender.sendto(said, receiver.getsockname())
        came = [receiver.recv(2000) for _ in sizes]
        tap.stop_clean()
    assert list(map(len, came)) == sizes
    assert b"".join(came) == said
    version = "ipv6" if ":" in address else "ip"
    names = ("udp.payload", "udp.length", "ip.checksum.status", "udp.checksum.status", "frame.comment")
    options = ("-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE")
    found = [line.split("\t") for line in Packets(file, []).fields(*names, wanted=version, options=options)]
    assert [bytes.fromhex(payload) for payload, *_ in found] == came
    assert [int(length) for _, length, *_ in found] == [UDP.size + length for length in sizes]
    # One alone leaves its checksum to the device, which loopback is not.
    assert {(ip, udp) for _, _, ip, udp, _ in found} == {("" if version == "ipv6" else "1", "01"[len(sizes) > 1])}
    assert all(comment.startswith(f"pid={os.getpid()} ") for *_, comment in found)
    check_accepted(file)


def udp_packet(source: str, destination: str, *, said: bytes) -> bytes:
    """A whole one, ports 5001 to 9; of UDP over IPv4 a checksum of 0 is none."""
    udp = UDP.pack(5001, 9, UDP.size + len(said), 0) + said
    ends = socket.inet_aton(source), socket.inet_aton(destination)
    head = IPV4.pack(0x45, 0, IPV4.size + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0, *ends)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:] + udp


@pytest.mark.usefixtures("privileged")
@pytest.mark.parametrize(
    "words", [(), ("udp", "port", 9), ("ip[8]", "=", 64, "and", "udp")], ids=["all", "port", "byte"]
)
def test_a_tun_device(taps: Taps, tmp_path: Path, words: tuple[object, ...]) -> None:
    """Its packets have no link header: they begin with that of IP, to filters as in the file."""
    require(TUN.exists(), f"there is no {TUN}")
    name = f"ptT{os.getpid()}"
    device = os.open(TUN, os.O_RDWR)
    try:
        fcntl.ioctl(device, TUN_SET_INTERFACE, struct.pack("16sH22x", name.encode(), TUN_WITHOUT_HEADER))
        ip("address", "add", f"{HERE}/24", "dev", name)
        ip("link", "set", name, "up")
        file = tmp_path / "out.pcapng"
        tap = taps.ready("-m", "pcap", "-i", name, "-w", file, *words)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.sendto(b"there", (BEYOND, 9))
        came = udp_packet(BEYOND, HERE, said=b"and back")
        os.write(device, came)
        tap.stop_clean()
        gone = os.read(device, 2000)
        while gone[-5:] != b"there":  # the kernel has things to say of its own
            gone = os.read(device, 2000)
    finally:
        os.close(device)
    found = packet_data(file)
    assert [found.count(packet) for packet in (gone, came)] == [1, 1]
    frames = Packets(file, []).frames("udp.port == 9")
    assert [frame.comment.split()[0] for frame in frames if frame.comment] == [f"pid={os.getpid()}"]
    said = subprocess.run([require_command("capinfos"), "-E", file], check=True, capture_output=True, text=True)
    assert "Raw IP" in said.stdout
    check_accepted(file)
