# SPDX-License-Identifier: Apache-2.0
"""Small C programs, each with one situation of the OpenSSL calls: every byte, both ends, nobody else's."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from harness.compare import compare_with_itself, compare_with_peers
from harness.require import require, require_command
from harness.tap import Taps
from harness.target import Targets
from harness.truth import Digest

SIZES = (1, 4096, 16384, 16385, 65536, 8 << 20)
# Both ends of 8 MiB both ways are 32 MiB; the reader of a busy host may be late for all of it.
ROOMY = ("--mapsize", 32768)


@pytest.mark.parametrize("size", SIZES)
def test_every_size(targets: Targets, taps: Taps, size: int) -> None:
    compare_with_peers(targets, taps, "transfer", size, size, "plain", flags=ROOMY)


@pytest.mark.parametrize("form", ["ex", "mixed"])
@pytest.mark.parametrize(
    "size", [size if size == 16385 else pytest.param(size, marks=pytest.mark.matrix) for size in SIZES]
)
def test_every_form_of_the_calls(targets: Targets, taps: Taps, size: int, form: str) -> None:
    compare_with_peers(targets, taps, "transfer", size, size, form, 3 if size < 1 << 20 else 1, flags=ROOMY)


@pytest.mark.core
@pytest.mark.sockets
def test_ipv6(targets: Targets, taps: Taps) -> None:
    require(Path("/proc/net/if_inet6").exists(), "this host has no IPv6")
    compared = compare_with_peers(targets, taps, "transfer", 5000, 5000, host="::1")
    assert compared.streams.find(compared.said[0]).remote is not None
    assert compared.said[0].local is not None
    assert compared.said[0].local[0] == "::1"


def test_two_hundred_connections_at_once(targets: Targets, taps: Taps) -> None:
    compared = compare_with_peers(targets, taps, "threads", 200, 2, 3000, flags=ROOMY)
    assert len(compared.said) == 200


@pytest.mark.core
def test_threads_sharing_a_context(targets: Targets, taps: Taps) -> None:
    compare_with_peers(targets, taps, "threads", 8, 20, 17000, flags=ROOMY)


@pytest.mark.core
def test_fork_after_connect(targets: Targets, taps: Taps) -> None:
    server = targets.server()
    program = targets.ready("fork_after_connect", *server.address, 20000)
    bystander = targets.bystander("somebody else")
    tap = taps.ready("--comm", program.comm)
    bystander.speak()
    comm = program.comm
    program.go()
    parent, child = program.finish()
    bystander.check_spoke()
    served = server.finish()
    streams = tap.stop_clean().streams
    assert (parent.pid, parent.local, parent.ssl) == (program.pid, child.local, child.ssl)
    assert child.pid != parent.pid
    assert served[0].read.count == parent.written.count + child.written.count
    streams.check_all([parent, child], comm=comm)
    assert streams.pids == {parent.pid, child.pid}
    bystander.check_absent(tap.record)


@pytest.mark.parametrize("mode", [pytest.param("whole", marks=pytest.mark.core), "partial", "moving"])
def test_retries_of_non_blocking_sockets(targets: Targets, taps: Taps, mode: str) -> None:
    server = targets.server()
    program = targets.ready("nonblocking", *server.address, 2_000_000, 300_000, mode)
    comm = program.comm
    bystander = targets.bystander("somebody else")
    tap = taps.ready("--pid", program.pid)
    bystander.speak()
    program.go()
    said = program.finish()
    bystander.check_spoke()
    retries = json.loads(program.output.splitlines()[-1])
    assert retries["want_write"]
    assert retries["want_read"]
    assert bool(retries["partial_writes"]) == (mode == "partial")
    assert server.finish() == [said[0].other_end(server.pid)]
    streams = tap.stop_clean().streams
    streams.check_all(said, comm=comm)
    assert streams.pids == {program.pid}
    bystander.check_absent(tap.record)


def test_peeking_is_not_reading(targets: Targets, taps: Taps) -> None:
    compare_with_peers(targets, taps, "peek", 20000)


@pytest.mark.parametrize("how", ["free", "clear"])
def test_a_reused_pointer_is_another_session(targets: Targets, taps: Taps, how: str) -> None:
    compared = compare_with_peers(targets, taps, "reuse", 3000, how)
    assert len({truth.ssl for truth in compared.said}) == 1, "the pointer was not reused"
    assert len(compared.said) == len(compared.streams.of(compared.pid)) == 3


def test_early_data(targets: Targets, taps: Taps) -> None:
    compare_with_itself(targets, taps, "early_data", 3000)


def test_tls_within_tls(targets: Targets, taps: Taps) -> None:
    compare_with_itself(targets, taps, "tls_in_tls", 30000)


@pytest.mark.parametrize("left", [1, 2, 3])
def test_calls_left_by_longjmp(targets: Targets, taps: Taps, left: int) -> None:
    """They never return; the reads that follow, deeper in the stack and not, are captured at the right offsets."""
    compared = compare_with_peers(targets, taps, "left_calls", 5000, left)
    assert compared.said[0].read.count == 15000


# What differs from these comes with the matrix.
CALLBACK_ROWS = {("before", "datagram", "first"), ("before", "stream", "later"), ("both", "streams", "later")}


@pytest.mark.parametrize(
    ("when", "kind", "since"),
    [
        row if row in CALLBACK_ROWS else pytest.param(*row, marks=pytest.mark.matrix)
        for row in itertools.product(("before", "after", "both"), ("datagram", "stream", "streams"), ("first", "later"))
        if row[1:] not in {("stream", "first"), ("streams", "first")}
    ],
)
def test_callbacks_that_use_other_sockets(targets: Targets, taps: Taps, when: str, kind: str, since: str) -> None:
    """One session all the time, with the address of its own connection.

    Where every call used other connections too, which is its own cannot be told: rather none than a wrong one.
    """
    server = targets.server()
    client = targets.ready("callbacks", *server.address, 20000, when, kind, since)
    tap = taps.ready("--pid", client.pid)
    client.go()
    (said,) = client.finish()
    assert server.finish() == [said.other_end(server.pid)]
    streams = tap.stop_clean().streams
    (stream,) = streams.all
    addresses = {
        seen.socket and (seen.socket.local_address, seen.socket.local_port, seen.socket.remote_port)
        for seen in stream.seen
    }
    assert said.local
    assert said.remote
    own = (*said.local, said.remote[1])
    if kind == "datagram" or since == "later":
        assert addresses == {own}
    else:
        assert addresses <= {own, None}
    assert (stream.read.gaps, stream.written.gaps) == ([], [])
    assert Digest.of(stream.read.bytes) == said.read
    assert Digest.of(stream.written.bytes) == said.written


@pytest.mark.parametrize(
    ("pairs", "exchanges", "size", "threads"),
    [
        (32, 20, 8000, 32),
        pytest.param(64, 100, 2000, 64, marks=pytest.mark.matrix),
        pytest.param(32, 20, 60000, 32, marks=pytest.mark.matrix),
    ],
)
def test_threads_on_one_cpu(targets: Targets, taps: Taps, pairs: int, exchanges: int, size: int, threads: int) -> None:
    """Probes are preempted by other threads' probes: no payload may stand under another's header."""
    taskset = require_command("taskset")
    flags = ("--mapsize", 131072)
    arguments = (pairs, exchanges, size, threads)
    compare_with_itself(targets, taps, "pairs", *arguments, before=(taskset, "-c", "0"), flags=flags)


@pytest.mark.matrix
def test_ten_thousand_connections_of_one_process(targets: Targets, taps: Taps) -> None:
    compared = compare_with_itself(targets, taps, "pairs", 5000, 2, 500, 4, flags=ROOMY)
    assert len(compared.said) == 10_000
