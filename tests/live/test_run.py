# SPDX-License-Identifier: Apache-2.0
"""`plaintap run`: the command, its descendants, its terminal, its signals and its exit status."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from harness.require import require_command
from harness.streams import Streams
from harness.tap import Taps
from harness.target import Targets, read_line
from harness.truth import parse

MARKER = "this was said by somebody who is not captured"


def check_run(targets: Targets, taps: Taps, shell: str, *, environ: dict[str, str] | None = None) -> Streams:
    """`shell` runs one of our clients against a server; its `$CLIENT` has host and port in it already.

    Asserts that everything each client said was captured from its first byte, and a bystander was not.
    """
    server = targets.server()
    bystander = targets.bystander(MARKER)
    bystander.speak()
    words = {"HOST": server.host, "PORT": str(server.port), **(environ or {})}
    ended = taps.run_command(["sh", "-c", shell], environ=words)
    bystander.check_spoke()
    ended.check_clean()
    assert ended.summary.endswith("nothing lost"), ended.err
    said = parse(ended.out.encode())
    served = server.finish()
    assert said
    assert {truth.other_end(server.pid) for truth in said} == set(served)
    streams = ended.streams
    for truth in said:
        streams.check(truth, comm="transfer")
    assert streams.pids == {truth.pid for truth in said}
    bystander.check_absent(ended.record)
    return streams


@pytest.fixture
def fresh_program(targets: Targets, library_copy: Path) -> tuple[Path, dict[str, str]]:
    """A copy of a program and of its library that no process has ever mapped, and its environment."""
    program = library_copy.parent / "transfer"
    shutil.copy(targets.compiled("transfer"), program)
    return program, {"CLIENT": str(program), "LIBRARIES": str(library_copy.parent)}


def test_grandchild_with_a_library_never_mapped_before(
    targets: Targets, taps: Taps, fresh_program: tuple[Path, dict[str, str]]
) -> None:
    _, environ = fresh_program
    shell = "sh -c 'LD_LIBRARY_PATH=$LIBRARIES $CLIENT $HOST $PORT 3000 40000 mixed 2; true'; true"
    check_run(targets, taps, shell, environ=environ)


def test_child_itself_with_a_library_never_mapped_before(
    targets: Targets, taps: Taps, fresh_program: tuple[Path, dict[str, str]]
) -> None:
    _, environ = fresh_program
    check_run(targets, taps, "LD_LIBRARY_PATH=$LIBRARIES exec $CLIENT $HOST $PORT 1 1", environ=environ)


def test_many_descendants_at_once(targets: Targets, taps: Taps, fresh_program: tuple[Path, dict[str, str]]) -> None:
    _, environ = fresh_program
    shell = (
        "for n in 1 2 3 4 5 6 7 8; do (LD_LIBRARY_PATH=$LIBRARIES $CLIENT $HOST $PORT 2000 2000 plain 3) & done; wait"
    )
    streams = check_run(targets, taps, shell, environ=environ)
    assert len(streams.pids) == 8


def test_library_of_the_host(targets: Targets, taps: Taps) -> None:
    check_run(targets, taps, "$CLIENT $HOST $PORT 500 500", environ={"CLIENT": str(targets.compiled("transfer"))})


@pytest.mark.parametrize(
    ("shell", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_exit_status_is_the_commands(taps: Taps, shell: str, code: int) -> None:
    taps.run_command(["sh", "-c", shell]).check_clean(code=code)


def test_exit_status_with_strict(taps: Taps) -> None:
    taps.run_command(["sh", "-c", "exit 7"], "--strict").check_clean(code=7)
    taps.run_command(["true"], "--strict").check_clean(code=0)


def test_command_that_does_not_exist(taps: Taps) -> None:
    ended = taps.run_command(["plaintap-test-no-such-command"])
    ended.check_clean(code=127)
    assert "cannot run plaintap-test-no-such-command: no such file or directory" in ended.err


def test_command_that_cannot_be_executed(taps: Taps, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    ended = taps.run_command([text])
    ended.check_clean(code=126)
    assert f"cannot run {text}: permission denied" in ended.err


def test_no_command(taps: Taps) -> None:
    ended = taps.run("run")
    ended.check_clean(code=2)
    assert "needs a command" in ended.err


def test_standard_input_passes(taps: Taps) -> None:
    tap = taps.start("run", "--format", "none", "--", "sh", "-c", "read word; echo got $word", stdin=subprocess.PIPE)
    tap.say("something")
    ended = tap.wait()
    ended.check_clean()
    assert ended.out == "got something\n"


def test_the_environment_and_folder_pass(taps: Taps) -> None:
    ended = taps.run_command(["sh", "-c", "echo $SOMETHING; pwd"], environ={"SOMETHING": "passed"})
    assert ended.out.split() == ["passed", str(Path.cwd())]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_pass(taps: Taps, number: signal.Signals) -> None:
    """What the command makes of it counts."""
    shell = "trap 'exit 5' TERM HUP; echo up >&2; while :; do read line; done"
    tap = taps.start("run", "--format", "none", "--", "sh", "-c", shell, stdin=subprocess.PIPE)
    tap.wait_for_err("up\n")
    tap.send(number)
    ended = tap.wait()
    tap.say("")
    ended.check_clean(code=5)


def test_terminal(taps: Taps) -> None:
    """The command has the terminal, is in its foreground, and what is typed there reaches it."""
    master, slave = os.openpty()
    shell = "test -t 0 && test -t 1 && tty >/dev/null && echo on a terminal; read word; echo got $word"
    before = (require_command("setsid"), "--ctty", "--wait")
    try:
        words = ["run", "--format", "none", "--", "sh", "-c", shell]
        tap = taps.start(*words, before=before, stdin=slave, stdout=slave)
        os.close(slave)
        assert read_line(master, what="the command") == b"on a terminal\r\n"
        os.write(master, b"something\n")
        assert read_line(master, what="the terminal's echo") == b"something\r\n"
        assert read_line(master, what="the command") == b"got something\r\n"
        tap.wait().check_clean()
    finally:
        os.close(master)


def test_interrupt_from_the_terminal(taps: Taps) -> None:
    """Ctrl-C goes to both; the command decides, and its status is the end."""
    master, slave = os.openpty()
    shell = "trap 'exit 3' INT; echo up; while :; do read line; done"
    before = (require_command("setsid"), "--ctty", "--wait")
    try:
        words = ["run", "--format", "none", "--", "sh", "-c", shell]
        tap = taps.start(*words, before=before, stdin=slave, stdout=slave)
        os.close(slave)
        assert read_line(master, what="the command") == b"up\r\n"
        os.write(master, b"\x03")
        ended = tap.wait()
        ended.check_clean(code=3)
    finally:
        os.close(master)
    assert re.search(r"nothing lost$", ended.summary)


def test_descendant_that_outlives_the_command(taps: Taps) -> None:
    """The capture ends with the command; what goes on without it is not stopped, nor held."""
    input_read, input_write = os.pipe()
    try:
        shell = "exec 3<&0; (read line <&3) >/dev/null 2>&1 & echo $!"
        tap = taps.start("run", "--format", "none", "--", "sh", "-c", shell, stdin=input_read)
        ended = tap.wait()
        ended.check_clean()
        state = Path(f"/proc/{int(ended.out)}/stat").read_text().rpartition(") ")[2][0]
        assert state in {"S", "R"}
    finally:
        os.close(input_write)
        os.close(input_read)
