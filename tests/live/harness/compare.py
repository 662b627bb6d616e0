# SPDX-License-Identifier: Apache-2.0
"""The comparison most tests make: a client program, its server, a bystander, one capture of the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.streams import Streams
from harness.tap import Taps
from harness.target import Targets
from harness.truth import Truth

MARKER = "this was said by somebody who is not captured"


@dataclass(frozen=True, slots=True)
class Compared:
    """What a test may look at further."""

    pid: int
    comm: str
    said: list[Truth]
    streams: Streams


def compare_with_peers(
    targets: Targets,
    taps: Taps,
    name: str,
    *arguments: object,
    host: str = "127.0.0.1",
    before: Sequence[str] = (),
    flags: Sequence[object] = (),
) -> Compared:
    """`NAME HOST PORT ARGUMENTS…` against programs/server.py, both started before the tool and chosen by pid.

    Asserts that both ends were captured whole, in order, with their names and addresses, and that a process speaking
    at the same time was not.
    """
    server = targets.server(host=host)
    client = targets.ready(name, *server.address, *arguments, before=before)
    comm = client.comm
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--pid", f"{client.pid},{server.pid}", *flags)
    bystander.speak()
    client.go()
    said = client.finish()
    bystander.check_spoke()
    served = server.finish()
    streams = tap.stop_clean().streams
    streams.check_all(said, comm=comm)
    streams.check_all(served, comm=server.name)
    assert {truth.other_end(server.pid) for truth in said} == set(served)
    bystander.check_absent(tap.record)
    assert streams.pids == {client.pid, server.pid}
    return Compared(client.pid, comm, said, streams)


def compare_with_itself(
    targets: Targets,
    taps: Taps,
    name: str,
    *arguments: object,
    before: Sequence[str] = (),
    flags: Sequence[object] = (),
) -> Compared:
    """The same for a program that has both ends inside, over memory: sessions without an address."""
    program = targets.ready(name, *arguments, before=before)
    comm = program.comm
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--pid", program.pid, *flags)
    bystander.speak()
    program.go()
    said = program.finish()
    bystander.check_spoke()
    streams = tap.stop_clean().streams
    streams.check_all(said, comm=comm)
    bystander.check_absent(tap.record)
    assert streams.pids == {program.pid}
    return Compared(program.pid, comm, said, streams)
