# SPDX-License-Identifier: Apache-2.0
"""Go programs of every form taken apart: version, functions, types; forged ones are refused in little time."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from go_image import AARCH64, GO_1_2, GO_1_16, GO_1_18, GO_1_20, TEXT_VADDR, X86_64, GoImage, checked

from plaintap.errors import TargetError
from plaintap.targets.elf import ElfFile
from plaintap.targets.golang.pclntab import find_table
from plaintap.targets.golang.program import GoProgram, open_program
from plaintap.targets.golang.rtypes import Field
from plaintap.targets.layouts.golang import UNKNOWN, layout_of

FORMS = (
    ("go1.15.15", GO_1_2),
    ("go1.16.3", GO_1_16),
    ("go1.18.1", GO_1_18),
    ("go1.20", GO_1_20),
    ("go1.26.8", GO_1_20),
    ("go1.27.3", GO_1_20),
)
READ = ".(*Conn).Read"
HANG_S = 5


_FILES = ExitStack()
"""They stay open while a test runs: a program reads when asked."""


@pytest.fixture(autouse=True)
def _closed_at_the_end() -> Iterator[None]:
    with _FILES:
        yield


def opened(tmp_path: Path, image: GoImage) -> GoProgram:
    program = open_program(_FILES.enter_context(ElfFile(image.write(tmp_path / "program"), machine=image.machine)))
    assert program is not None
    return program


@pytest.mark.parametrize("pie", [False, True])
@pytest.mark.parametrize("machine", [X86_64, AARCH64])
@pytest.mark.parametrize(("version", "magic"), FORMS)
def test_every_form(tmp_path: Path, version: str, magic: int, machine: int, pie: bool) -> None:
    image = GoImage(version=version, magic=magic, machine=machine, pie=pie, stores_text=magic == GO_1_18)
    image.add("net.(*conn).Read", b"\xc3" * 7)
    vaddr = image.add("crypto/tls.(*Conn).Read", b"\xc3" * 20)
    image.add("crypto/tls.(*Conn).ReadMore", b"\xc3")
    program = opened(tmp_path, image)
    assert program.version == version.removeprefix("go")
    assert program.functions("crypto/tls", [READ]) == [("crypto/tls.(*Conn).Read", vaddr, 32)]
    assert program.functions("crypto/tls", ["Nothing"]) == []
    assert program.name_at(vaddr) == "crypto/tls.(*Conn).Read"
    assert program.name_at(vaddr + 1) == ""
    assert program.name_at(vaddr + 4096) == ""
    assert program.pointer_type("TCPConn") == image.addresses["net *net.TCPConn"]
    assert program.pointer_type("UnixConn") == 0
    fields = {"conn": Field(0, 20), "vers": Field(72, 9), "isClient": Field(16, 1)}
    assert program.fields("crypto/tls", "Conn") == fields
    assert program.fields("crypto/tls", "Config") == {}


def test_no_go_program(tmp_path: Path) -> None:
    with ElfFile(GoImage(version="", note=False).write(tmp_path / "x")) as elf:
        assert open_program(elf) is None


def test_a_note_alone_is_a_go_program_of_unknown_version(tmp_path: Path) -> None:
    program = opened(tmp_path, GoImage(version=""))
    assert (program.version, program.info.version) == ("", ())


def test_no_note_but_build_information(tmp_path: Path) -> None:
    assert opened(tmp_path, GoImage(note=False)).version == "1.21.13"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("go1.27rc1", (1, 27)),
        ("devel go1.27-e3d2c1 Tue", (1, 27)),
        ("go1.25-20250209-RC00 cl/724970549", (1, 25)),
        ("gccgo 9", ()),
    ],
)
def test_versions_that_are_no_releases(tmp_path: Path, text: str, numbers: tuple[int, ...]) -> None:
    assert opened(tmp_path, GoImage(version=text)).info.version == numbers


def test_without_a_description_the_header_says_where_the_text_is(tmp_path: Path) -> None:
    image = GoImage(describes=False)
    vaddr = image.add("x.(*Conn).Read", b"\xc3")
    program = opened(tmp_path, image)
    assert [each.vaddr for each in program.functions("crypto/tls", [READ])] == [vaddr]
    assert program.pointer_type("TCPConn") == 0
    assert program.fields("crypto/tls", "Conn") == {}


def test_without_either_it_is_refused(tmp_path: Path) -> None:
    image = GoImage(describes=False, stores_text=False)
    image.add("x.(*Conn).Read", b"\xc3")
    with pytest.raises(TargetError, match="where its text begins is not found"):
        opened(tmp_path, image).functions("crypto/tls", [READ])


def forged(tmp_path: Path, image: GoImage, *, at: int, value: bytes) -> GoProgram:
    """With these bytes at this place of the table of functions."""
    data = bytearray(image.build())
    begin = data.index(struct.pack("<IHBB", image.magic, 0, 1, 8))
    data[begin + at : begin + at + len(value)] = value
    path = tmp_path / "forged"
    path.write_bytes(data)
    program = open_program(_FILES.enter_context(ElfFile(str(path))))
    assert program is not None
    return program


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (4, b"\1"),  # padding
        (6, b"\4"),  # another architecture's instructions
        (7, b"\4"),  # pointers of 32 bits
        (8, bytes(8)),  # no function
        (8, b"\xff" * 8),
        (8, struct.pack("<Q", 1 << 40)),
        (8, struct.pack("<Q", 100_000)),
        (32, b"\xff" * 8),  # the names' place
        (32, struct.pack("<Q", 1 << 30)),
        (64, b"\xff" * 8),  # the pairs' place
        (64, struct.pack("<Q", 72)),
    ],
)
def test_a_forged_header_is_no_table(tmp_path: Path, at: int, value: bytes) -> None:
    image = GoImage()
    image.add("crypto/tls.(*Conn).Read", checked(b""))
    with pytest.raises(TargetError, match="without a table of functions that can be read"):
        forged(tmp_path, image, at=at, value=value).functions("crypto/tls", [READ])


def test_symbols_where_the_table_cannot_be_read(tmp_path: Path) -> None:
    """As of a version to come; types and other names are not known then."""
    image = GoImage(symbols=True)
    vaddr = image.add("crypto/tls.(*Conn).Read", checked(b""))
    image.add("crypto/tls.(*Conn).Reads", checked(b""))
    program = forged(tmp_path, image, at=6, value=b"\4")
    assert program.functions("crypto/tls", [READ]) == [("crypto/tls.(*Conn).Read", vaddr, len(checked(b"")))]
    assert program.table_magic == 0
    assert program.name_at(vaddr) == ""
    assert program.pointer_type("TCPConn") == 0
    assert program.fields("crypto/tls", "Conn") == {}
    with pytest.raises(TargetError, match="without a table of functions"):
        program.functions("crypto/tls", ["(*Conn).Write"])


def pairs_at(image: GoImage) -> int:
    names = b"".join(name.encode() + b"\0" for name, _ in image.functions)
    return 72 + len(names) + -len(names) % 8


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        (2, 0xFFFF0, "is not where it says"),  # begins behind the next one
        (2, 0x8, "is not where it says"),  # its record says otherwise
        (3, 0xFFFFFFFC, "a record is outside"),
        (4, 0xFFFFFF, "is not in its code"),  # ends behind the text
        (4, 0xFFFFFFFF, "is not where it says"),  # larger than any function
    ],
)
def test_a_forged_entry_is_refused(tmp_path: Path, word: int, value: int, message: str) -> None:
    image = GoImage()
    image.add("crypto/tls.(*Conn).Read", checked(b""))
    program = forged(tmp_path, image, at=pairs_at(image) + 4 * word, value=struct.pack("<I", value))
    with pytest.raises(TargetError, match=message):
        program.functions("crypto/tls", [READ])


def test_many_tables_that_are_none(tmp_path: Path) -> None:
    """Constants full of magics, each with a header that leads somewhere."""
    path = tmp_path / "many"
    data = bytearray(GoImage().build())
    begin = data.index(struct.pack("<IHBB", GO_1_20, 0, 1, 8))
    table = struct.pack("<IHBB7Q", GO_1_20, 0, 1, 8, 1000, 1, 0, 64, 64, 64, 64)
    constants = table * 100_000
    offset = -len(data) % 4096 + len(data)
    data[begin : begin + 4] = bytes(4)
    data += bytes(offset - len(data)) + constants
    struct.pack_into("<QQQQQ", data, 64 + 56 + 8, offset, 0xA00000, 0xA00000, len(constants), len(constants))
    path.write_bytes(data)
    start = time.monotonic()
    with ElfFile(str(path)) as elf:
        assert find_table(elf) is None
    assert time.monotonic() - start < HANG_S


def test_relocations_in_no_order_are_not_searched_without_end(tmp_path: Path) -> None:
    image = GoImage(version="go1.15.15", magic=GO_1_2, pie=True)
    data = bytearray(image.build())
    # Places that fall, among which none is looked for with success.
    count = (16 << 20) // 24
    table = b"".join(struct.pack("<QQQ", (count - index) << 4, 8, TEXT_VADDR) for index in range(count))
    dynamic = next(at for at in range(0, len(data), 8) if data[at : at + 8] == struct.pack("<Q", 7))
    start_of_data = struct.unpack_from("<QQ", data, 64 + 56 * 2 + 8)
    vaddr = len(data) - start_of_data[0] + start_of_data[1]
    struct.pack_into("<Q", data, dynamic + 8, vaddr)
    struct.pack_into("<Q", data, dynamic + 24, len(table))
    data += table
    size = len(data) - start_of_data[0]
    struct.pack_into("<QQ", data, 64 + 56 * 2 + 32, size, size)
    path = tmp_path / "unordered"
    path.write_bytes(data)
    start = time.monotonic()
    with ElfFile(str(path)) as elf:
        program = open_program(elf)
        assert program is not None
        assert program.fields("crypto/tls", "Conn") == {}
    assert time.monotonic() - start < HANG_S


def test_layouts_by_version() -> None:
    assert layout_of((1, 14)).vers == UNKNOWN
    assert layout_of(()).vers == UNKNOWN
    assert (layout_of((1, 15)).vers, layout_of((1, 19, 8)).client_protocol) == (64, 328)
    assert layout_of((1, 22, 10)).cipher_suite == 98
    assert layout_of((1, 23, 1)).cipher_suite == 100
    assert layout_of((1, 99)) == layout_of((1, 27, 3))
