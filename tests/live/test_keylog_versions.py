# SPDX-License-Identifier: Apache-2.0
"""Secrets and versions: a name nobody knows, a string that lies, a struct that is another, a library loaded later."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import system_libssl
from harness.keylog import KeyLog
from harness.libraries import ROWS, Row, python_words
from harness.pair import Pair, keep
from harness.peers import Peers, Spoken
from harness.tap import Taps
from harness.target import Targets


@pytest.mark.parametrize(("version", "near"), [("1.9.1", "1.1.1w"), ("1.1.1-nonsense", "1.1.1a")])
def test_version_unknown(taps: Taps, version: str, near: str) -> None:
    """The nearest names are in the message."""
    ended = taps.run("tls", "--ssl_version", version, "-m", "keylog", "-k", "-", "--duration", "100ms")
    ended.check_clean(code=2)
    assert repr(version) in ended.err
    assert near in ended.err


@pytest.mark.parametrize("lie", ["1.1.1w", "3.5.0"])
def test_version_string_that_lies(targets: Targets, taps: Taps, tmp_path: Path, lie: str) -> None:
    """No wrong secret is written: either the right ones, or it is said why there are none."""
    libssl = system_libssl(targets.folder)
    libcrypto = libssl.with_name(libssl.name.replace("ssl", "crypto"))
    for library in (libssl, libcrypto):
        content = library.read_bytes()
        lying = re.sub(
            rb"(?<=OpenSSL )3\.\d\.\d+", lambda found: lie.encode().ljust(len(found[0]))[: len(found[0])], content
        )
        assert len(lying) == len(content)
        (tmp_path / library.name).write_bytes(lying)
    row = Row(
        "lying",
        lambda: python_words("foreign"),
        lambda: ("--libssl", str(tmp_path / libssl.name), "--libcrypto", str(tmp_path / libcrypto.name)),
    )
    pair = Pair(targets, tmp_path, tls="1.3", row=row)
    keylog = tmp_path / "keylog"
    tap = keep(taps, pair.client.pid, keylog)
    pair.do("connect", "get /a/1000", "close")
    said = pair.finish()
    ended = tap.stop()
    ended.check_clean()
    ended.streams.check_all(said, comm=pair.comm)
    secrets = set(KeyLog.read(keylog).secrets) if keylog.exists() else set()
    assert secrets <= set(pair.witness.secrets)
    assert secrets == set(pair.witness.secrets) or "layout" in ended.err, ended.err


def test_a_library_loaded_later(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """A copy that nobody had mapped when the tool started, with its libcrypto elsewhere."""
    libssl = system_libssl(targets.folder)
    copy = tmp_path / libssl.name
    shutil.copy(libssl, copy)
    row = Row("later", lambda: python_words("foreign"), lambda: ("--libssl", str(copy)))
    peers = Peers(targets, tmp_path, Spoken("1.3"))
    server = peers.witness_server()
    keylog = tmp_path / "keylog"
    tap = taps.ready("-d", "-u", os.getuid(), "-m", "text,keylog", "-k", keylog)
    client = peers.row_client(row, server.port)
    tap.wait_for_err(f"attached {copy}")
    comm = client.comm
    for line in ("connect", "get /a/1000", "close"):
        client.do(line)
    said = client.finish()
    server.finish()
    streams = tap.stop_clean().streams
    streams.check_all(said, comm=comm)
    found = KeyLog.read(keylog)
    found.check_no_duplicates()
    assert set(found.secrets) >= set(KeyLog.read(peers.keylog).secrets)


@pytest.mark.matrix
def test_quic_object(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """An `SSL *` that is another struct: nothing is read from it as if it were a connection's."""
    witness = tmp_path / "witness.keylog"
    newer = ROWS["libssl3t64"]
    loader = list(newer.words())[: -len(python_words("foreign"))]
    program = targets.ready("quic_pair.py", "libssl.so.3", targets.certificate, targets.key, witness, before=loader)
    keylog = tmp_path / "keylog"
    tap = keep(taps, program.pid, keylog)
    program.go()
    assert program.wait() == 0, program.errors
    told = json.loads(program.output)
    ended = tap.stop()
    ended.check_clean()
    secrets = set(KeyLog.read(keylog).secrets) if keylog.exists() else set()
    assert secrets <= set(KeyLog.read(witness).secrets)
    streams = ended.streams.of(program.pid)
    assert sorted(len(stream.written.bytes) for stream in streams) == sorted((told["read"], told["written"]))
