# SPDX-License-Identifier: Apache-2.0
"""`plaintap har`: what it says of a file, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from plaintap.cli.har import COMMAND
from plaintap.errors import OutputError
from plaintap.outputs.har_document import END, head

ENTRY = b'\n{"startedDateTime":"2023"}'


def run(*arguments: str) -> int:
    with COMMAND.make_context("har", list(arguments)) as context:
        code: int = COMMAND.invoke(context)
    return code


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.har"


def test_a_whole_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = head() + ENTRY + b"," + ENTRY + END
    path.write_bytes(content)
    assert (run(str(path)), run("--repair", str(path))) == (0, 0)
    assert capsys.readouterr().out == f"{path}: 2 entries, whole\n" * 2
    assert path.read_bytes() == content


def test_a_torn_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(head() + ENTRY + b',\n{"sta')
    assert run(str(path)) == 1
    assert capsys.readouterr().out == f"{path}: torn after 1 entry; `plaintap har --repair {path}` restores it\n"
    assert run("--repair", str(path)) == 0
    assert capsys.readouterr().out == f"{path}: repaired, 1 entry kept, 7 bytes behind them left out\n"
    assert path.read_bytes() == head() + ENTRY + END


def test_what_is_none(path: Path) -> None:
    with pytest.raises(OutputError, match="no such file or directory"):
        run(str(path))
    path.write_text("{}")
    with pytest.raises(OutputError, match="is no HAR of plaintap"):
        run("--repair", str(path))
