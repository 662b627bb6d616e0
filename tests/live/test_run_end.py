# SPDX-License-Identifier: Apache-2.0
"""How `plaintap run` and its command part: signals, limits, and a tool that is killed while somebody is held."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness.require import require_command
from harness.tap import POLL_S, Tap, Taps
from harness.target import Targets
from harness.truth import parse

WITHIN_S = 10.0
TRAPS = "trap 'echo INT >&2' INT; trap 'echo QUIT >&2' QUIT; trap 'echo USR1 >&2' USR1; trap 'echo USR2 >&2' USR2; "
LISTENS = TRAPS + 'echo up >&2; while read -r word; test "$word" != end; do :; done; exit 4'


def state(pid: int) -> str:
    """The letter of /proc/PID/stat; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""


def wait_for_state(pid: int, wanted: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while (now := state(pid)) != wanted:
        assert time.monotonic() < deadline, f"{pid} is {now!r}, never {wanted!r}"
        select.select([], [], [], POLL_S)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def command_of(tap: Tap) -> int:
    """The pid of the command, once it runs: a child of the tool that is no Python any more."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        for child in children_of(tap.pid):
            if comm(child) in {"sh", "dash", "bash", "sleep"}:
                return child
        assert time.monotonic() < deadline, tap.err
        select.select([], [], [], POLL_S)


@pytest.mark.parametrize("name", ["INT", "QUIT", "USR1", "USR2"])
def test_signals_sent_to_the_tool_reach_the_command(taps: Taps, name: str) -> None:
    """Without a terminal nobody else tells it; the tool itself goes on."""
    before = (require_command("setsid"), "--wait")
    tap = taps.start("run", "--format", "none", "--", "sh", "-c", LISTENS, stdin=subprocess.PIPE, before=before)
    tap.wait_for_err("up\n")
    (tool,) = children_of(tap.pid) if comm(tap.pid) == "setsid" else [tap.pid]
    os.kill(tool, signal.Signals[f"SIG{name}"])
    tap.wait_for_err(f"{name}\n")
    tap.say("end")
    ended = tap.wait()
    ended.check_clean(code=4)
    assert [line for line in ended.err.splitlines() if line in {"INT", "QUIT", "USR1", "USR2"}] == [name]


@pytest.mark.parametrize(("name", "typed"), [("INT", b"\x03"), ("QUIT", b"\x1c")])
def test_what_is_typed_reaches_the_command_once(taps: Taps, name: str, typed: bytes) -> None:
    """The terminal sends it to the whole group; the tool does not send it again."""
    master, slave = os.openpty()
    before = (require_command("setsid"), "--ctty", "--wait")
    try:
        tap = taps.start("run", "--format", "none", "--", "sh", "-c", LISTENS, before=before, stdin=slave)
        os.close(slave)
        tap.wait_for_err("up\n")
        os.write(master, typed)
        tap.wait_for_err(f"{name}\n")
        os.write(master, b"end\n")
        ended = tap.wait()
    finally:
        os.close(master)
    ended.check_clean(code=4)
    # The command reads "end" only after its traps ran, so a second one would be there too.
    assert ended.err.splitlines().count(name) == 1


def test_duration_ends_the_capture_and_not_the_command(taps: Taps) -> None:
    """It goes on until it is done, is not stopped, and its exit status counts."""
    tap = taps.start(
        "run", "--format", "none", "--duration", "100ms", "--", "sh", "-c", "read word; exit 9", stdin=subprocess.PIPE
    )
    tap.wait_for_err("nothing lost\n")
    assert tap.process.poll() is None
    assert state(command_of(tap)) == "S"
    tap.say("go")
    tap.wait().check_clean(code=9)


def test_signals_pass_after_the_capture_ended(taps: Taps) -> None:
    tap = taps.start("run", "--format", "none", "--duration", "100ms", "--", "sh", "-c", LISTENS, stdin=subprocess.PIPE)
    tap.wait_for_err("nothing lost\n")
    tap.send(signal.SIGUSR1)
    tap.wait_for_err("USR1\n")
    tap.send(signal.SIGTERM)
    tap.wait().check_clean(code=128 + signal.SIGTERM)


def test_capture_that_ends_while_the_command_starts_programs(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """Whoever is about to be held in the very moment it ends is not left stopped."""
    source = targets.compiled("load_foreign")
    shell = (
        'n=0; while test $n -lt 150; do cp "$0" "$1/$n"; "$1/$n"; rm "$1/$n"; n=$((n + 1)); done; echo did $n; exit 6'
    )
    tap = taps.start("run", "--format", "none", "--duration", "150ms", "--", "sh", "-c", shell, source, tmp_path)
    ended = tap.wait()
    ended.check_clean(code=6)
    assert ended.out == "did 150\n"


def test_command_killed_before_it_executes(taps: Taps, tmp_path: Path) -> None:
    """Its status is told as that of any command; nothing was executed."""
    made = tmp_path / "made"
    tap = taps.start("run", "--format", "none", "-d", "--", "touch", made)
    deadline = time.monotonic() + WITHIN_S
    while not (waiting := children_of(tap.pid)):
        assert time.monotonic() < deadline, (state(tap.pid), tap.err)
        select.select([], [], [], POLL_S)
    os.kill(waiting[0], signal.SIGKILL)
    tap.wait().check_clean(code=128 + signal.SIGKILL)
    assert not made.exists()


def test_only_the_named_library(targets: Targets, taps: Taps, library_copy: Path, shared_folder: Path) -> None:
    """A command that maps another one is not captured through it, and not held for ever either."""
    other = shared_folder / "only" / "libssl.so.3"
    other.parent.mkdir()
    shutil.copy(library_copy, other)
    server = targets.server()
    client = " ".join(targets.command("transfer", *server.address, 3000, 3000))
    shell = f"LD_LIBRARY_PATH={library_copy.parent} {client}; LD_LIBRARY_PATH={other.parent} {client}"
    ended = taps.run_command(["sh", "-c", shell], "--libssl", library_copy, "-d")
    shutil.rmtree(other.parent)
    ended.check_clean()
    wanted, unwanted = parse(ended.out.encode())
    assert ended.summary.endswith("nothing lost"), ended.err
    ended.streams.check_all([wanted], comm="transfer")
    ended.streams.check_absent(unwanted.pid)
    assert f"attached {library_copy}" in ended.err
    assert f"attached {other}" not in ended.err


@pytest.fixture
def held(targets: Targets, taps: Taps, tmp_path: Path) -> tuple[Tap, int]:
    """A tool that is stopped, and the pid of a program it holds."""
    program = tmp_path / "fresh"
    shutil.copy(targets.compiled("load_foreign"), program)
    shell = 'echo up >&2; read -r line; "$0"; echo status $?; read -r line'
    words = ("run", "--format", "none", "--", "sh", "-c", shell, program)
    tap = taps.start(*words, stdin=subprocess.PIPE)
    tap.wait_for_err("up\n")
    command = command_of(tap)
    tap.send(signal.SIGSTOP)
    wait_for_state(tap.pid, "T")
    tap.tell("start it")
    deadline = time.monotonic() + WITHIN_S
    while not (pids := children_of(command)):
        assert time.monotonic() < deadline
        select.select([], [], [], POLL_S)
    wait_for_state(pids[0], "T")
    return tap, pids[0]


def test_killed_while_somebody_is_held(held: tuple[Tap, int]) -> None:
    """He goes on, and nothing of ours stays."""
    tap, pid = held
    command = next(child for child in children_of(tap.pid) if comm(child) == "sh")
    ours = set(children_of(tap.pid)) - {command}
    tap.send(signal.SIGKILL)
    tap.process.wait()
    deadline = time.monotonic() + WITHIN_S
    while state(pid) == "T" or any(state(each) not in {"", "Z"} for each in ours):
        assert time.monotonic() < deadline, f"held: {state(pid)!r}, ours: {[state(each) for each in ours]}"
        select.select([], [], [], POLL_S)
    while "status 99\n" not in tap.out:
        assert time.monotonic() < deadline, tap.out
        select.select([], [], [], POLL_S)
    tap.say("end")
    wait_until_gone(command)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + WITHIN_S
    while state(pid) not in {"", "Z"}:
        assert time.monotonic() < deadline
        select.select([], [], [], POLL_S)


def test_continued_while_somebody_is_held(held: tuple[Tap, int]) -> None:
    tap, pid = held
    tap.send(signal.SIGCONT)
    wait_until_gone(pid)
    tap.say("end")
    ended = tap.wait()
    ended.check_clean()
    assert ended.out == "status 99\n"
