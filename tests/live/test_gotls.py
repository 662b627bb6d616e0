# SPDX-License-Identifier: Apache-2.0
"""Every Go of the table, by form, linker and TLS version: plaintext, sockets, and keys that decrypt."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.golang import FORMS, SUITES, WHEELS, Build, row
from harness.keylog import KeyLog
from harness.packets import Message, captured
from harness.peers import Peers, Spoken, TwoProcesses
from harness.rows import rows
from harness.tap import Taps
from harness.target import Targets

from plaintap.events import HEADER, Kind, TlsSeen, decode_fact
from plaintap.runtime import recording

GOTLS = ("gotls",)
AGREED = {"1.2": (0x0303, 0xC02C), "1.3": (0x0304, 0x1302)}
"""With AES256."""
BODY_BYTES = 20000
PATH = f"/of/the/table/{BODY_BYTES}"
BODY = (PATH.encode() * BODY_BYTES)[:BODY_BYTES]
NOT_LOGGED = {"EXPORTER_SECRET"}
"""Go has no line for it."""

TABLE = rows(
    [*SUITES, *WHEELS],
    FORMS,
    ["go", "cgo"],
    ["1.2", "1.3"],
    quick={("1.24", "pie-stripped", "go", "1.3"), ("1.19", "plain", "go", "1.2")},
)


def handshakes(record: Path, pid: int) -> list[TlsSeen]:
    """What is told of this process's."""
    found = []
    for session, kind, _, _, raw, _ in recording.read(str(record)):
        if not session and kind == Kind.TLS and HEADER.unpack_from(raw)[5] == pid:
            fact = decode_fact(kind, raw)
            assert isinstance(fact, TlsSeen)
            found.append(fact)
    return found


def check_messages(messages: list[Message]) -> None:
    """Asserts that tshark's own HTTP parser found just the exchanges that took place."""
    assert [(message.method, message.uri) for message in messages if message.method] == [("GET", PATH)] * 2
    assert [message.content for message in messages if message.status] == [BODY] * 2


@pytest.mark.timeout(600)  # the first row of a version fetches its toolchain
@pytest.mark.parametrize(("version", "form", "linker", "tls"), TABLE)
def test_row(targets: Targets, taps: Taps, tmp_path: Path, version: str, form: str, linker: str, tls: str) -> None:
    """A client and a server in Go, each with a witness at the other end."""
    peers = Peers(targets, tmp_path, Spoken(tls, "AES256"))
    spoken = TwoProcesses(row(Build(version, form, linker == "cgo"), targets.folder), peers)
    comms = {target.pid: target.comm for target in spoken.targets}
    keylog = tmp_path / "keylog"
    tap = taps.ready("--pid", ",".join(map(str, comms)), "-m", "text,keylog", "-k", keylog, command=GOTLS)
    with captured(tmp_path / "packets", spoken.ports) as capture:
        spoken.ask(PATH)
        said = spoken.finish()
        packets = capture.stop()
    streams = tap.stop_clean().streams
    for pid, comm in comms.items():
        streams.check_all([truth for truth in said if truth.pid == pid], comm=comm)
    assert streams.pids == set(comms), "the witnesses are not to be captured"
    KeyLog.read(keylog).check_same(KeyLog.read(peers.keylog).without(NOT_LOGGED))
    packets.check(keylog, said)
    check_messages(packets.messages(keylog))


