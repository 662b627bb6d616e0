# SPDX-License-Identifier: Apache-2.0
"""`plaintap layouts`: the list, the check of one file, and what is said of files that are none."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from elf_image import RET, ElfImage
from fake_cli import Cli
from msgspec import structs

from plaintap.errors import TargetError
from plaintap.targets.layouts.lookup import find_layout, known_versions
from plaintap.targets.layouts.model import Layout

Library = Callable[[int], str]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Makes a library that says it is of this version."""

    def make(number: int) -> str:
        image = ElfImage()
        image.add("SSL_read", [RET])
        image.add("OpenSSL_version_num", [b"\xb8", struct.pack("<I", number), RET])
        return image.write(tmp_path / "libssl.so.3")

    return make


@pytest.fixture
def calibration(monkeypatch: pytest.MonkeyPatch) -> Callable[[Layout | str], None]:
    """Sets what calibration will find, or why it cannot."""

    def will_be(result: Layout | str) -> None:
        def calibrate(path: str) -> Layout:
            if isinstance(result, str):
                raise TargetError(f"{path} cannot be calibrated: {result}")
            return result

        monkeypatch.setattr("plaintap.targets.calibration.calibrator.calibrate", calibrate)

    return will_be


def layout_of(version: str) -> Layout:
    known = find_layout(version)
    assert known is not None
    return known.layout


def test_the_list_has_every_row(cli: Cli) -> None:
    outcome = cli("layouts")
    assert (outcome.code, outcome.err) == (0, "")
    head, *lines = outcome.out.splitlines()
    assert head.split() == ["VERSION", "KEYS", "HOW", "IT", "IS", "KNOWN"]
    assert [line.partition("  ")[0] for line in lines] == [row.label for row in known_versions()]
    for line, row in zip(lines, known_versions(), strict=True):
        assert line.endswith(row.source)
    assert any("from source only" in line for line in lines)


