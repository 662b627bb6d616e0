# SPDX-License-Identifier: Apache-2.0
"""The file of a HAR is whole after every write, and its repair after a torn one."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from full_disk import file_size_limited
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaintap.errors import OutputError
from plaintap.outputs.har_document import END, head
from plaintap.outputs.har_repair import look_at, repair
from plaintap.outputs.sinks.harfile import HarFile


def entry(number: int, size: int = 10) -> bytes:
    return json.dumps({"startedDateTime": "2023", "number": number, "text": "x" * size}).encode() + b"\n"


def numbers(path: Path) -> list[int]:
    log: dict[str, Any] = json.loads(path.read_bytes())["log"]
    assert (log["version"], log["creator"]["name"]) == ("1.2", "plaintap")
    return [each["number"] for each in log["entries"]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.har"


def test_it_is_whole_after_every_write(path: Path) -> None:
    sink = HarFile(str(path))
    assert numbers(path) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sink.write(entry(1))
    sink.write(entry(2) + entry(3))
    sink.flush()
    assert numbers(path) == [1, 2, 3]
    sink.flush()
    sink.write(entry(4, 1 << 20))
    sink.close()
    sink.close()
    assert numbers(path) == [1, 2, 3, 4]
    assert look_at(str(path)).entries == 4
    assert look_at(str(path)).whole


def test_a_batch_is_one_call(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = HarFile(str(path))
    calls: list[int] = []
    pwrite = os.pwrite

    def spy(fd: int, data: bytes, offset: int) -> int:
        calls.append(len(data))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", spy)
    sink.write(entry(1) + entry(2))
    sink.flush()
    sink.close()
    assert len(calls) == 1


def test_ours_is_continued(path: Path) -> None:
    for number in range(3):
        sink = HarFile(str(path))
        if number != 1:
            sink.write(entry(number))
        sink.close()
    assert numbers(path) == [0, 2]


@pytest.mark.parametrize("content", [b"{}", b'{"log":{"version":"1.2","creator":{"name":"other"}}}', b"text"])
def test_what_is_not_ours_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OutputError, match="it holds something that is no HAR of plaintap"):
        HarFile(str(path))
    with pytest.raises(OutputError, match="is no HAR of plaintap"):
        repair(str(path))
    assert path.read_bytes() == content


def test_two_do_not_write_one_file(path: Path) -> None:
    sink = HarFile(str(path))
    with pytest.raises(OutputError, match="another plaintap writes it"):
        HarFile(str(path))
    with pytest.raises(OutputError, match="a running plaintap writes"):
        repair(str(path))
    sink.close()
    assert repair(str(path)).whole


def test_a_full_disk_leaves_it_whole(path: Path) -> None:
    sink = HarFile(str(path))
    sink.write(entry(1))
    sink.flush()
    sink.write(entry(2) + entry(3, 4096))
    with file_size_limited(4096), pytest.raises(OutputError, match=f"^cannot write to {path}: file too large$"):
        sink.flush()
    assert numbers(path) == [1]
    assert (sink.dropped_writes, sink.dropped_bytes, sink.failed) == (1, len(entry(2) + entry(3, 4096)), True)
    sink.write(entry(4))
    sink.close()
    assert numbers(path) == [1, 4]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.integers(0, 300), max_size=6), st.data())
def test_a_torn_file_is_repaired(tmp_path: Path, sizes: list[int], data: st.DataObject) -> None:
    path = tmp_path / "torn.har"
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    sink = HarFile(str(path))
    sink.write(b"".join(entry(number, size) for number, size in enumerate(sizes)))
    sink.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(len(head()), len(whole) - 1))] + data.draw(st.binary(max_size=9)))
    found = repair(str(path))
    assert not found.whole
    assert numbers(path) == list(range(found.entries))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert look_at(str(path)).whole
    assert [each.name for each in tmp_path.iterdir()] == ["torn.har"]
    HarFile(str(path)).close()


def test_a_torn_file_is_not_continued(path: Path) -> None:
    path.write_bytes(head() + b"\n" + entry(1)[:-1] + b',\n{"sta')
    with pytest.raises(OutputError, match="its end is missing, as a crash leaves it") as caught:
        HarFile(str(path))
    assert caught.value.hint == f"`plaintap har --repair {path}` restores it"
    assert repair(str(path)).entries == 1
    assert path.read_bytes() == head() + b"\n" + entry(1)[:-1] + END


def test_what_cannot_be_read(path: Path) -> None:
    for call in (look_at, repair):
        with pytest.raises(OutputError, match="no such file or directory"):
            call(str(path))
