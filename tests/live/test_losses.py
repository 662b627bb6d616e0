# SPDX-License-Identifier: Apache-2.0
"""What is lost is named: how much, exactly, where in the stream, and by the exit code with --strict."""

from __future__ import annotations

import re
import signal

import pytest
from harness.streams import Stream
from harness.tap import Ended, Taps
from harness.target import Targets
from harness.truth import Truth

SIZE = 4 << 20
CALLS = 64
# The ring of two CPUs is then 128 KiB, a thirtieth of what the client writes.
TINY = ("--mapsize", 64)
CEILING_BYTES = 16 << 20


def summary_bytes(ended: Ended, reason: str) -> int:
    """The number of bytes the summary names for a reason."""
    found = re.search(rf"lost .*?\(?([\d,]+) bytes\)?: {reason}", ended.summary)
    assert found, ended.err
    return int(found[1].replace(",", ""))


def capture_with_stopped_reader(targets: Targets, taps: Taps, *flags: object) -> tuple[Ended, Truth, Stream]:
    """The client speaks, the reader is stopped, the client writes more than the ring holds; then both go on."""
    server = targets.server()
    client = targets.ready("two_parts", *server.address, SIZE, CALLS)
    tap = taps.ready("--pid", client.pid, "--format", "text", *TINY, *flags)
    client.go()
    client.expect("first")
    tap.send(signal.SIGSTOP)
    client.go()
    client.expect("spoken")
    tap.send(signal.SIGCONT)
    tap.wait_until_drained()
    client.go()
    (said,) = client.finish()
    assert server.finish() == [said.other_end(server.pid)]
    ended = tap.stop()
    return ended, said, ended.streams.find(said)


def check_named(ended: Ended, said: Truth, stream: Stream, *, port: int) -> None:
    missing = said.written.count - len(stream.written.bytes)
    assert missing > SIZE // 2, "the ring was not full"
    assert stream.written.missing_bytes == missing
    assert stream.read.gaps == []
    assert summary_bytes(ended, "ring full") == missing
    for offset, size in stream.written.gaps:
        assert f"lost {size:,} bytes sent to 127.0.0.1:{port} at offset {offset:,}" in ended.out


def test_ring_full(targets: Targets, taps: Taps) -> None:
    ended, said, stream = capture_with_stopped_reader(targets, taps)
    ended.check_clean()
    assert said.remote
    check_named(ended, said, stream, port=said.remote[1])
    assert len(stream.written.gaps) >= 1
    assert stream.written.ended_at == said.written.count


def test_ring_full_and_strict(targets: Targets, taps: Taps) -> None:
    ended, said, stream = capture_with_stopped_reader(targets, taps, "--strict")
    ended.check_clean(code=1)
    assert said.remote
    check_named(ended, said, stream, port=said.remote[1])


def test_ring_full_replayed(targets: Targets, taps: Taps) -> None:
    """A replay shows the same losses at the same places, and with --strict it fails as well."""
    ended, _, stream = capture_with_stopped_reader(targets, taps)
    replayed = taps.run("replay", "--strict", ended.record)
    replayed.check_clean(code=1)
    losses = [line for line in ended.out.splitlines() if " lost " in line]
    assert len(losses) >= len(stream.written.gaps) >= 1
    assert [line for line in replayed.out.splitlines() if " lost " in line] == losses


def test_session_that_ends_while_the_ring_is_full(targets: Targets, taps: Taps) -> None:
    """Its last record is lost too; the sum is exact all the same."""
    server = targets.server()
    client = targets.ready("transfer", *server.address, SIZE, 1)
    tap = taps.ready("--pid", client.pid, "--format", "text", *TINY)
    tap.send(signal.SIGSTOP)
    client.go()
    (said,) = client.finish()
    tap.send(signal.SIGCONT)
    ended = tap.stop()
    ended.check_clean()
    stream = ended.streams.find(said)
    captured = len(stream.written.bytes) + len(stream.read.bytes)
    missing = said.written.count + said.read.count - captured
    assert missing > SIZE // 2
    assert summary_bytes(ended, "ring full") == missing


def test_nothing_lost_and_strict(targets: Targets, taps: Taps) -> None:
    client = targets.ready("pairs", 2, 2, 1000, 1)
    tap = taps.ready("--pid", client.pid, "--strict")
    client.go()
    client.finish()
    tap.stop_clean()


@pytest.mark.matrix
def test_call_larger_than_the_ceiling(targets: Targets, taps: Taps) -> None:
    """One SSL_write of 20 MiB: what is beyond the first 16 is named."""
    server = targets.server()
    size = CEILING_BYTES + (4 << 20)
    client = targets.ready("transfer", *server.address, size, 100)
    tap = taps.ready("--pid", client.pid, "--mapsize", 65536)
    client.go()
    (said,) = client.finish()
    ended = tap.stop()
    ended.check_clean()
    stream = ended.streams.find(said)
    assert stream.written.missing_bytes == size - CEILING_BYTES == said.written.count - len(stream.written.bytes)
    assert summary_bytes(ended, "beyond") == size - CEILING_BYTES
