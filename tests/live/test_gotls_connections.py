# SPDX-License-Identifier: Apache-2.0
"""Go connections that are more than a socket read and written in one breath: wrapped, nested, broken off, moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from harness.golang import FORMS, SUITES, WHEELS, Build
from harness.rows import rows
from harness.streams import Stream, Streams
from harness.tap import Ended, Taps
from harness.target import Targets
from harness.truth import Digest, Truth

MARKER = "this was said by somebody who is not captured"
EVERYDAY = ("1.24", "pie-stripped")
STACK_ABI = ("1.15", "plain")
pytestmark = pytest.mark.timeout(600)  # the first of a version fetches its toolchain


def run(targets: Targets, taps: Taps, build: Build, case: str, *words: object) -> tuple[list[Truth], Ended]:
    """One case of golang/odd.go, with a bystander."""
    files = ("--certificate", targets.certificate, "--key", targets.key)
    program = targets.start([*map(str, (build.program("odd", targets.folder), case, "127.0.0.1", 0, *files))])
    program.expect("ready")
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--pid", program.pid, *words, command=("gotls",))
    bystander.speak()
    program.go()
    said = program.finish()
    bystander.check_spoke()
    ended = tap.stop_clean()
    bystander.check_absent(tap.record)
    assert ended.streams.pids == {program.pid}
    return said, ended


def digests(stream: Stream) -> tuple[Digest, Digest]:
    return Digest.of(stream.read.bytes), Digest.of(stream.written.bytes)


def check_same_address(streams: Streams, said: Sequence[Truth]) -> None:
    """Of connections that share a socket: each is there once, whole, and all have the address."""
    for truth in said:
        at_socket = [each for each in streams.all if (each.local, each.remote) == (truth.local, truth.remote)]
        found = [stream for stream in at_socket if digests(stream) == (truth.read, truth.written)]
        assert len(found) == 1, (truth, streams.all)
        assert (found[0].read.gaps, found[0].written.gaps) == ([], [])
    assert len(streams.all) == len(said)


def check_by_session(streams: Streams, said: Sequence[Truth]) -> None:
    """Of connections without a TCP address: each is known by its tls.Conn."""
    by_session = {stream.ssl: stream for stream in streams.all}
    assert set(by_session) == {truth.ssl for truth in said}
    for truth in said:
        stream = by_session[truth.ssl or 0]
        assert digests(stream) == (truth.read, truth.written), stream
        assert (stream.read.gaps, stream.written.gaps) == ([], [])
        assert stream.comm == "odd"


CASES = ("tcp", "wrapped", "unix", "pipe", "panic", "goexit", "stack", "short")


@pytest.mark.parametrize(
    ("version", "form", "case"),
    rows([*SUITES, *WHEELS], FORMS, CASES, quick={(*EVERYDAY, case) for case in CASES if case != "tcp"}),
)
def test_connection(targets: Targets, taps: Taps, version: str, form: str, case: str) -> None:
    """Both ends, byte for byte; with a TCP socket under its address, without one by its tls.Conn."""
    said, ended = run(targets, taps, Build(version, form), case)
    if case in {"unix", "pipe"}:
        check_by_session(ended.streams, said)
        assert {bool(stream.seen[-1].socket) for stream in ended.streams.all} == {case == "unix"}
    else:
        ended.streams.check_all(said, comm="odd")
        assert all(truth.local for truth in said)


@pytest.mark.parametrize(("version", "form"), rows([*SUITES, *WHEELS], ["plain", "pie-stripped"], quick={EVERYDAY}))
def test_tls_inside_tls(targets: Targets, taps: Taps, version: str, form: str) -> None:
    """The inner connection's calls are inside the outer one's."""
    said, ended = run(targets, taps, Build(version, form), "nested")
    assert len(said) == 4
    check_same_address(ended.streams, said)


@pytest.mark.parametrize(("version", "form"), rows([*SUITES, *WHEELS], ["plain", "pie-stripped"], quick={EVERYDAY}))
def test_another_on_the_same_goroutine(targets: Targets, taps: Taps, tmp_path: Path, version: str, form: str) -> None:
    """Secrets come before anything is sent: their socket is not the one that the goroutine used before."""
    said, ended = run(targets, taps, Build(version, form), "another", "-m", "text,keylog", "-k", tmp_path / "keylog")
    assert len(said) == 4
    ended.streams.check_all(said, comm="odd")


@pytest.mark.parametrize(("version", "form"), rows([*SUITES, *WHEELS], ["plain", "pie-stripped"], quick={EVERYDAY}))
def test_read_after_a_reset(targets: Targets, taps: Taps, tmp_path: Path, version: str, form: str) -> None:
    """The socket has given its port back, and the rest of the connection is in it: it is still the same one."""
    said, ended = run(targets, taps, Build(version, form), "reset", "-m", "text,keylog", "-k", tmp_path / "keylog")
    ended.streams.check_all(said, comm="odd")