@pytest.mark.parametrize("columns", [60, 100])
def test_the_list_on_a_terminal_is_as_wide_as_that(cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = cli("layouts").out.splitlines()
    assert len(lines) > len(known_versions()) + 1
    # A narrow one gets a column that can still be read.
    assert max(map(len, lines)) <= max(columns, 48 + 24)


def test_the_list_for_programs(cli: Cli) -> None:
    rows = json.loads(cli("layouts", "--json").out)
    assert [row["versions"] for row in rows] == [row.label for row in known_versions()]
    (debian,) = (row for row in rows if row["versions"] == "3.0.0-3.0.22")
    assert debian["layout"]["client_random"] == 0x160
    assert debian["family"] == "openssl"
    assert "3.0.22 (Debian 12)" in debian["measured"]


def test_calibration_agrees(cli: Cli, library: Library, calibration: Callable[[Layout | str], None]) -> None:
    path = library(0x30000160)
    calibration(layout_of("3.0.22"))
    outcome = cli("layouts", "--check", path)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == path
    assert lines[1].split() == ["version", "3.0.22"]
    assert lines[2].split() == ["layout", "3.0.0-3.0.22"]
    assert lines[3].split()[:3] == ["how", "measured", "in"]
    assert lines[4] == "  calibration  agrees about all 22 fields"
    assert len(lines) == 5


def test_calibration_disagrees(cli: Cli, library: Library, calibration: Callable[[Layout | str], None]) -> None:
    calibration(structs.replace(layout_of("3.0.22"), session=2360))
    path = library(0x30000160)
    outcome = cli("layouts", "--check", path)
    assert (outcome.code, outcome.err) == (1, "")
    assert "  calibration  disagrees about 1 of the fields\n    session: 2328 in the table, 2360 found\n" in outcome.out
    assert "\n  capture      uses what calibration found\n" in outcome.out
    assert "\n    session=2360,\n" in outcome.out
    answer = json.loads(cli("layouts", "--json", "--check", path).out)
    assert answer["differences"] == {"session": [2328, 2360]}
    assert (answer["good"], answer["origin"], answer["version"]) == (False, "table", "3.0.22")


def test_calibration_is_not_possible(cli: Cli, library: Library, calibration: Callable[[Layout | str], None]) -> None:
    calibration("it is a program\x1b[31m")
    path = library(0x30000160)
    outcome = cli("layouts", "--check", path)
    assert outcome.code == 0
    assert outcome.out.endswith(
        "\n  calibration  not possible: it is a program\\x1b[31m\n"
        "  capture      uses the layout of its version unproven; -m keylog holds its client randoms against"
        " ClientHellos, and says if its keys are doubtful\n"
    )
    answer = json.loads(cli("layouts", "--json", "--check", path).out)
    assert (answer["problem"], answer["calibrated"], answer["good"]) == ("it is a program\x1b[31m", None, True)


def test_a_guess_is_called_one(cli: Cli, library: Library, calibration: Callable[[Layout | str], None]) -> None:
    calibration(layout_of("3.0.22"))
    outcome = cli("layouts", "--check", library(0x300000F0 + 0x100))
    assert outcome.code == 0
    assert "  version      3.0.31\n  layout       3.0.0-3.0.22, the nearest lower one: a guess\n" in outcome.out
    assert "\n    client_random=352,\n" in outcome.out


def test_a_guess_that_cannot_be_tested(cli: Cli, library: Library, calibration: Callable[[Layout | str], None]) -> None:
    calibration("it is a program")
    outcome = cli("layouts", "--check", library(0x300000F0 + 0x100))
    assert outcome.code == 0
    assert "\n  capture      uses that guess, and says so; -m keylog holds its client randoms" in outcome.out


def test_no_layout_but_calibration(cli: Cli, library: Library, calibration: Callable[[Layout | str], None]) -> None:
    calibration(layout_of("3.6.5"))
    outcome = cli("layouts", "--check", library(0x30700010))
    assert outcome.code == 0
    assert "  layout       none is known for this version; known are 3.6.5 and 4.0.0\n" in outcome.out
    assert "  calibration  found a layout\n  capture      uses what calibration found\n" in outcome.out
    assert "\n    has_type=True,\n" in outcome.out
    assert "\n    exporter_secret=2044,\n" in outcome.out


def test_neither(cli: Cli, library: Library, calibration: Callable[[Layout | str], None]) -> None:
    calibration("it is a program")
    outcome = cli("layouts", "--check", library(0))
    assert outcome.code == 1
    assert outcome.err == ""
    assert "  version      unknown: the file does not tell\n" in outcome.out
    assert "  layout       none is known for this version\n" in outcome.out
    assert "  capture      takes no keys from it, and tells its connections by their system calls only\n" in outcome.out


def test_files_that_hold_no_library(cli: Cli, tmp_path: Path) -> None:
    path = ElfImage(text=b"\xc3", rodata=b"OpenSSL 3.0.16 11 Feb 2025\0").write(tmp_path / "curl")
    outcome = cli("layouts", "--check", path)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"plaintap: {path} holds no OpenSSL-family library: it does not define SSL_read or SSL_write\n"
        "  hint: give libssl, or the program it is linked into\n"
    )
    missing = tmp_path / "none"
    outcome = cli("layouts", "--check", str(missing))
    assert (outcome.code, outcome.err) == (1, f"plaintap: {missing}: no such file\n")
    (tmp_path / "text").write_text("x")
    assert cli("layouts", "--check", str(tmp_path / "text")).code == 1


def test_wrong_use(cli: Cli) -> None:
    assert cli.refused("layouts", "--check").startswith("plaintap: --check requires an argument\n")
    assert cli.refused("layouts", "--chek", "x").endswith("  hint: did you mean --check?\n")
    assert cli.refused("layouts", "x").startswith("plaintap: got unexpected extra argument (x)\n")
