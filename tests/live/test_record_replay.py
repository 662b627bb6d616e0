# SPDX-License-Identifier: Apache-2.0
"""A recording is the capture: replayed it shows the same, cut anywhere it is good up to the cut."""

from __future__ import annotations

import random
import signal
import stat
import time
from itertools import pairwise
from pathlib import Path

import pytest
from harness.streams import Streams
from harness.tap import Ended, Taps
from harness.target import Targets

from plaintap.events import HEADER, Kind
from plaintap.runtime import recording
from plaintap.runtime.recording import MAGIC

CUTS = 300
SLACK_S = 5.0
PATHS = ("/small/10", "/large/40000", "/posted/30000+", "/one/1+", "/again/500")


@pytest.fixture
def captured(targets: Targets, taps: Taps) -> Ended:
    """Text of HTTP exchanges and of bytes that are none, both ends, and the recording."""
    server, plain = targets.server("http"), targets.server()
    client = targets.ready("client.py", *server.address, targets.certificate, *PATHS)
    other = targets.ready("transfer", *plain.address, 300, 20000, "mixed", 2)
    pids = ",".join(str(target.pid) for target in (server, plain, client, other))
    tap = taps.ready("--pid", pids, "--format", "text")
    for target in (client, other):
        target.go()
        target.finish()
    for target in (server, plain):
        target.finish()
    return tap.stop_clean()


@pytest.mark.parametrize("flags", [(), ("-v",), ("-vv",), ("--hex",), ("--format", "ecapture")], ids=str)
def test_replay_shows_what_was_shown(targets: Targets, taps: Taps, flags: tuple[str, ...]) -> None:
    server = targets.server("http")
    client = targets.ready("client.py", *server.address, targets.certificate, *PATHS)
    form = flags if "--format" in flags else ("--format", "text", *flags)
    tap = taps.ready("--pid", f"{client.pid},{server.pid}", *form)
    client.go()
    client.finish()
    server.finish()
    live = tap.stop_clean()
    replayed = taps.run("replay", *form, live.record)
    replayed.check_clean()
    assert live.out.strip()
    assert replayed.out == live.out


def test_replay_sums_up_the_same(captured: Ended, taps: Taps) -> None:
    """All of the summary but the time it took."""
    replayed = taps.run("replay", captured.record)
    replayed.check_clean()
    assert replayed.out == captured.out
    assert replayed.summary.split(" · ")[1:] == captured.summary.split(" · ")[1:]


def test_exchanges_are_lines(captured: Ended) -> None:
    """Both ends of every exchange, and the bytes of the other connection."""
    for path in PATHS:
        lines = [line for line in captured.out.splitlines() if path.rstrip("+") in line]
        assert len(lines) == 2, captured.out
        assert all(" 200 " in line for line in lines)


def test_recording_is_private(captured: Ended) -> None:
    assert stat.S_IMODE(captured.record.stat().st_mode) == 0o600


def test_replay_needs_no_privilege(captured: Ended, taps: Taps) -> None:
    without = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    replayed = taps.run("replay", captured.record, before=without)
    replayed.check_clean()
    assert replayed.out == captured.out


def test_recording_cut_anywhere(captured: Ended, tmp_path: Path) -> None:
    """Every cut gives a prefix of every stream, and longer cuts give no less."""
    content = captured.record.read_bytes()
    whole = {stream.session: stream for stream in captured.streams.all}
    cut_file = tmp_path / "cut"
    chooser = random.Random(1)  # noqa: S311
    cuts = sorted({*range(8, 64), *(chooser.randrange(8, len(content)) for _ in range(CUTS)), len(content)})
    before = -1
    for cut in cuts:
        cut_file.write_bytes(content[:cut])
        streams = Streams.from_recording(cut_file).all
        for stream in streams:
            assert whole[stream.session].read.bytes.startswith(stream.read.bytes)
            assert whole[stream.session].written.bytes.startswith(stream.written.bytes)
            assert (stream.read.gaps, stream.written.gaps) == ([], [])
        amount = sum(len(stream.read.bytes) + len(stream.written.bytes) for stream in streams)
        assert before <= amount <= cut
        before = amount
    assert before == sum(len(stream.read.bytes) + len(stream.written.bytes) for stream in whole.values())


def boundaries(content: bytes) -> list[int]:
    """Where each record begins, and the end of the last."""
    places = [len(MAGIC)]
    while places[-1] < len(content):
        _, _, _, size, _, _, _ = HEADER.unpack_from(content, places[-1])
        places.append(places[-1] + size)
    return places


