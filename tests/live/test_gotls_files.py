# SPDX-License-Identifier: Apache-2.0
"""Files that are no Go program, are another's, lie about themselves, change while they run, or are loaded by others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from harness.golang import SHARED, Build
from harness.peers import Client, Peers, Spoken
from harness.require import require_command
from harness.tap import Ended, Taps
from harness.target import Target, Targets
from harness.truth import Truth

pytestmark = pytest.mark.timeout(600)  # the first of a version fetches its toolchain
GOTLS = ("gotls",)
EVERYDAY = Build(form="pie-stripped")


def refused(taps: Taps, path: object, *words: str) -> Ended:
    """One error line with a hint, and exit code 1."""
    ended = taps.run("gotls", "--elfpath", path, "--format", "none")
    ended.check_clean(code=1)
    error, *hints = ended.err.splitlines()
    assert error.startswith("plaintap: ")
    assert hints, ended.err
    assert all(hint.startswith("  hint: ") for hint in hints), ended.err
    for word in (str(path), *words):
        assert word in ended.err
    return ended


def changed(binary: Path, folder: Path, *changes: tuple[bytes, bytes]) -> Path:
    """A copy with other bytes in all these places."""
    content = binary.read_bytes()
    for old, new in changes:
        assert old in content
        assert len(old) == len(new)
        content = content.replace(old, new)
    copy = folder / binary.name
    copy.write_bytes(content)
    copy.chmod(0o755)
    return copy


def exchange(targets: Targets, folder: Path, binary: Path) -> tuple[Client, Peers]:
    """A client of this file, up, with a witness to speak to."""
    peers = Peers(targets, folder, Spoken("1.3"))
    port = peers.witness_server().port
    return peers.client([str(binary), "client", "127.0.0.1", str(port)]), peers


def speak(client: Client) -> list[Truth]:
    for line in ("connect", "get /of/this/file/3000", "close"):
        client.do(line)
    return client.finish()


def test_c_program(taps: Taps) -> None:
    refused(taps, require_command("env"), "Go")


def test_path_that_does_not_exist(taps: Taps) -> None:
    refused(taps, "/no/such/program", "no such file or directory")


def test_go_program_without_tls(targets: Targets, taps: Taps) -> None:
    refused(taps, EVERYDAY.program("hello", targets.folder, shared=()), "without crypto/tls")


def test_go_program_without_tls_is_seen(targets: Targets, taps: Taps) -> None:
    """Host-wide it is no error, and `-d` says what was seen."""
    program = targets.start([str(EVERYDAY.program("hello", targets.folder, shared=()))])
    program.expect("ready")
    tap = taps.ready("-d", "--pid", program.pid, command=GOTLS)
    ended = tap.stop_clean()
    assert "without crypto/tls" in ended.err, ended.err


@pytest.mark.matrix
def test_32_bit_program(targets: Targets, taps: Taps) -> None:
    binary = targets.folder / "peer386"
    EVERYDAY.go("build", "-o", binary, *SHARED, "peer.go", GOARCH="386")
    refused(taps, binary, "i386")


def test_program_that_is_cut(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    copy = tmp_path / "peer"
    content = EVERYDAY.program("peer", targets.folder).read_bytes()
    copy.write_bytes(content[: len(content) // 3])
    refused(taps, copy)


@pytest.mark.parametrize("value", [0x00, 0xFF, 0x41])
def test_forged_table_of_functions(targets: Targets, taps: Taps, tmp_path: Path, value: int) -> None:
    """Whatever it says, it is refused, and quickly."""
    binary = EVERYDAY.program("peer", targets.folder)
    content = bytearray(binary.read_bytes())
    begin = _section(binary, "gopclntab")
    # Behind the magic and the sizes: counts and offsets, then names and records.
    content[begin + 8 : begin + 200_000] = bytes([value]) * (200_000 - 8)
    copy = tmp_path / "peer"
    copy.write_bytes(content)
    refused(taps, copy)


def _section(binary: Path, name: str) -> int:
    listed = subprocess.run(
        [require_command("readelf"), "-SW", str(binary)], check=True, capture_output=True, text=True
    ).stdout
    line = next(line for line in listed.splitlines() if f"{name} " in line)
    return int(line.rpartition(" PROGBITS ")[2].split()[1], 16)


def test_newer_than_known(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """It is warned of, and read as the newest that is known."""
    binary = changed(EVERYDAY.program("peer", targets.folder), tmp_path, (b"go1.24.11", b"go1.99.11"))
    client, _ = exchange(targets, tmp_path, binary)
    comm = client.comm
    tap = taps.ready("--pid", client.pid, command=GOTLS)
    said = speak(client)
    ended = tap.stop_clean()
    assert "1.99.11" in ended.err
    ended.streams.check_all(said, comm=comm)


def test_replaced_while_it_runs(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """The old file's process and the new one's are both captured."""
    binary = tmp_path / "peer"
    shutil.copy(EVERYDAY.program("peer", targets.folder), binary)
    old, peers = exchange(targets, tmp_path, binary)
    comm = old.comm
    tap = taps.ready("-u", 0, "--comm", comm, "-d", command=GOTLS)
    seen = tap.err.count(f"attached {binary}")
    binary.unlink()
    shutil.copy(Build(form="stripped").program("peer", targets.folder), binary)
    port = old.command[3]
    new = peers.client([str(binary), "client", "127.0.0.1", port])
    tap.wait_for_err(f"attached {binary}", times=seen + 1)
    said = [*speak(old), *speak(new)]
    tap.stop_clean().streams.check_all(said, comm=comm)


def check_loaded(targets: Targets, taps: Taps, folder: Path, command: list[object]) -> None:
    """A program that loads Go and says by it what it is told."""
    server = Peers(targets, folder, Spoken("1.3")).witness_server()
    path = "/of/what/is/loaded/500"
    program = Target([*map(str, command), f"127.0.0.1:{server.port}", path])
    targets.started.append(program)
    program.expect("ready")
    comm = program.comm
    tap = taps.ready("--pid", program.pid, command=GOTLS)
    program.go()
    program.expect("done")
    assert program.wait() == 0, program.errors
    (truth,) = server.finish()
    streams = tap.stop_clean().streams
    (stream,) = streams.of(program.pid)
    assert stream.comm == comm
    assert stream.written.bytes.startswith(f"GET {path} ".encode())
    assert len(stream.written.bytes) == truth.read.count
    assert (stream.local, stream.remote) == (truth.remote, truth.local)
    assert stream.read.bytes.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.matrix
def test_plugin(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    build = Build(cgo=True)
    plugin = targets.folder / "speak.so"
    build.go("build", "-buildmode=plugin", "-o", plugin, "speak.go")
    check_loaded(targets, taps, tmp_path, [build.program("loader", targets.folder, shared=()), plugin])


@pytest.mark.matrix
@pytest.mark.parametrize("version", ["1.19", "1.24", "1.27"])
def test_c_library_made_of_go(targets: Targets, taps: Taps, tmp_path: Path, version: str) -> None:
    build = Build(version, cgo=True)
    library = targets.folder / f"speak{version}.so"
    build.go("build", "-buildmode=c-shared", "-o", library, "speak.go")
    check_loaded(targets, taps, tmp_path, [*targets.command("load_go.py"), library])


def test_process_that_is_not_go(targets: Targets, taps: Taps) -> None:
    """Nothing to capture is no error: it may load something."""
    server = targets.server()
    taps.ready("--pid", server.pid, command=GOTLS).stop_clean()
