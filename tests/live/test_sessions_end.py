# SPDX-License-Identifier: Apache-2.0
"""How sessions end: each exactly once, when it does and not before, and no state of it reaches the next one.

But for the last ones all are sessions over memory, so that no socket helps to tell one from another.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from harness.attribution import Attribution, attribution, endings, only
from harness.require import require_command
from harness.rows import rows
from harness.streams import Stream
from harness.tap import Ended, Tap, Taps
from harness.target import Target, Targets
from harness.truth import Truth, parse

from plaintap.events import SocketClosed, decode_fact
from plaintap.messages import ConnectionEnded, Message
from plaintap.protocols.registry import Registry
from plaintap.runtime import recording
from plaintap.streams.connections import Connections

SIZE = 3000


class Program:
    """programs/ends.c under a capture, step by step."""

    def __init__(self, targets: Targets, taps: Taps, how: str, *, before: tuple[str, ...] = ()) -> None:
        self.target: Target = targets.ready("ends", how, SIZE, before=before)
        self.comm = self.target.comm
        self.tap: Tap = taps.ready("--pid", self.target.pid)
        self.said: list[Truth] = []
        self.sessions = 2
        self.stopped_ns = 0

    def until(self, step: str) -> int:
        """Lets it go on up to the end of a step; the monotonic clock there, in nanoseconds."""
        self.target.go()
        while not (line := self.target.line()).startswith(f"{step} ".encode()):
            assert line.startswith(b"{"), self.target.errors
            self.said += parse(line)
        return int(line.split()[1])

    def stop(self) -> tuple[Ended, Attribution]:
        """Ends the capture; the program is where it is. Nothing it had has a socket, and that is said."""
        self.stopped_ns = time.monotonic_ns()
        ended = self.tap.stop_clean()
        return ended, attribution(ended, unattributed=self.sessions)


def check_freed(streams: Attribution, stream: Stream) -> None:
    """Asserts that its end was told, once, with the totals of what was captured."""
    assert streams.ends[stream.session] == 1
    assert stream.ended
    assert stream.ended.read_bytes == len(stream.read.bytes)
    assert stream.ended.written_bytes == len(stream.written.bytes)


def check_closed(ended: Ended, streams: Iterable[Stream], *, after_ns: int = 0, before_ns: int = 1 << 63) -> None:
    """Asserts that these, and no others, ended in that time: closed, not idle."""
    found = endings(ended)
    assert set(found) == {stream.session for stream in streams}
    assert {ending.reason for ending in found.values()} == {"closed"}
    assert all(after_ns < ending.ts_ns < before_ns for ending in found.values()), found


def test_freed(targets: Targets, taps: Taps) -> None:
    program = Program(targets, taps, "free")
    freed_ns = program.until("done")
    ended, streams = program.stop()
    assert len(program.said) == 2
    for stream in streams.check_sockets(program.said, comm=program.comm).values():
        check_freed(streams, stream)
    check_closed(ended, streams.all, before_ns=freed_ns)
    program.target.go()
    program.target.finish()


def test_freed_while_somebody_else_holds_it(targets: Targets, taps: Taps) -> None:
    """It goes on under the same name until the last one lets go."""
    program = Program(targets, taps, "twice")
    once_ns = program.until("freed")
    twice_ns = program.until("done")
    ended, streams = program.stop()
    assert len(program.said) == 2
    for truth, stream in streams.check_sockets(program.said, comm=program.comm).items():
        assert truth.read.count == 2 * SIZE
        check_freed(streams, stream)
    check_closed(ended, streams.all, after_ns=once_ns, before_ns=twice_ns)
    program.target.go()
    program.target.finish()


def test_freed_once_of_twice_is_not_the_end(targets: Targets, taps: Taps) -> None:
    program = Program(targets, taps, "twice")
    program.until("freed")
    ended, streams = program.stop()
    assert len(streams.all) == 2
    # What is open when the capture ends, ends with it.
    check_closed(ended, streams.all, after_ns=program.stopped_ns)
    program.target.go()
    program.target.expect('{"pid":')


@pytest.mark.core
def test_cleared_for_another_connection(targets: Targets, taps: Taps) -> None:
    """One object, two sessions, the first of which ends with SSL_clear, not when the next one speaks."""
    program = Program(targets, taps, "clear")
    cleared_ns = program.until("cleared")
    assert len(program.said) == 2
    done_ns = program.until("done")
    program.sessions = 4
    ended, streams = program.stop()
    assert len(program.said) == len(streams.all) == 4
    assert {truth.ssl for truth in program.said[:2]} == {truth.ssl for truth in program.said[2:]}
    found = endings(ended)
    for number, (truth, stream) in enumerate(streams.check_sockets(program.said, comm=program.comm).items()):
        first = number < 2
        assert truth.read.count == SIZE
        check_freed(streams, stream)
        assert found[stream.session].ts_ns < (cleared_ns if first else done_ns)
        assert (stream.seen[0].ts_ns < cleared_ns) == first
    program.target.go()
    program.target.finish()


@pytest.mark.matrix
def test_cleared_and_left(targets: Targets, taps: Taps) -> None:
    program = Program(targets, taps, "clear")
    cleared_ns = program.until("cleared")
    ended, streams = program.stop()
    for stream in streams.check_sockets(program.said, comm=program.comm).values():
        check_freed(streams, stream)
    check_closed(ended, streams.all, before_ns=cleared_ns)
    program.target.go()
    program.target.expect('{"pid":')


@pytest.mark.parametrize("how", rows(("exits", "killed"), quick={("exits",)}))
def test_process_that_leaves_them_open(targets: Targets, taps: Taps, how: str) -> None:
    program = Program(targets, taps, "leave")
    program.until("leaving")
    if how == "killed":
        program.target.kill()
    else:
        program.target.go()
        program.target.finish()
    ended, streams = program.stop()
    found = streams.check_sockets(program.said, comm=program.comm)
    assert len(found) == 2
    assert streams.exited == [program.target.pid]
    check_closed(ended, found.values(), before_ns=program.stopped_ns)


@pytest.mark.parametrize("until", rows(("executed", "done"), quick={("done",)}))
def test_process_that_becomes_another_program(targets: Targets, taps: Taps, until: str) -> None:
    """Its sessions end with that, though nobody freed them and the pid lives; the new one's have their addresses."""
    program = Program(targets, taps, "exec", before=(require_command("setarch"), "-R"))
    executed_ns = program.until("executed")
    before = program.said.copy()
    assert len(before) == 2
    done_ns = program.until("done") if until == "done" else 0
    program.sessions = 4 if done_ns else 2
    ended, streams = program.stop()
    assert len(program.said) == len(streams.all) == program.sessions
    assert {truth.ssl for truth in before} == {truth.ssl for truth in program.said}, "no pointer was used again"
    found = endings(ended)
    for truth in before:
        old, *new = streams.having_said(truth)  # both programs say the same
        assert found[old.session].ts_ns < executed_ns
        assert found[old.session].reason == "closed"
        if done_ns:
            assert only(new).seen[0].ts_ns > executed_ns
            assert found[only(new).session].ts_ns < done_ns
            check_freed(streams, only(new))
    program.target.go()
    program.target.kill()


