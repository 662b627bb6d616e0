# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import stat
from pathlib import Path

import pytest

from plaintap.errors import OutputError
from plaintap.outputs.sinks.packetfile import PacketFile, Rotation


def write(file: PacketFile, *blocks: bytes) -> None:
    for block in blocks:
        file.write(block)
        if file.is_due:
            file.begin()


def test_one_file_is_its_owners_alone_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"what was there")
    path.chmod(0o644)
    file = PacketFile(str(path), Rotation())
    write(file, b"one", b"two")
    file.close()
    file.close()
    assert path.read_bytes() == b"onetwo"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_file_by_size_as_tcpdump_names_them(tmp_path: Path) -> None:
    file = PacketFile(str(tmp_path / "a"), Rotation(size_bytes=4))
    write(file, b"12", b"34", b"567", b"89", b"0")
    file.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1234", "a1": b"56789", "a2": b"0"}


def test_so_many_files_are_kept(tmp_path: Path) -> None:
    file = PacketFile(str(tmp_path / "a"), Rotation(size_bytes=1, files=11))
    write(file, *(b"%x" % number for number in range(15)))
    file.close()
    names = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert names == {
        **{f"a{number:02}": b"%x" % (number + 11) for number in range(4)},
        "a04": b"",
        **{f"a{number:02}": b"%x" % number for number in range(5, 11)},
    }


def test_names_by_time_are_never_written_twice(tmp_path: Path) -> None:
    file = PacketFile(str(tmp_path / "%Y"), Rotation(period_s=1e-9, files=2))
    write(file, b"1", b"2", b"3")
    file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert all(name[:4].isdecimal() for name in names)


def test_a_percent_sign_without_time_is_one(tmp_path: Path) -> None:
    PacketFile(str(tmp_path / "100%Y"), Rotation()).close()
    assert (tmp_path / "100%Y").exists()


@pytest.mark.parametrize("path", ["", "missing/a.pcapng"])
def test_it_says_why_it_cannot(tmp_path: Path, path: str) -> None:
    with pytest.raises(OutputError, match="cannot write packets to ") as raised:
        PacketFile(str(tmp_path / path), Rotation())
    assert raised.value.hint == "-w FILE names another file, -w - standard output"


def test_a_file_with_another_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    with pytest.raises(OutputError, match="it has another name as well"):
        PacketFile(str(tmp_path / "a"), Rotation())
    assert (tmp_path / "b").read_bytes() == b"x"


def test_what_another_writes_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    first = PacketFile(str(path), Rotation())
    first.write(b"whole blocks")
    with pytest.raises(OutputError, match="another plaintap writes it"):
        PacketFile(str(path), Rotation())
    assert path.read_bytes() == b"whole blocks"
    first.close()
    PacketFile(str(path), Rotation()).close()
    assert path.read_bytes() == b""
