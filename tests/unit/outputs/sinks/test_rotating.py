# SPDX-License-Identifier: Apache-2.0
"""Files that rotate: nothing lost, nothing cut, names that sort by time, so many kept."""

from __future__ import annotations

import shutil
import stat
import time
from pathlib import Path

import pytest
import zstandard
from full_disk import file_size_limited

from plaintap.errors import OutputError
from plaintap.outputs.framing import DELIMITED, LINES, Framing, with_length
from plaintap.outputs.sinks.queued import QueuedSink
from plaintap.outputs.sinks.rotating import RotatingFile, Rotation


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events"


def open_file(path: Path, *, framing: Framing = LINES, **rotation: object) -> RotatingFile:
    return RotatingFile(
        str(path),
        form="json",
        unfit=lambda _fd: "",
        framing=framing,
        rotation=Rotation(**rotation),  # type: ignore[arg-type]
    )


def files_of(path: Path) -> list[Path]:
    """Oldest first, the one being written last."""
    return [*sorted(each for each in path.parent.iterdir() if each != path), path]


@pytest.mark.parametrize("framing", [LINES, DELIMITED])
def test_twenty_rotations_by_size_lose_and_cut_nothing(path: Path, framing: Framing) -> None:
    sink = QueuedSink(open_file(path, framing=framing, size_bytes=100_000), lossless=True)
    texts = [b"%06d" % number + b"x" * 92 for number in range(21_000)]
    events = [with_length(text) if framing is DELIMITED else text + b"\n" for text in texts]
    for at in range(0, len(events), 37):
        sink.write(b"".join(events[at : at + 37]))
        sink.flush()
    sink.close()
    files = files_of(path)
    assert len(files) >= 21
    found = [event for each in files for event in framing.cut(each.read_bytes(), bare=True)[0]]
    assert found == texts
    assert all(each.stat().st_size <= 100_000 for each in files)
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}


def test_twenty_rotations_by_time(path: Path) -> None:
    sink = open_file(path, period_s=0.002)
    for number in range(25):
        sink.write(b"%d\n" % number)
        sink.flush()
        time.sleep(0.003)
    sink.close()
    files = files_of(path)
    assert len(files) >= 21
    assert b"".join(each.read_bytes() for each in files).split() == [b"%d" % number for number in range(25)]


def test_so_many_are_kept_and_what_is_not_ours_stays(path: Path) -> None:
    other = path.with_name("events.txt")
    other.write_text("x")
    sink = open_file(path, size_bytes=10, keep=2)
    for number in range(6):
        sink.write(b"%d23456789\n" % number)
        sink.flush()
    sink.close()
    assert other.read_text() == "x"
    other.unlink()
    assert b"".join(each.read_bytes() for each in files_of(path)) == b"323456789\n423456789\n523456789\n"


def test_rotated_files_are_compressed(path: Path) -> None:
    sink = open_file(path, size_bytes=10, compress=True)
    for number in range(3):
        sink.write(b"%d23456789\n" % number)
        sink.flush()
    sink.close()
    *old, new = files_of(path)
    assert [each.suffix for each in old] == [".zst"] * 2
    assert {stat.S_IMODE(each.stat().st_mode) for each in old} == {0o600}
    plain = [zstandard.ZstdDecompressor().decompressobj().decompress(each.read_bytes()) for each in old]
    assert [*plain, new.read_bytes()] == [b"%d23456789\n" % number for number in range(3)]


def test_an_event_larger_than_a_file_stays_whole(path: Path) -> None:
    sink = open_file(path, size_bytes=10)
    sink.write(b"a\n" + b"x" * 50 + b"\nb\n")
    sink.close()
    assert [each.read_bytes() for each in files_of(path)] == [b"a\n", b"x" * 50 + b"\n", b"b\n"]


def test_a_removed_file_is_made_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaintap.outputs.sinks.rotating._LOOK_S", 0)
    sink = open_file(path)
    sink.write(b"a\n")
    sink.flush()
    path.unlink()
    sink.write(b"b\n")
    sink.close()
    assert path.read_bytes() == b"b\n"


def test_a_folder_in_its_place_is_said_once_and_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaintap.outputs.sinks.rotating._LOOK_S", 0)
    sink = open_file(path)
    path.unlink()
    path.mkdir()
    sink.write(b"a\n")
    with pytest.raises(OutputError, match="is a directory"):
        sink.flush()
    sink.write(b"b\n")
    sink.flush()
    assert sink.dropped_writes == 2
    shutil.rmtree(path)
    sink.write(b"c\n")
    sink.close()
    assert path.read_bytes() == b"c\n"


def test_a_full_disk_leaves_whole_binary_events(path: Path) -> None:
    event = with_length(b"\n" * 39)
    sink = QueuedSink(open_file(path, framing=DELIMITED), count=DELIMITED.count)
    sink.write(event * 3)
    with file_size_limited(100):
        sink.drain()
    with pytest.raises(OutputError, match="file too large$"):
        sink.flush()
    sink.close()
    assert path.read_bytes() == event * 2
    assert sink.dropped_writes == 1
