# SPDX-License-Identifier: Apache-2.0
"""Which connection a session is: what a target says of its own sockets is what stands in the recording.

Here the library itself has a descriptor, or calls what uses sockets; test_memory_bio.py has the programs that carry
the bytes themselves.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness.attribution import Attribution, attribution, tuple_of, unix_ends
from harness.require import require
from harness.rows import rows
from harness.tap import Taps
from harness.target import Server, Target, Targets
from harness.truth import Truth

MARKER = "this was said by somebody who is not captured"
SINCE = ("first", "late")


def run(taps: Taps, client: Target, server: Server, *flags: object) -> tuple[list[Truth], Attribution]:
    """A client against its server, both captured; what the client says it said since it was ready."""
    tap = taps.ready("--pid", f"{client.pid},{server.pid}", *flags)
    client.go()
    said = client.finish()
    served = server.finish()
    streams = attribution(tap.stop_clean())
    assert streams.pids == {client.pid, server.pid}
    check_served(streams, server, served)
    assert {tuple_of(truth.other_end(server.pid)) for truth in said} <= {tuple_of(truth) for truth in served}
    return said, streams


def check_served(streams: Attribution, server: Server, served: list[Truth]) -> None:
    """The server's sockets are as old as the client's."""
    told = [(stream.local, stream.remote) for stream in streams.of(server.pid)]
    spoke = [tuple_of(truth) for truth in served if truth.read.count]
    assert sorted(map(str, told)) == sorted(map(str, spoke))


@pytest.mark.parametrize("since", rows(SINCE, quick={("late",)}))
def test_connection_of_several_threads(targets: Targets, taps: Taps, since: str) -> None:
    """What one thread wrote another one reads the answer of, on several connections in turn."""
    server = targets.server()
    client = targets.ready("turns", *server.address, 3000, 3, 2, since)
    comm = client.comm
    said, streams = run(taps, client, server)
    streams.check_sockets(said, comm=comm)
    assert len(said) == 2


@pytest.mark.parametrize(
    ("mode", "since"),
    rows(
        ("dup", "dup2", "reuse", "pending"),
        SINCE,
        quick={("dup", "late"), ("dup2", "first"), ("reuse", "first"), ("pending", "late")},
    ),
)
def test_descriptor_that_is_another_connections(targets: Targets, taps: Taps, mode: str, since: str) -> None:
    """Copied, moved, closed under the library and given to another connection."""
    server = targets.server()
    client = targets.ready("descriptors", *server.address, 5000, mode, since)
    comm = client.comm
    said, streams = run(taps, client, server)
    streams.check_sockets(said, comm=comm)
    assert len({tuple_of(truth) for truth in said}) == 2


def test_ipv4_mapped_is_ipv4(targets: Targets, taps: Taps) -> None:
    require(Path("/proc/net/if_inet6").exists(), "this host has no IPv6")
    server = targets.server()
    client = targets.ready("transfer", "::ffff:127.0.0.1", server.port, 5000, 5000)
    comm = client.comm
    said, streams = run(taps, client, server)
    (truth,) = said
    assert truth.local
    assert truth.local[0] == "::ffff:127.0.0.1"
    stream = streams.check_socket(truth, comm=comm)
    assert stream.remote == ("127.0.0.1", server.port)


def start_family(targets: Targets, kind: str, since: str, folder: Path) -> Target:
    """A server and its child, a client."""
    names = {"unix": folder / "a socket", "abstract": f"plaintap-{folder.name}"}
    return targets.ready("families", kind, 5000, since, names.get(kind, ""))


@pytest.mark.parametrize("since", rows(SINCE, quick={("late",)}, core={("late",)}))
def test_both_ends_of_a_connection(targets: Targets, taps: Taps, tmp_path: Path, since: str) -> None:
    """Parent and child, over TCP."""
    program = start_family(targets, "tcp", since, tmp_path)
    comm = program.comm
    tap = taps.ready("--comm", comm)
    program.go()
    said = program.finish()
    streams = attribution(tap.stop_clean())
    streams.check_sockets(said, comm=comm)
    assert said[0].other_end(said[1].pid) == Truth(
        said[1].pid, said[1].local, said[1].remote, said[1].read, said[1].written
    )


@pytest.mark.parametrize(
    ("kind", "since"),
    rows(
        ("unix", "abstract", "pair"),
        SINCE,
        quick={("unix", "first"), ("abstract", "late"), ("pair", "late")},
        core={("unix", "first")},
    ),
)
def test_unix_sockets(targets: Targets, taps: Taps, tmp_path: Path, kind: str, since: str) -> None:
    """With the name that one of the ends has, and the process that the kernel knows as the peer."""
    program = start_family(targets, kind, since, tmp_path)
    comm = program.comm
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--comm", comm, "--format", "text")
    bystander.speak()
    program.go()
    said = program.finish()
    bystander.check_spoke()
    ends = {(end.pid, end.ssl): end for end in unix_ends(program.output)}
    ended = tap.stop_clean()
    streams = attribution(ended)
    assert len(said) == len(ends) == len(streams.all) == 2
    for truth in said:
        assert truth.ssl
        end = ends[truth.pid, truth.ssl]
        stream = streams.of_truth(truth)
        assert stream.comm == comm
        known = streams.unix[stream.session]
        assert (known.path, known.peer_pid) == (end.path, end.peer_pid)
        if kind != "pair":
            assert end.path in ended.out
    bystander.check_absent(tap.record)


def test_same_tuple_in_two_network_namespaces(targets: Targets, taps: Taps) -> None:
    """Four sessions of one thread, two of each tuple: only the namespace tells them apart."""
    program = targets.ready("namespaces", 3000)
    comm = program.comm
    tap = taps.ready("--pid", program.pid)
    program.go()
    said = program.finish()
    streams = attribution(tap.stop_clean())
    reports = [json.loads(line) for line in program.output.splitlines() if line.startswith(b'{"netns"')]
    netns = {ssl: report["netns"] for report in reports for ssl in report["ssl"]}
    assert len({tuple_of(truth) for truth in said}) == len(set(netns.values())) == 2
    assert len(said) == len(streams.all) == 4
    for truth in said:
        assert truth.ssl
        streams.check_socket(truth, comm=comm, netns=netns[truth.ssl])


@pytest.mark.parametrize(
    ("transport", "which"),
    rows(("socket", "memory"), ("some", "all"), quick={("socket", "all"), ("memory", "some")}),
)
def test_callbacks_that_talk_to_somebody_else(targets: Targets, taps: Taps, transport: str, which: str) -> None:
    """Key log, session, ALPN and message callbacks use a TCP connection of their own inside the TLS call.

    A descriptor of the library's is right all the same; without one it may be unknown, but it is not theirs.
    """
    program = targets.ready("tls_callbacks", 3000, transport, which)
    comm = program.comm
    tap = taps.ready("--comm", comm)
    program.go()
    said = program.finish()
    sure = transport == "socket"
    streams = attribution(tap.stop_clean(), unattributed=0 if sure else None)
    assert len(said) == 2
    streams.check_sockets(said, comm=comm, sure=sure)


def test_own_transport_over_a_socket(targets: Targets, taps: Taps) -> None:
    """A BIO of the program's own, of which the library knows no descriptor."""
    program = targets.ready("custom_bio", 3000, "one")
    comm = program.comm
    tap = taps.ready("--comm", comm)
    program.go()
    said = program.finish()
    assert len(said) == 2
    attribution(tap.stop_clean()).check_sockets(said, comm=comm)


@pytest.mark.parametrize("transport", rows(("halves", "pipe"), quick={("halves",)}))
def test_own_transport_over_no_one_socket(targets: Targets, taps: Taps, transport: str) -> None:
    """Two sockets with half of it each, or two which carry nothing of it: neither is the one, and that is said."""
    program = targets.ready("custom_bio", 3000, transport)
    comm = program.comm
    tap = taps.ready("--comm", comm)
    program.go()
    said = program.finish()
    streams = attribution(tap.stop_clean(), unattributed=2)
    assert len(said) == 2
    for truth, stream in streams.check_sockets(said, comm=comm).items():
        assert truth.local is None
        assert {seen.socket for seen in stream.seen} == {None}
