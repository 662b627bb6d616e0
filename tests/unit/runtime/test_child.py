# SPDX-License-Identifier: Apache-2.0
"""The command of `plaintap run` and the guard that outlives the tool, with real processes."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plaintap.runtime.child import NOT_EXECUTABLE, NOT_FOUND, Child, CommandError, Guard, release, require_command
from plaintap.runtime.processes import process_is_alive

WITHIN_S = 10.0
POLL_S = 0.005

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        select.select([], [], [], POLL_S)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def finished(child: Child) -> Child:
    child.go()
    child.wait()
    return child


@pytest.mark.parametrize(
    ("shell", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_its_status_is_told_as_a_shell_does(shell: str, code: int) -> None:
    child = finished(Child(["sh", "-c", shell]))
    child.check_executed()
    assert child.ended()
    assert child.exit_code() == code


def test_it_waits_until_it_is_told_to_go(tmp_path: Path) -> None:
    made = tmp_path / "made"
    child = Child(["touch", str(made)])
    wait_until(lambda: state(child.pid) == "S")
    assert not child.ended()
    assert not made.exists()
    finished(child)
    assert made.exists()
    child.check_executed()


def test_it_ends_unexecuted_when_nobody_goes_on(tmp_path: Path) -> None:
    made = tmp_path / "made"
    child = Child(["touch", str(made)])
    child.abandon()
    assert not process_is_alive(child.pid)
    child.abandon()
    assert not made.exists()


def test_abandoning_one_that_runs_leaves_it_alone() -> None:
    child = Child(["sleep", "60"])
    child.go()
    child.abandon()
    assert not child.ended()
    child.send(signal.SIGKILL)
    child.wait()
    assert child.exit_code() == 137


@pytest.mark.parametrize(
    ("mode", "code", "why"), [(None, 127, "no such file or directory"), (0o644, 126, "permission denied")]
)
def test_what_cannot_be_executed(tmp_path: Path, mode: int | None, code: int, why: str) -> None:
    program = tmp_path / "program"
    if mode is not None:
        program.write_text("no program")
        program.chmod(mode)
    child = finished(Child([str(program)]))
    with pytest.raises(CommandError, match=f"cannot run {program}: {why}") as raised:
        child.check_executed()
    assert raised.value.exit_code == code


def test_one_that_was_killed_before_it_went(tmp_path: Path) -> None:
    made = tmp_path / "made"
    child = Child(["touch", str(made)])
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: state(child.pid) == "Z")
    finished(child)
    child.check_executed()
    assert child.exit_code() == 137
    assert not made.exists()


def test_signals_that_python_ignores_are_not_ignored_by_it() -> None:
    """SIGPIPE and SIGXFSZ: `yes | head` would never end."""
    shell = "while read -r name mask; do test $name != SigIgn: || exit $((0x$mask >> 12 & 1)); done </proc/self/status"
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    assert finished(Child(["sh", "-c", shell])).exit_code() == 0


def test_a_signal_to_one_that_is_over_reaches_nobody() -> None:
    child = finished(Child(["true"]))
    child.send(signal.SIGKILL)
    assert child.exit_code() == 0


def test_none_of_our_pipes_reaches_the_command(tmp_path: Path) -> None:
    listed = tmp_path / "listed"
    child = Child(["sh", "-c", f"ls -l /proc/self/fd >{listed}"])
    ours = {str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in (child._go, child._failed)}
    finished(child)
    assert {pipe for pipe in ours if pipe in listed.read_text()} == set()


# The guard.


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The pid of a child of ours that sleeps."""
    child = Child(["sleep", "60"])
    child.go()
    wait_until(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n")
    yield child.pid
    child.send(signal.SIGKILL)
    child.wait()


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T")


def test_a_guard_that_is_closed_leaves_who_is_stopped(sleeper: int) -> None:
    """Whoever is stopped then, the user stopped."""
    stop(sleeper)
    Guard(sleeper).close()
    assert state(sleeper) == "T"


def test_a_guard_whose_tool_was_killed_releases_who_was_held(sleeper: int) -> None:
    stop(sleeper)
    guarding, told = os.pipe()
    tool = os.fork()
    if tool == 0:  # the tool, killed as it stands
        guard = Guard(sleeper)
        os.write(told, f"{guard._pid}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(tool, 0)
    os.close(told)
    guard_pid = int(os.read(guarding, 16))
    os.close(guarding)
    wait_until(lambda: state(sleeper) == "S")
    wait_until(lambda: not process_is_alive(guard_pid))


def test_a_guard_releases_only_descendants(sleeper: int) -> None:
    other = Child(["sleep", "60"])
    other.go()
    stop(other.pid)
    guard = Guard(sleeper)
    os.close(guard._alive)
    os.waitpid(guard._pid, 0)
    assert state(other.pid) == "T"
    other.send(signal.SIGKILL)
    other.wait()


def test_a_guard_keeps_nobodys_descriptors(sleeper: int) -> None:
    """A pipe of the tool's ends when the tool ends, not when its guard does."""
    read_end, write_end = os.pipe()
    guard = Guard(sleeper)
    os.close(write_end)
    wait_until(lambda: len(list(Path(f"/proc/{guard._pid}/fd").iterdir())) <= 4)
    assert os.read(read_end, 1) == b""
    os.close(read_end)
    guard.close()


def test_a_guard_is_not_in_the_terminals_group(sleeper: int) -> None:
    guard = Guard(sleeper)
    wait_until(lambda: os.getsid(guard._pid) == guard._pid)
    guard.close()


def test_releasing_somebody_who_is_gone() -> None:
    child = finished(Child(["true"]))
    release(child.pid)


@pytest.mark.parametrize("name", ["no-such-command", "./no-such-command", ""])
def test_a_command_that_is_not_there_is_refused_at_once(name: str) -> None:
    with pytest.raises(CommandError, match="no such file or directory") as caught:
        require_command(name)
    assert caught.value.exit_code == NOT_FOUND


def test_a_command_that_cannot_be_executed_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "letter").write_text("dear")
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("letter", str(tmp_path / "letter"), str(tmp_path)):
        with pytest.raises(CommandError, match="permission denied") as caught:
            require_command(name)
        assert caught.value.exit_code == NOT_EXECUTABLE
    (tmp_path / "letter").chmod(0o755)
    require_command("letter")