def check_host_wide(targets: Targets, taps: Taps, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Nobody says where the binary is, and it starts after the tool."""
    tap = taps.ready("-u", 0, command=command)
    peers = Peers(targets, tmp_path, Spoken("1.3"))
    spoken = TwoProcesses(row(Build(), targets.folder), peers)
    comm = spoken.client.comm
    spoken.ask(PATH)
    said = spoken.finish()
    streams = tap.stop_clean().streams
    for truth in said:
        streams.check(truth, comm=comm)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", [("gotls",), ("tlsgo",), ()], ids=["gotls", "tlsgo", "all"])
def test_started_later(targets: Targets, taps: Taps, tmp_path: Path, command: tuple[str, ...]) -> None:
    check_host_wide(targets, taps, tmp_path, command)


@pytest.mark.timeout(600)
def test_of_one_file(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """`--elfpath`: another file with the same content is not captured."""
    peers = Peers(targets, tmp_path, Spoken("1.3"))
    mine, other = (row(Build(form=form), targets.folder) for form in ("plain", "stripped"))
    witness = peers.witness_server()
    clients = [peers.row_client(each, witness.port) for each in (mine, other)]
    (binary,) = mine.words()
    tap = taps.ready("--elfpath", binary, command=GOTLS)
    for client in clients:
        for line in ("connect", "get /one/3000", "close"):
            client.do(line)
    comm = clients[0].comm
    said = [client.finish() for client in clients]
    streams = tap.stop_clean().streams
    streams.check_all(said[0], comm=comm)
    assert streams.pids == {clients[0].pid}


@pytest.mark.timeout(600)
def test_run(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """`plaintap run` captures a Go program from its first byte."""
    peers = Peers(targets, tmp_path, Spoken("1.3"))
    served = peers.witness_server()
    (binary,) = row(Build(), targets.folder).words()
    client = f"{binary} client 127.0.0.1 {served.port} --certificate {targets.certificate}"
    command = ["sh", "-c", f"printf 'connect\\nget /first/2000\\nclose\\n' | {client}"]
    ended = taps.run_command(command)
    ended.check_clean()
    (truth,) = served.finish()
    streams = ended.streams
    (stream,) = [stream for stream in streams.all if stream.comm == "peer"]
    streams.check(truth.other_end(stream.pid), comm="peer")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("version", "tls"), rows([*SUITES, *WHEELS], ["1.2", "1.3"], quick={("1.24", "1.3"), ("1.19", "1.3")})
)
def test_late_attach(targets: Targets, taps: Taps, tmp_path: Path, version: str, tls: str) -> None:
    """The connections are up before the tool is, and the server waits inside Read: right from what that returns."""
    peers = Peers(targets, tmp_path, Spoken(tls))
    spoken = TwoProcesses(row(Build(version), targets.folder), peers)
    spoken.do("connect")
    spoken.do("get /before/3000")
    tap = taps.ready("--pid", ",".join(str(target.pid) for target in spoken.targets), command=GOTLS)
    spoken.do("get /after/3000")
    spoken.do("close")
    said = spoken.finish()
    streams = tap.stop_clean().streams
    for truth in said:
        stream = streams.find(truth)
        asked, answered = stream.written.bytes, stream.read.bytes
        if truth.pid == spoken.server.pid:
            asked, answered = answered, asked
        assert asked.startswith(b"GET /after/3000 HTTP/1.1\r\n")
        assert asked.endswith(b"\r\n\r\n")
        head, _, body = answered.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body == (b"/after/3000" * 300)[:3000]
        assert (stream.read.gaps, stream.written.gaps) == ([], [])


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("version", "tls"), rows([*SUITES, *WHEELS], ["1.2", "1.3"], quick={("1.24", "1.3"), ("1.19", "1.2")})
)
def test_what_the_handshake_agreed_on(targets: Targets, taps: Taps, tmp_path: Path, version: str, tls: str) -> None:
    """Version, suite and the name that the client asked for, at both ends."""
    peers = Peers(targets, tmp_path, Spoken(tls, "AES256"))
    spoken = TwoProcesses(row(Build(version), targets.folder), peers)
    pids = (spoken.client.pid, spoken.server.pid)
    tap = taps.ready("--pid", ",".join(map(str, pids)), command=GOTLS)
    spoken.ask(PATH)
    spoken.finish()
    ended = tap.stop_clean()
    facts = [fact for pid in pids for fact in handshakes(ended.record, pid)]
    assert [(fact.version, fact.cipher) for fact in facts] == [AGREED[tls]] * 2
    assert [fact.sni for fact in facts] == ["localhost"] * 2
