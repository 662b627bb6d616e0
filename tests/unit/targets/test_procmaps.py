# SPDX-License-Identifier: Apache-2.0
"""Executable mappings of made-up processes, and of this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from plaintap.errors import TargetError
from plaintap.targets.procmaps import FileId, open_mapped, scan

MAPS = """\
55d000000000-55d000001000 r--p 00000000 fe:01 {program}                          {root}/bin/program
55d000001000-55d000002000 r-xp 00001000 fe:01 {program}                          {root}/bin/program
55d000003000-55d000004000 rw-p 00000000 00:00 0                                  [heap]
7f0000000000-7f0000010000 r-xp 00000000 fe:01 {library}                            {root}/lib/libssl.so.3
7f0000020000-7f0000030000 rwxp 00000000 fe:01 {library}                            {root}/lib/libssl.so.3
7f0000040000-7f0000050000 r-xp 00000000 103:1a 77                            {root}/lib/x ps 0 1:2 3 /y
7f0000060000-7f0000070000 r-xs 00000000 00:01 88                            /memfd:jit (deleted)
7f0000080000-7f0000090000 rwxp 00000000 00:00 0
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                                  [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


class Host:
    """A made-up /proc whose processes see the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.proc.mkdir()
        self.root = folder / "root"
        (self.root / "bin").mkdir(parents=True)
        (self.root / "lib").mkdir()
        self.program = self.root / "bin" / "program"
        self.library = self.root / "lib" / "libssl.so.3"
        self.program.write_text("program")
        self.library.write_text("library")
        (self.proc / "version").write_text("not a process")

    def add(self, pid: int, *, inside: bool = True) -> None:
        """A process; one that is `inside` names files as seen from its own root folder."""
        process = self.proc / str(pid)
        process.mkdir()
        (process / "root").symlink_to(self.root if inside else "/")
        inodes = {"program": self.program.stat().st_ino, "library": self.library.stat().st_ino}
        (process / "maps").write_text(MAPS.format(root="" if inside else self.root, **inodes))
        (process / "map_files").mkdir()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_files_and_their_processes(host: Host) -> None:
    host.add(7)
    host.add(8)
    host.add(9)
    result = scan(skip={9}, proc=str(host.proc))
    assert (result.processes, result.unreadable, result.vanished) == (2, 0, 0)
    by_path = {file.display_path: file for file in result.files.values()}
    assert by_path.keys() == {"/bin/program", "/lib/libssl.so.3", "/lib/x ps 0 1:2 3 /y", "/memfd:jit"}
    library = by_path["/lib/libssl.so.3"]
    assert library.id == FileId((0xFE, 1), host.library.stat().st_ino)
    assert library.pids == {7, 8}
    assert not library.deleted
    assert library.open_path in {f"{host.proc}/{pid}/root/lib/libssl.so.3" for pid in (7, 8)}
    assert by_path["/lib/x ps 0 1:2 3 /y"].id == FileId((0x103, 0x1A), 77)
    memory = by_path["/memfd:jit"]
    assert memory.deleted
    assert memory.open_path == memory.mapping_path
    assert memory.open_path.endswith("/map_files/7f0000060000-7f0000070000")


def test_chosen_processes_and_those_that_are_gone(host: Host) -> None:
    host.add(7)
    host.add(8)
    result = scan([8, 4242], proc=str(host.proc))
    assert (result.processes, result.vanished) == (1, 1)
    assert all(file.pids == {8} for file in result.files.values())


def test_paths_as_this_process_sees_them(host: Host) -> None:
    """A process in a chroot: the kernel tells the reader's own path, which its root must not be put before."""
    host.add(7, inside=False)
    (host.proc / "7" / "root").unlink()
    (host.proc / "7" / "root").symlink_to(host.root)
    result = scan(proc=str(host.proc))
    (library,) = (file for file in result.files.values() if file.display_path.endswith("libssl.so.3"))
    assert library.open_path == str(host.library)


def test_line_feed_in_a_name(host: Host) -> None:
    host.add(7)
    line = "7f0000000000-7f0000010000 r-xp 00000000 fe:01 5                            /lib/a\\012b.so\n"
    (host.proc / "7" / "maps").write_text(line)
    (file,) = scan(proc=str(host.proc)).files.values()
    assert file.display_path == "/lib/a\nb.so"


def library_of(host: Host) -> FileId:
    return FileId((0xFE, 1), host.library.stat().st_ino)


def test_open_checks_the_inode(host: Host) -> None:
    host.add(7)
    host.add(8)
    file = scan(proc=str(host.proc)).files[library_of(host)]
    fd = open_mapped(file, proc=str(host.proc))
    assert os.read(fd, 99) == b"library"
    os.close(fd)

    (host.root / "lib" / "new").write_text("new library")
    (host.root / "lib" / "new").rename(host.library)
    with pytest.raises(TargetError, match=r"/lib/libssl.so.3: cannot be opened: replaced on disk, no such file or dir"):
        open_mapped(file, proc=str(host.proc))


def test_open_takes_another_process_or_the_mapping(host: Host, tmp_path: Path) -> None:
    host.add(7)
    host.add(8)
    file = scan(proc=str(host.proc)).files[library_of(host)]
    first = Path(file.open_path).parents[2]
    (first / "root").unlink()
    os.close(open_mapped(file, proc=str(host.proc)))

    kept = tmp_path / "kept"
    os.link(host.library, kept)
    host.library.unlink()
    (first / "map_files" / Path(file.mapping_path).name).symlink_to(kept)
    fd = open_mapped(file, proc=str(host.proc))
    assert os.read(fd, 99) == b"library"
    os.close(fd)


def test_this_process() -> None:
    result = scan([os.getpid()])
    inode = Path(sys.executable).resolve().stat().st_ino
    (program,) = (file for file in result.files.values() if file.id.inode == inode)
    fd = open_mapped(program)
    assert os.fstat(fd).st_ino == inode
    os.close(fd)
