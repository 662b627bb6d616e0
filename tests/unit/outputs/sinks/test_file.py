# SPDX-License-Identifier: Apache-2.0
"""The sink for files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plaintap.errors import OutputError
from plaintap.outputs.sinks.file import FileSink


def test_appends_to_a_file_of_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "events.log"
    for text in (b"one\n", b"two\n"):
        sink = FileSink(path)
        sink.write(text)
        sink.close()
        sink.close()
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "events.log"
    path.touch()
    path.chmod(0o644)
    FileSink(path).close()
    assert path.stat().st_mode & 0o777 == 0o644


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        FileSink(tmp_path)
    assert caught.value.message == f"cannot open {tmp_path} for writing: is a directory"
    assert caught.value.hint == f"name a file in it, such as {tmp_path}/plaintap.log"


def test_missing_parent(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "events.log"
    with pytest.raises(OutputError) as caught:
        FileSink(path)
    assert caught.value.message == f"cannot open {path} for writing: no such file or directory"
    assert caught.value.hint == f"make its directory first: mkdir -p {path.parent}"


def test_no_place_to_write(tmp_path: Path) -> None:
    parent = tmp_path / "file"
    parent.touch()
    with pytest.raises(OutputError, match=r"not a directory$") as caught:
        FileSink(parent / "events.log")
    assert caught.value.hint == "choose a place you may write to"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=r"permission denied$") as caught:
        FileSink(tmp_path / "events.log")
    assert caught.value.hint == "choose a place you may write to"


def test_full_device_is_an_error_once(tmp_path: Path) -> None:
    path = tmp_path / "full"
    path.symlink_to("/dev/full")
    sink = FileSink(path)
    sink.write(b"one\n")
    with pytest.raises(OutputError, match=f"^cannot write to {path}: no space left on device$"):
        sink.flush()
    sink.write(b"two\n")
    sink.close()
    assert sink.dropped_bytes == 8
