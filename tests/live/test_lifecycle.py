# SPDX-License-Identifier: Apache-2.0
"""Begin and end: ready, stopped, killed, limits; targets and libraries that come, go and break meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness import leaks
from harness.require import require_command
from harness.streams import Streams
from harness.tap import Taps, wait_until_blocked_on
from harness.target import Server, Target, Targets, read_line

SMALL_EXCHANGE_BYTES = 122
MARKER = "this was said by somebody who is not captured"


def start_with(targets: Targets, library: Path, *, before: Sequence[str] = ()) -> tuple[Target, Server]:
    """A client that loads this libssl, and its server."""
    server = targets.server()
    command = [*before, *targets.command("transfer", *server.address, 5000, 5000, "mixed")]
    client = targets.start(command, environment={"LD_LIBRARY_PATH": str(library.parent)})
    client.expect("ready")
    return client, server


def test_process_started_after_the_tool(targets: Targets, taps: Taps) -> None:
    server = targets.server()
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--comm", "transfer")
    bystander.speak()
    client = targets.ready("transfer", *server.address, 3000, 3000)
    client.go()
    said = client.finish()
    bystander.check_spoke()
    streams = tap.stop_clean().streams
    streams.check_all(said, comm="transfer")
    bystander.check_absent(tap.record)


@pytest.mark.core
def test_library_mapped_after_the_start(targets: Targets, taps: Taps, library_copy: Path) -> None:
    """Nobody had it mapped before; it is attached the moment somebody does."""
    tap = taps.ready("--comm", "transfer", "-d")
    client, _ = start_with(targets, library_copy)
    tap.wait_for_err(f"attached {library_copy}")
    client.go()
    said = client.finish()
    tap.stop_clean().streams.check_all(said, comm="transfer")


def test_library_mapped_once_another_of_the_pids_is_dead(targets: Targets, taps: Taps, library_copy: Path) -> None:
    """Of two pids one is gone when there is something new to attach for the other."""
    server = targets.server()
    client = targets.command("transfer", *server.address, 5000, 5000, "mixed")
    shell = ["sh", "-c", 'echo started; read line; LD_LIBRARY_PATH="$0" exec "$@"', str(library_copy.parent), *client]
    late, dying = targets.start(shell), targets.ready("pairs", 1, 1, 1, 1)
    late.expect("started")
    tap = taps.ready("--pid", f"{late.pid},{dying.pid}", "-d")
    dying.kill()
    late.go()
    late.expect("ready")
    tap.wait_for_err(f"attached {library_copy}", times=2)
    late.go()
    said = late.finish()
    assert server.finish() == [said[0].other_end(server.pid)]
    ended = tap.wait()
    ended.check_clean()
    assert ended.summary.endswith("nothing lost"), ended.err
    ended.streams.check_all(said, comm="transfer")
    assert ended.streams.pids == {late.pid}


@pytest.mark.parametrize("lines", [0, 1, 2, 3])
def test_pid_that_dies_during_the_start_beside_one_that_lives(targets: Targets, taps: Taps, lines: int) -> None:
    """However far the start is; one that was dead before it is refused, and nothing but that."""
    living, dying = targets.ready("pairs", 2, 3, 500, 1), targets.ready("pairs", 1, 1, 1, 1)
    ready_read, ready_write = os.pipe()
    record = taps.folder / f"recording{lines}"
    flags = ("--format", "none", "-d", "--record", record, "--ready-fd", ready_write)
    tap = taps.start("tls", "--pid", f"{living.pid},{dying.pid}", *flags, pass_fds=(ready_write,))
    os.close(ready_write)
    if lines:
        tap.wait_for_err("\n", times=lines)
    dying.kill()
    is_ready = read_line(ready_read, what="plaintap") == b"READY\n"
    os.close(ready_read)
    if not is_ready:
        ended = tap.wait()
        ended.check_clean(code=1)
        assert f"cannot attach to pid {dying.pid}: no such process" in ended.err
        assert not lines, "it had begun to attach and ended for one of two pids"
        return
    living.go()
    said = living.finish()
    tap.wait().check_clean()
    Streams.from_recording(record).check_all(said, comm="pairs")


@pytest.mark.parametrize("how", ["deleted", "renamed", "replaced"])
def test_library_changed_on_disk_while_in_use(targets: Targets, taps: Taps, library_copy: Path, how: str) -> None:
    client, server = start_with(targets, library_copy)
    if how == "renamed":
        library_copy.rename(library_copy.with_name("renamed.so"))
    else:
        content = library_copy.read_bytes()
        library_copy.unlink()
        if how == "replaced":
            library_copy.write_bytes(content)
    tap = taps.ready("--pid", client.pid)
    client.go()
    said = client.finish()
    assert server.finish() == [said[0].other_end(server.pid)]
    tap.stop_clean().streams.check_all(said, comm="transfer")


def test_library_replaced_while_attached(targets: Targets, taps: Taps, library_copy: Path) -> None:
    """The old file's user and the new file's are both captured."""
    old, _ = start_with(targets, library_copy)
    tap = taps.ready("--comm", "transfer", "-d")
    content = library_copy.read_bytes()
    library_copy.unlink()
    library_copy.write_bytes(content)
    seen = tap.err.count(f"attached {library_copy}")
    new, _ = start_with(targets, library_copy)
    tap.wait_for_err(f"attached {library_copy}", times=seen + 1)
    said = []
    for client in (old, new):
        client.go()
        said += client.finish()
    tap.stop_clean().streams.check_all(said, comm="transfer")


@pytest.mark.parametrize(("how", "code"), [("abort", -signal.SIGABRT), ("kill", -signal.SIGKILL)])
def test_target_that_dies_inside_a_call(targets: Targets, taps: Taps, how: str, code: int) -> None:
    """What it had said is there, what it never got out is not, and the next one is captured as if nothing had been."""
    server = targets.server()
    dying = targets.ready("crash", *server.address, 20000, how, before=("prlimit", "--core=0"))
    tap = taps.ready("--comm", "crash")
    dying.go()
    said = dying.finish(returncode=code)
    following = targets.ready("crash", *server.address, 100, how, before=("prlimit", "--core=0"))
    following.go()
    said += following.finish(returncode=code)
    streams = tap.stop_clean().streams
    streams.check_all(said, comm="crash")
    assert {dying.pid, following.pid} <= set(streams.exited)


def test_target_killed_in_the_middle_of_writing(targets: Targets, taps: Taps) -> None:
    server = targets.server()
    client = targets.ready("two_parts", *server.address, 1 << 20, 64)
    tap = taps.ready("--pid", client.pid)
    client.go()
    client.expect("first")
    client.go()
    client.kill()
    (served,) = server.finish()
    ended = tap.stop_clean()
    (stream,) = ended.streams.of(client.pid)
    assert (stream.read.gaps, stream.written.gaps) == ([], [])
    # A call that never returned may have sent some.
    assert served.read.count >= len(stream.written.bytes) >= SMALL_EXCHANGE_BYTES


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.core), signal.SIGTERM])
def test_signals_end_it_with_a_summary(targets: Targets, taps: Taps, number: signal.Signals) -> None:
    target = targets.ready("pairs", 3, 2, 500, 1)
    tap = taps.ready("--pid", target.pid)
    target.go()
    said = target.finish()
    ended = tap.stop(number)
    ended.check_clean()
    assert "1 process · 6 connections · " in ended.summary
    ended.streams.check_all(said, comm="pairs")


def test_hangup_that_is_ignored_stays_ignored(targets: Targets, taps: Taps) -> None:
    """As with nohup: the terminal goes, the capture stays."""
    target = targets.ready("pairs", 2, 2, 500, 1)
    tap = taps.ready("--pid", target.pid, before=(require_command("nohup"),))
    tap.send(signal.SIGHUP)
    target.go()
    said = target.finish()
    ended = tap.wait()
    ended.check_clean()
    assert f"pid {target.pid} ended" in ended.err
    ended.streams.check_all(said, comm="pairs")


def test_impatient_interrupts(taps: Taps) -> None:
    """A second one, too, is no traceback."""
    tap = taps.ready()
    tap.send(signal.SIGINT)
    tap.send(signal.SIGINT)
    tap.send(signal.SIGTERM)
    tap.wait().check_clean()


def test_interrupted_after_the_summary(taps: Taps) -> None:
    """While the probes go it has ended well already, and says nothing else."""
    tap = taps.ready()
    tap.send(signal.SIGINT)
    tap.wait_for_err("nothing lost\n")
    tap.send(signal.SIGINT)
    ended = tap.wait()
    ended.check_clean()
    assert ended.summary.endswith("nothing lost")


@pytest.mark.core
def test_kill_leaves_nothing(targets: Targets, taps: Taps) -> None:
    before = leaks.kernel_objects()
    target = targets.ready("pairs", 3, 2, 500, 1)
    tap = taps.ready("--pid", target.pid)
    assert {kind for kind, _ in leaks.kernel_objects() - before} == {"prog", "map", "link"}
    tap.send(signal.SIGKILL)
    assert tap.wait().code == -signal.SIGKILL
    assert leaks.left_behind(before) == set()
    target.go()
    target.finish()


def test_kill_of_run_leaves_nothing(taps: Taps) -> None:
    before = leaks.kernel_objects()
    shell = "echo up >&2; read line"
    tap = taps.start("run", "--format", "none", "--", "sh", "-c", shell, stdin=subprocess.PIPE)
    tap.wait_for_err("up\n")
    tap.send(signal.SIGKILL)
    tap.wait()
    tap.say("")
    assert leaks.left_behind(before) == set()


def test_interrupted_before_anything_was_attached(taps: Taps, tmp_path: Path) -> None:
    """It waits for its configuration when the signal comes."""
    path = tmp_path / "config.toml"
    os.mkfifo(path)
    tap = taps.start("tls", "--config", path)
    descriptor = wait_until_blocked_on(path, tap.process)
    tap.send(signal.SIGINT)
    ended = tap.wait()
    os.close(descriptor)
    ended.check_clean(code=130)


def test_ready_in_every_way(taps: Taps, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(30)
        tap = taps.ready(environ={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert notified.recv(100) == b"READY=1"
    assert " attached in " in tap.err.splitlines()[-1]
    tap.stop_clean()


def test_duration(taps: Taps) -> None:
    taps.run("tls", "--duration", "300ms").check_clean()


def test_count(targets: Targets, taps: Taps) -> None:
    """It ends by itself after so many exchanges, and shows no more than that."""
    server = targets.server("http")
    client = targets.ready("client.py", *server.address, targets.certificate, *(f"/number/{n}" for n in range(9)))
    tap = taps.ready("--pid", client.pid, "--format", "text", "--count", 4)
    client.go()
    client.finish()
    ended = tap.wait()
    ended.check_clean()
    lines = [line for line in ended.out.splitlines() if "/number/" in line]
    assert len(lines) == 4
    assert "4 exchanges" in ended.summary


def test_reader_of_the_output_goes_away(targets: Targets, taps: Taps) -> None:
    """As in `plaintap | head -1`: a clean end, even while more comes."""
    server = targets.server("http")
    read_end, write_end = os.pipe()
    tap = taps.ready("--comm", "curl", "--format", "text", stdout=write_end)
    os.close(write_end)
    curl = [require_command("curl"), "-sk", f"https://127.0.0.1:{server.port}/head/10"]
    subprocess.run(curl, check=True, capture_output=True)
    assert b"/head/10" in read_line(read_end, what="the first line")
    os.close(read_end)
    for _ in range(100):
        if tap.process.poll() is not None:
            break
        subprocess.run(curl, check=True, capture_output=True)
    tap.wait().check_clean()


def test_two_at_once(targets: Targets, taps: Taps) -> None:
    """Two tools see the same bytes."""
    target = targets.ready("pairs", 2, 3, 3000, 1)
    first, second = taps.ready("--pid", target.pid), taps.ready("--comm", "pairs")
    target.go()
    said = target.finish()
    for tap in (first, second):
        tap.stop_clean().streams.check_all(said, comm="pairs")


@pytest.mark.core
def test_older_kernels_way_of_linking(targets: Targets, taps: Taps) -> None:
    """One perf event per probe, as before Linux 6.6."""
    target = targets.ready("pairs", 2, 3, 3000, 1)
    tap = taps.ready("--pid", target.pid, environ={"PLAINTAP_FORCE": "nomulti"})
    target.go()
    said = target.finish()
    tap.stop_clean().streams.check_all(said, comm="pairs")