@pytest.mark.parametrize("part", [0.5, 0.8])
def test_replay_of_a_cut_recording(captured: Ended, taps: Taps, tmp_path: Path, part: float) -> None:
    """The same lines up to the cut, how many bytes were left out, and no success with --strict."""
    content = captured.record.read_bytes()
    begin, end = next(pair for pair in pairwise(boundaries(content)) if pair[1] > len(content) * part)
    assert begin < end - 10
    cut_file = tmp_path / "cut"
    cut_file.write_bytes(content[: end - 5])
    replayed = taps.run("replay", cut_file)
    replayed.check_clean()
    assert f"plaintap: {cut_file} ends inside a record: its {end - 5 - begin} bytes are left out\n" in replayed.err
    assert f"{end - 5 - begin:,} bytes: the recording ends inside a record" in replayed.summary
    complete = [line for line in replayed.out.splitlines() if " 200 " in line and "incomplete" not in line]
    assert complete, replayed.out
    assert set(complete) <= set(captured.out.splitlines())
    taps.run("replay", "--strict", cut_file).check_clean(code=1)


def test_replay_of_a_recording_cut_between_records(captured: Ended, taps: Taps, tmp_path: Path) -> None:
    """Nothing is torn, but its end is missing, and that is said."""
    content = captured.record.read_bytes()
    cut_file = tmp_path / "cut"
    cut_file.write_bytes(content[: boundaries(content)[-2]])
    replayed = taps.run("replay", cut_file, "--strict")
    replayed.check_clean(code=1)
    assert f"{cut_file} has no end" in replayed.err
    assert replayed.out == captured.out


@pytest.mark.parametrize("size", [0, 4, 31, 0xFFFFFFFF])
def test_replay_of_a_damaged_size_field(captured: Ended, taps: Taps, tmp_path: Path, size: int) -> None:
    """An error that names the place in the file."""
    content = bytearray(captured.record.read_bytes())
    places = boundaries(bytes(content))
    place = places[len(places) // 2]
    content[place + 4 : place + 8] = size.to_bytes(4, "little")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content)
    replayed = taps.run("replay", damaged)
    replayed.check_clean(code=1)
    assert f"{damaged} is damaged: no record at byte {place}\n" in replayed.err


def test_replay_of_a_meta_record_that_is_garbage(captured: Ended, taps: Taps, tmp_path: Path) -> None:
    """Not understood, so counted; everything else is there."""
    content = captured.record.read_bytes()
    body = b'{"clock_offset_ns": "yesterday", '
    garbage = HEADER.pack(1, Kind.META, 0, HEADER.size + len(body), 1, 0, 0) + body
    place = boundaries(content)[2]
    other = tmp_path / "other"
    other.write_bytes(content[:place] + garbage + content[place:])
    replayed = taps.run("replay", other)
    replayed.check_clean()
    assert replayed.out == captured.out
    assert replayed.summary.endswith("lost 1 record: not understood")
    taps.run("replay", "--strict", other).check_clean(code=1)


def test_replay_in_real_time(captured: Ended, taps: Taps) -> None:
    """The same in the same order, and no faster than it was."""
    stamps = [record[3] for record in recording.read(str(captured.record))]
    lasted_s = (stamps[-1] - stamps[0]) / 1e9
    began = time.monotonic()
    replayed = taps.run("replay", "--realtime", captured.record)
    took_s = time.monotonic() - began
    replayed.check_clean()
    assert replayed.out == captured.out
    assert lasted_s <= took_s < lasted_s + SLACK_S


def test_recording_of_a_killed_tool(targets: Targets, taps: Taps) -> None:
    """What was drained before the kill can be replayed."""
    server = targets.server()
    client = targets.ready("two_parts", *server.address, 100_000, 10)
    tap = taps.ready("--pid", client.pid)
    client.go()
    client.expect("first")
    client.go()
    client.expect("spoken")
    tap.wait_until_drained()
    tap.send(signal.SIGKILL)
    ended = tap.wait()
    (stream,) = ended.streams.all
    assert len(stream.written.bytes) == 22 + 100 + 22 + 100_000
    assert len(stream.read.bytes) == 100
    client.go()
    client.finish()
    taps.run("replay", ended.record).check_clean()


def test_recording_says_where_it_is_from(captured: Ended) -> None:
    meta = {key: value for values in captured.streams.meta for key, value in values.items()}
    assert meta["kernel"]
    assert meta["clock_offset_ns"]
    assert "counters" in meta
    assert any("libssl" in str(values.get("path", "")) for values in captured.streams.meta)
