# SPDX-License-Identifier: Apache-2.0
"""Recordings: what is written where, what happens when it cannot be, and what is read back."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from record_bytes import Speaker
from record_bytes import recording as recording_of

from plaintap import __version__
from plaintap.errors import RecordingError
from plaintap.events import HEADER, READ, WIRE_VERSION, WRITE, Kind, Meta, Record, decode_fact
from plaintap.runtime import recording
from plaintap.runtime.recording import MAGIC, READ_BYTES, Recorder


def metas(path: Path) -> list[Meta]:
    facts = [decode_fact(record[1], record[4]) for record in recording.read(str(path)) if not record[0]]
    return [fact for fact in facts if isinstance(fact, Meta)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.ptap"


def begun(path: Path) -> Recorder:
    recorder = Recorder(str(path))
    recorder.begin(clock_offset_ns=7)
    return recorder


def test_nothing_changes_before_it_begins(path: Path) -> None:
    path.write_bytes(MAGIC + b"an older one")
    path.chmod(0o644)
    Recorder(str(path)).close()
    assert path.read_bytes() == MAGIC + b"an older one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_it_begins_empty_private_and_with_the_clock(path: Path) -> None:
    path.write_bytes(MAGIC + b"an older one, much longer than what takes its place" * 100)
    path.chmod(0o644)
    begun(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(MAGIC)
    (meta,) = metas(path)
    assert (meta.plaintap, meta.kernel, meta.clock_offset_ns) == (__version__, os.uname().release, 7)


@pytest.mark.parametrize("content", [b"my diary", MAGIC[:-1] + b"2"])
def test_what_is_no_recording_stays(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="it holds something else, which would be lost") as caught:
        Recorder(str(path))
    assert caught.value.hint == "--record names a new file, or a recording"
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", MAGIC[:3], MAGIC])
def test_one_that_has_just_begun_is_begun_again(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    begun(path).close()
    assert len(metas(path)) == 1


def test_a_new_file_is_private_at_once(path: Path) -> None:
    umask = os.umask(0)
    try:
        Recorder(str(path)).close()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_records_come_back_in_order(path: Path) -> None:
    speaker = Speaker()
    recorder = begun(path)
    recorder.meta(Meta(library=1, name="libssl 3.0.22", path="/usr/lib/libssl.so.3"))
    recorder.raw(speaker.data(WRITE, b"asked"))
    recorder.raw(speaker.data(READ, b"answered"))
    recorder.meta(Meta(counters={"ring_full_records": 3}))
    recorder.close()
    data = [record[4] for record in recording.read(str(path)) if record[0]]
    assert data == [b"asked", b"answered"]
    _, library, end = metas(path)
    assert (library.library, library.name, library.path) == (1, "libssl 3.0.22", "/usr/lib/libssl.so.3")
    assert end.counters == {"ring_full_records": 3}


def test_what_the_ring_writes_itself_stands_between(path: Path) -> None:
    """It writes into the descriptor while other threads append through the recorder."""
    speaker = Speaker()
    recorder = begun(path)
    os.write(recorder.fd, speaker.data(WRITE, b"by the ring"))
    recorder.raw(speaker.data(WRITE, b"by us"))
    recorder.close()
    assert [record[4] for record in recording.read(str(path)) if record[0]] == [b"by the ring", b"by us"]


def test_after_the_end_nothing_is_written_and_nothing_raised(path: Path) -> None:
    recorder = begun(path)
    recorder.close()
    size = path.stat().st_size
    # Its descriptor's number may belong to somebody else by now.
    other = os.open(path.with_name("other"), os.O_WRONLY | os.O_CREAT)
    recorder.raw(b"late")
    recorder.meta(Meta(name="late"))
    recorder.close()
    assert path.stat().st_size == size
    assert os.fstat(other).st_size == 0
    os.close(other)


def test_no_program_we_start_inherits_it(path: Path) -> None:
    recorder = begun(path)
    assert not os.get_inheritable(recorder.fd)
    recorder.close()


def test_a_pipe_keeps_its_mode_and_gets_everything(path: Path) -> None:
    os.mkfifo(path, 0o640)
    mode = path.stat().st_mode
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = begun(path)
    recorder.raw(Speaker().data(WRITE, b"hello"))
    recorder.close()
    content = os.read(reader, 1 << 16)
    os.close(reader)
    assert path.stat().st_mode == mode
    assert content.startswith(MAGIC)
    assert content.endswith(b"hello")


def test_a_pipe_nobody_reads_is_refused_at_once(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(RecordingError, match=f"cannot record to {path}: no such device or address"):
        Recorder(str(path))


def test_a_reader_that_went_away_is_a_failure(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = begun(path)
    os.close(reader)
    with pytest.raises(RecordingError, match=f"cannot record to {path}: broken pipe"):
        recorder.raw(b"more")
    recorder.close()


def test_a_full_disk_names_the_file() -> None:
    recorder = Recorder("/dev/full")
    with pytest.raises(RecordingError, match="cannot record to /dev/full: no space left on device") as raised:
        recorder.begin(clock_offset_ns=0)
    assert raised.value.hint
    recorder.close()


@pytest.mark.parametrize(("name", "why"), [("no/such/folder", "no such file or directory"), (".", "is a directory")])
def test_a_place_that_cannot_be_written(tmp_path: Path, name: str, why: str) -> None:
    place = tmp_path / name
    with pytest.raises(RecordingError, match=f"cannot record to {place}: {why}"):
        Recorder(str(place))


# Reading.


def read(path: Path, content: bytes) -> tuple[list[Record], list[int]]:
    path.write_bytes(content)
    cuts: list[int] = []
    records = [record for batch in recording.batches(str(path), cut=cuts.append) for record in batch]
    return records, cuts


@pytest.mark.parametrize("cut", [1, 31, 32, 33, 100, 140])
def test_a_cut_record_is_left_out_and_its_size_told(path: Path, cut: int) -> None:
    speaker = Speaker()
    whole, half = recording_of(speaker.data(WRITE, b"hello")), speaker.data(WRITE, b"again")[:cut]
    records, cuts = read(path, whole + half)
    assert [record[4] for record in records if record[0]] == [b"hello"]
    assert cuts == [cut]


def test_a_whole_recording_is_not_cut(path: Path) -> None:
    assert read(path, recording_of(Speaker().data(WRITE, b"hello")))[1] == []
    assert read(path, MAGIC) == ([], [])


def test_records_over_the_edge_of_what_is_read_at_once(path: Path) -> None:
    speaker = Speaker()
    pieces = [bytes([number % 256]) * 16384 for number in range(3 * READ_BYTES // 16384)]
    records, cuts = read(path, recording_of(*(speaker.data(WRITE, piece) for piece in pieces)))
    assert [record[4] for record in records if record[0]] == pieces
    assert cuts == []


@pytest.mark.parametrize("content", [b"", b"PTAPREC", b"PTAPREC2", b"\x7fELF and so on"])
def test_something_else_is_no_recording(path: Path, content: bytes) -> None:
    with pytest.raises(RecordingError, match=f"{path} is no recording: it does not begin with PTAPREC1") as raised:
        read(path, content)
    assert raised.value.hint


@pytest.mark.parametrize("size", [0, 1, 31, 0xFFFFFFFF])
@pytest.mark.parametrize("before", [1, 100])
def test_a_damaged_size_names_the_byte_of_the_file(path: Path, size: int, before: int) -> None:
    """Also where the file is longer than what is read at once."""
    speaker = Speaker()
    good = recording_of(*(speaker.data(WRITE, b"x" * 16384) for _ in range(before)))
    head = HEADER.pack(WIRE_VERSION, Kind.DATA, 0, size, 1, 2, 3)
    with pytest.raises(RecordingError, match=f"{path} is damaged: no record at byte {len(good)}$"):
        read(path, good + head + b"\0" * 200)


def test_what_stands_before_the_damage_is_read(path: Path) -> None:
    speaker = Speaker()
    path.write_bytes(recording_of(speaker.data(WRITE, b"good")) + b"\0" * 200)
    records = recording.read(str(path))
    assert next(data for session, _, _, _, data, _ in records if session) == b"good"
    with pytest.raises(RecordingError):
        list(records)


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(RecordingError, match=f"cannot read {path}: no such file or directory"):
        list(recording.batches(str(path)))


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=f"cannot read {tmp_path}: is a directory"):
        list(recording.batches(str(tmp_path)))
