# SPDX-License-Identifier: Apache-2.0
"""What makes a file that file: not its inode number, which is used again, nor the build-id it carries."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.require import require, require_command
from harness.tap import Taps
from harness.target import PROGRAMS, Target, Targets
from harness.truth import parse

TRIES = 200
WORDS = "these words passed through a library that is none"
BUILD_ID = re.compile(r"Build ID: ([0-9a-f]+)")


@pytest.fixture
def home(shared_folder: Path) -> Iterator[Path]:
    folder = shared_folder / "files"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def copy_with_inode(source: Path, folder: Path, inode: int) -> Path:
    """A copy that has got this inode number, which is free again; those that got another are gone."""
    holders = []
    for number in range(TRIES):
        path = folder / f"copy{number}"
        path.touch()
        if path.stat().st_ino == inode:
            shutil.copyfile(source, path)
            copy = folder / "libssl.so.3"
            path.rename(copy)
            break
        holders.append(path)
    for path in holders:
        path.unlink()
    require(len(holders) < TRIES, f"the file system of {folder} gave {TRIES} other inode numbers")
    return copy


def start_client(targets: Targets, library: Path) -> Target:
    command = targets.command("transfer", *targets.server().address, 3000, 3000)
    client = targets.start(command, environment={"LD_LIBRARY_PATH": str(library.parent)})
    client.expect("ready")
    return client


def test_inode_number_of_another_file_that_was_looked_at(
    targets: Targets, taps: Taps, library_copy: Path, home: Path
) -> None:
    """A program ran from the first file; the library that has the number now is looked at nevertheless."""
    program = home / "sleeper"
    shutil.copy(require_command("cat"), program)
    tap = taps.ready("--comm", "transfer", "-d")
    first = targets.start([str(program)])
    first.say("looked at")
    assert first.line() == b"looked at\n"
    assert first.wait() == 0
    inode = program.stat().st_ino
    program.unlink()
    library = copy_with_inode(library_copy, home, inode)
    client = start_client(targets, library)
    tap.wait_for_err(f"attached {library}")
    client.go()
    said = client.finish()
    tap.stop_clean().streams.check_all(said, comm="transfer")


# FIRST LIBRARY SECOND CLIENT...: runs FIRST, removes it, makes SECOND of LIBRARY with its inode number, runs CLIENT.
RUN_AND_REPLACE = f"""
import os, shutil, subprocess, sys
first, library, second, *client = sys.argv[1:]
subprocess.run([first], stdin=subprocess.DEVNULL, check=True)
inode = os.stat(first).st_ino
os.unlink(first)
for number in range({TRIES}):
    path = second + str(number)
    with open(path, "wb"):
        pass
    if os.stat(path).st_ino == inode:
        shutil.copyfile(library, path)
        os.rename(path, second)
        os.execve(client[0], client, {{**os.environ, "LD_LIBRARY_PATH": os.path.dirname(second)}})
print("other numbers only")
"""


def test_inode_number_of_another_file_under_run(targets: Targets, taps: Taps, library_copy: Path, home: Path) -> None:
    """Whoever maps the second file is held until it is attached, though the first was looked at."""
    program, library = home / "sleeper", home / "libssl.so.3"
    shutil.copy(require_command("cat"), program)
    server = targets.server()
    client = targets.command("transfer", *server.address, 3000, 3000)
    script = [sys.executable, "-I", "-c", RUN_AND_REPLACE, program, library_copy, library, *client]
    ended = taps.run_command(script, "-d")
    require("other numbers only" not in ended.out, f"the file system of {home} gave {TRIES} other inode numbers")
    ended.check_clean()
    assert ended.summary.endswith("nothing lost"), ended.err
    assert f"attached {library}" in ended.err
    ended.streams.check_all(parse(ended.out.encode()), comm="transfer")


def build_id(library: Path) -> str:
    readelf = require_command("readelf")
    output = subprocess.run([readelf, "-n", library], check=True, capture_output=True, text=True).stdout
    found = BUILD_ID.search(output)
    require(found, f"{library} has no build-id")
    assert found
    return found[1]


def function_addresses(library: Path) -> dict[str, int]:
    nm = require_command("nm")
    output = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    return {name.split("@")[0]: int(address, 16) for address, _, name in map(str.split, output.splitlines())}


def called_from(library: Path, address: int) -> set[int]:
    """The targets of the calls and jumps in a function's first bytes, as objdump reads them."""
    objdump = require_command("objdump")
    bounds = (f"--start-address={address:#x}", f"--stop-address={address + 128:#x}")
    output = subprocess.run([objdump, "-d", *bounds, library], check=True, capture_output=True, text=True).stdout
    return {int(target, 16) for target in re.findall(r"\b(?:call|jmp) +([0-9a-f]+)\b", output)}


def attached_addresses(err: str, library: Path) -> dict[str, int]:
    """What -d says of a file: function and address of each of its probes."""
    found = re.findall(rf"attached {re.escape(str(library))}: (\w+) at (0x[0-9a-f]+)", err)
    assert found, err
    return {name: int(address, 16) for name, address in found}


@pytest.mark.parametrize("order", ["library first", "library last"])
def test_build_id_of_another_file(targets: Targets, taps: Taps, library_copy: Path, home: Path, order: str) -> None:
    """Each is probed where its own code has its functions, and both are captured."""
    foreign = home / "libssl-foreign.so"
    flags = ["-O1", "-shared", "-fPIC", f"-Wl,--build-id=0x{build_id(library_copy)}"]
    subprocess.run(["cc", *flags, "-o", foreign, PROGRAMS / "foreign.c"], check=True)
    assert build_id(foreign) == build_id(library_copy)
    tap = taps.ready("-d")
    clients: list[Target] = []

    def start_foreign() -> None:
        clients.append(targets.ready("load_foreign", foreign, WORDS))
        tap.wait_for_err(f"attached {foreign}: SSL_write")

    def start_library() -> None:
        clients.append(start_client(targets, library_copy))
        tap.wait_for_err(f"attached {library_copy}", times=2)

    steps = (start_library, start_foreign) if order == "library first" else (start_foreign, start_library)
    for step in steps:
        step()
    for client in clients:
        client.go()
    said = [truth for client in clients for truth in client.finish()]
    ended = tap.stop_clean()
    probed = attached_addresses(ended.err, foreign)
    addresses = function_addresses(foreign)
    assert {"SSL_read", "SSL_write"} <= probed.keys()
    assert probed == {name: addresses[name] for name in probed}
    inside = attached_addresses(ended.err, library_copy)
    addresses = function_addresses(library_copy)
    for public, word in (("SSL_read", "read"), ("SSL_write", "write")):
        (place,) = [address for name, address in inside.items() if word in name]
        assert place == addresses[public] or place in called_from(library_copy, addresses[public])
    assert inside["SSL_do_handshake"] == addresses["SSL_do_handshake"]
    for truth in said:
        ended.streams.check(truth, comm="transfer")
    (stream,) = [stream for stream in ended.streams.all if stream.comm == "load_foreign"]
    assert stream.written.bytes == stream.read.bytes == WORDS.encode()
    assert (stream.written.gaps, stream.read.gaps) == ([], [])
