# SPDX-License-Identifier: Apache-2.0
"""Every library of the table, by version and cipher: its plaintext, its sockets, and keys that decrypt."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.keylog import KeyLog
from harness.libraries import ROWS
from harness.packets import Message, captured
from harness.peers import CIPHERS, Peers, Spoken, exchange
from harness.tap import Taps
from harness.target import Targets

# The rows of `make test`; all others come with the matrix.
EVERYDAY_ROWS = {"libssl-of-this-host", "node-20.18.0", "psycopg2-2.9.13"}
EVERYDAY_CIPHER = "AES256"
BODY_BYTES = 20000
PATH = f"/of/the/table/{BODY_BYTES}"
BODY = (PATH.encode() * BODY_BYTES)[:BODY_BYTES]

TABLE = [
    (name, tls, cipher)
    if name in EVERYDAY_ROWS and cipher == EVERYDAY_CIPHER
    else pytest.param(name, tls, cipher, marks=pytest.mark.matrix)
    for name in ROWS
    for tls, cipher in CIPHERS
]


def check_messages(messages: list[Message]) -> None:
    """Asserts that tshark's own HTTP parser found just the exchanges that took place."""
    assert [(message.method, message.uri) for message in messages if message.method] == [("GET", PATH)] * 2
    answers = [message for message in messages if message.status]
    assert [answer.status for answer in answers] == ["200"] * 2
    assert [answer.content for answer in answers] == [BODY] * 2


@pytest.mark.parametrize(("name", "tls", "cipher"), TABLE)
def test_row(targets: Targets, taps: Taps, tmp_path: Path, name: str, tls: str, cipher: str) -> None:
    """A client and a server with this library, each with a witness at the other end."""
    peers = Peers(targets, tmp_path, Spoken(tls, cipher))
    spoken = exchange(ROWS[name], peers)
    comms = {target.pid: target.comm for target in spoken.targets}
    keylog = tmp_path / "keylog"
    pids = ",".join(map(str, comms))
    tap = taps.ready("--pid", pids, "-m", "text,keylog", "-k", keylog, "--mapsize", 32768)
    with captured(tmp_path / "packets", spoken.ports) as capture:
        spoken.ask(PATH)
        said = spoken.finish()
        packets = capture.stop()
    streams = tap.stop_clean().streams
    for pid, comm in comms.items():
        streams.check_all([truth for truth in said if truth.pid == pid], comm=comm)
    assert streams.pids == set(comms), "the witnesses are not to be captured"
    KeyLog.read(keylog).check_same(KeyLog.read(peers.keylog))
    packets.check(keylog, said)
    check_messages(packets.messages(keylog))


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_what_decrypts_is_the_key_log(targets: Targets, tmp_path: Path, tls: str) -> None:
    """With another program's key log this host's tshark shows every byte; with that of somebody else nothing."""
    peers = Peers(targets, tmp_path, Spoken(tls, EVERYDAY_CIPHER))
    spoken = exchange(ROWS["libssl-of-this-host"], peers)
    with captured(tmp_path / "packets", spoken.ports) as capture:
        spoken.ask(PATH)
        said = spoken.finish()
        packets = capture.stop()
    KeyLog.read(peers.keylog).check_complete(connections=2)
    packets.check(peers.keylog, said)
    check_messages(packets.messages(peers.keylog))
    other = tmp_path / "other"
    other.write_text("".join(f"{word} {'ab' * 32} {'cd' * 48}\n" for word in ("CLIENT_RANDOM", "EXPORTER_SECRET")))
    assert [conversation.sent for conversation in packets.conversations(other)] == [b"", b""]
    assert packets.messages(other) == []