def test_pid_used_again(targets: Targets, taps: Taps) -> None:
    """Three processes, one after another: one pid, the same addresses, nothing freed, each with sessions of its own."""
    program = targets.ready("same_pid", SIZE)
    comm = program.comm
    tap = taps.ready("--comm", comm)
    program.go()
    said = program.finish()
    finished_ns = time.monotonic_ns()
    ended = tap.stop_clean()
    streams = attribution(ended, unattributed=6)
    pid = only({truth.pid for truth in said})
    assert len({truth.ssl for truth in said}) == 2
    found = streams.check_sockets(said, comm=comm)
    assert len(found) == len(said) == 6
    assert streams.exited == [pid] * 3
    check_closed(ended, found.values(), before_ns=finished_ns)


def closings(ended: Ended) -> tuple[list[SocketClosed], list[ConnectionEnded]]:
    """The sockets that are told to be gone, and which connections have ended by then, but for two ticks."""
    told: list[SocketClosed] = []
    messages: list[Message] = []
    connections = Connections(messages.extend, Registry().recognise)
    for record in recording.read(str(ended.record)):
        fact = None if record[0] else decode_fact(record[1], record[4])
        connections.feed([record])
        if isinstance(fact, SocketClosed):
            told.append(fact)
            connections.tick(fact.ts_ns)
            connections.tick(fact.ts_ns)
    return told, [message for message in messages if isinstance(message, ConnectionEnded)]


@pytest.mark.core
def test_closed_and_never_freed(targets: Targets, taps: Taps) -> None:
    """Its process goes on, and nobody gives up the object: the connection is over all the same, once."""
    server = targets.server()
    target = targets.ready("unfreed", *server.address, SIZE, 0)
    tap = taps.ready("--pid", target.pid)
    started_ns = time.monotonic_ns()
    target.go()
    truth = only(parse(target.line()))
    target.expect("closed")
    server.finish()
    ended = tap.stop_clean()
    streams = attribution(ended)
    stream = streams.check_socket(truth, comm=target.comm)
    closed, over = closings(ended)
    assert only(closed).session == stream.session
    assert (only(closed).read_bytes, only(closed).written_bytes) == (truth.read.count, truth.written.count)
    assert started_ns < only(closed).ts_ns < time.monotonic_ns()
    assert (only(over).connection.session, only(over).reason, only(over).ts_ns) == (
        stream.session,
        "closed",
        only(closed).ts_ns,
    )
    target.go()
    target.finish()


@pytest.mark.core
def test_closed_while_the_library_holds_bytes(targets: Targets, taps: Taps) -> None:
    """What it hands out then belongs to the same connection, and nothing of it is missing."""
    server = targets.server()
    target = targets.ready("unfreed", *server.address, SIZE, SIZE // 2)
    tap = taps.ready("--pid", target.pid)
    target.go()
    target.expect("closed")
    server.finish()
    target.go()
    truth = only(parse(target.line()))
    assert truth.read.count == SIZE
    ended = tap.stop_clean()
    streams = attribution(ended)
    stream = streams.of_truth(truth)
    closed, _ = closings(ended)
    assert [(each.session, each.read_bytes) for each in closed] == [(stream.session, SIZE - SIZE // 2)]
    assert streams.ends[stream.session] == 1
    assert stream.ended
    assert stream.ended.read_bytes == SIZE
    target.go()
    target.finish()
