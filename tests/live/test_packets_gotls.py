# SPDX-License-Identifier: Apache-2.0
"""`gotls -m pcap`: secrets come by another module, and the file is as good; QUIC's packets are decrypted too."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness.golang import Build, row
from harness.gomodules import own_program
from harness.packetfile import check_accepted
from harness.packets import Packets, captured
from harness.peers import Peers, Spoken, TwoProcesses
from harness.require import require_command
from harness.site import said_of
from harness.tap import Taps
from harness.target import Targets

pytestmark = pytest.mark.timeout(600)  # the first fetches a toolchain
MANY, MANY_PATH = 500, "/one/of/many/300"
QUIC = "github.com/quic-go/quic-go@v0.48.2"
CHECKING = ("-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE")
GOOD, MOST_BYTES = "1", 1500
NOTHING = "<MISSING>"  # of a frame that only says that it was all
SAID = b"over QUIC " * 1000
MESSAGES = ("1", "2", "8", "11", "15", "20")
"""ClientHello, ServerHello, EncryptedExtensions, Certificate, CertificateVerify, Finished: all but two encrypted."""


@pytest.mark.parametrize("rotation", [["-C", "1"], pytest.param([], marks=pytest.mark.matrix)], ids=["rotated", "one"])
def test_many_connections(targets: Targets, taps: Taps, tmp_path: Path, rotation: list[str]) -> None:
    """A server and a client of Go: all are decrypted in one pass from one file, or from all of them joined."""
    peers = Peers(targets, tmp_path, Spoken("1.3"))
    program = Build().program("peer", targets.folder)
    spoken = TwoProcesses(row(Build(), targets.folder), peers)
    file = tmp_path / "out.pcapng"
    wanted = " or ".join(f"tcp port {port}" for port in spoken.ports)
    # Of other programs of Go connections may be open already, whose keys nobody can know any more.
    words = ("-m", "pcap", "-i", "lo", "--elfpath", program, "-w", file)
    tap = taps.ready(*words, *rotation, wanted, command=("gotls",))
    spoken.do(f"many {MANY} {MANY_PATH}")
    said = spoken.finish()
    tap.stop_clean()
    files = sorted(tmp_path.glob("out.pcapng*"))
    assert len(files) > 1 if rotation else len(files) == 1
    for each in files:
        check_accepted(each)
    if rotation:
        file = tmp_path / "joined.pcapng"
        subprocess.run([require_command("mergecap"), "-w", file, *files], check=True, capture_output=True)
    ours = Packets(file, spoken.ports)
    messages = ours.messages()
    assert [message.uri for message in messages if message.method] == [MANY_PATH] * 2 * MANY
    assert sum(message.status == "200" for message in messages) == 2 * MANY
    ours.check(None, said)


@pytest.mark.parametrize("filtered", [False, pytest.param(True, marks=pytest.mark.matrix)], ids=["all", "one-process"])
def test_quic(targets: Targets, taps: Taps, tmp_path: Path, filtered: bool) -> None:
    """tshark has the handshake and what was said both ways, with nothing but the file; each packet its process."""
    program = own_program("quic", QUIC, targets.folder)
    wanted, other = (targets.start([str(program), str(tmp_path / f"witness{each}")]) for each in range(2))
    ports = [int(target.expect("ready")[0]) for target in (wanted, other)]
    file = tmp_path / "out.pcapng"
    words = ("--pid", wanted.pid) if filtered else ("udp", "port", ports[0])
    tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, *words, command=("gotls",))
    with captured(tmp_path / "theirs", []) as capture:
        for target in (other, wanted):
            target.go()
            assert target.wait() == 0, target.errors
        theirs = capture.stop()
    tap.stop_clean()
    check_accepted(file)
    ours = Packets(file, [])
    assert {frame.comment for frame in ours.frames("udp")} == {said_of(wanted.pid, "quic")}
    handshake = ours.fields("tls.handshake.type", wanted="quic")
    assert {kind for each in handshake for kind in each.split(",")} >= set(MESSAGES)
    for ends in (f"udp.dstport == {ports[0]}", f"udp.srcport == {ports[0]}"):
        assert payload(ours, ends) == payload(theirs, ends)
        assert stream(ours, ends) == SAID
    check_cut(ours, f"udp.srcport == {ports[0]}")


def payload(packets: Packets, wanted: str) -> str:
    """What the datagrams of one end carry, encrypted."""
    return "".join(packets.fields("udp.payload", wanted=wanted))


def check_cut(packets: Packets, wanted: str) -> None:
    """The server hands over many datagrams as one: each is there by itself, as it went over the wire."""
    names = ("ip.id", "udp.length", "ip.checksum.status", "udp.checksum.status")
    found = [line.split("\t") for line in packets.fields(*names, wanted=wanted, options=CHECKING)]
    cut = [each for each in found if each[3] == GOOD]
    assert all(each[2] == GOOD for each in found)
    assert len(cut) >= 4, found
    assert any(int(number, 16) > 0 for number, *_ in cut)
    assert max(int(length) for _, length, *_ in found) < MOST_BYTES


def stream(packets: Packets, wanted: str) -> bytes:
    """What STREAM frames carry, put in order; a frame's bytes are there as tshark decrypted them."""
    pieces = {}
    for line in packets.fields("quic.stream.offset", "quic.stream_data", wanted=f"quic.stream_data && {wanted}"):
        offset, data = line.split("\t")
        pieces[int(offset or 0)] = bytes.fromhex(data.replace(NOTHING, ""))
    return b"".join(data for _, data in sorted(pieces.items()))
