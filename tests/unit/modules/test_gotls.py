# SPDX-License-Identifier: Apache-2.0
"""The plan for a Go program: what is probed by what programs, and what is said of what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from go_image import AARCH64, TEXT_OFFSET, TEXT_VADDR, GoImage, checked

from plaintap.errors import TargetError
from plaintap.modules.base import NotHookable, ProbePlan
from plaintap.modules.gotls import plan
from plaintap.targets.elf import ElfFile
from plaintap.targets.layouts.golang import UNKNOWN

NAMES = ("(*Conn).Read", "(*Conn).Write", "(*Conn).Close", "(*Config).writeKeyLog")
HANDSHAKES = ("(*Conn).clientHandshake", "(*Conn).serverHandshake")
UTLS = "github.com/refraction-networking/utls"


def image_with(
    names: tuple[str, ...] = (*NAMES, *HANDSHAKES), package: str = "crypto/tls", **fields: object
) -> GoImage:
    image = GoImage(**fields)  # type: ignore[arg-type]
    for name in names:
        image.add(f"{package}.{name}", checked(b""))
    return image


def plan_of(tmp_path: Path, image: GoImage) -> ProbePlan | None:
    path = image.write(tmp_path / "server")
    with ElfFile(path, machine=image.machine) as elf:
        return plan(elf, path)


def found(tmp_path: Path, image: GoImage) -> ProbePlan:
    plan = plan_of(tmp_path, image)
    assert plan is not None
    return plan


def test_everything_there(tmp_path: Path) -> None:
    image = image_with()
    plan = found(tmp_path, image)
    assert (plan.name, plan.version, plan.tells_ends, plan.notes) == ("server: Go 1.21.13", "1.21.13", True, ())
    assert [(point.program, point.function.rpartition(".")[2], point.write) for point in plan.points] == [
        ("pt_go_enter", "Read", False),
        ("pt_go_return", "Read", False),
        ("pt_go_enter", "Write", True),
        ("pt_go_return", "Write", True),
        ("pt_go_close", "Close", False),
        ("pt_go_handshake", "clientHandshake", False),
        ("pt_go_handshake", "serverHandshake", False),
        ("pt_go_keylog", "writeKeyLog", False),
    ]
    for point in plan.points:
        assert point.go is not None
        assert point.offset == point.go.vaddr - TEXT_VADDR + TEXT_OFFSET
        assert not point.go.foreign
        assert not point.returns


def test_layout_from_the_program_itself(tmp_path: Path) -> None:
    """Fields of another kind than expected, or not named, are the table's; addresses of types are the file's."""
    fields = (("conn", 8, 20), ("vers", 400, 9), ("cipherSuite", 500, 24))
    image = image_with(conn_fields=fields)
    layout = found(tmp_path, image).go
    assert layout is not None
    assert (layout.conn, layout.vers, layout.cipher_suite) == (8, 400, 98)
    assert (layout.type_tcp, layout.type_unix) == (image.addresses["net *net.TCPConn"], 0)
    assert layout.version == "1.21.13"


def test_layout_of_an_unknown_version_is_what_the_program_says(tmp_path: Path) -> None:
    layout = found(tmp_path, image_with(version="")).go
    assert layout is not None
    assert (layout.vers, layout.cipher_suite) == (72, UNKNOWN)


def test_newer_go_than_known(tmp_path: Path) -> None:
    plan = found(tmp_path, image_with(version="go1.99.1"))
    assert plan.notes == ("Go 1.99.1 is newer than 1.27, the newest version known: read as that one",)


def test_what_the_linker_left_out_is_said(tmp_path: Path) -> None:
    plan = found(tmp_path, image_with(("(*Conn).Write", "(*Config).writeKeyLog")))
    assert plan.notes == (
        "no crypto/tls.(*Conn).Read in the program, inlined or never called: what it reads is not seen",
        "no crypto/tls.(*Conn).Close in the program, inlined or never called: ends of sessions are seen late",
    )
    assert not plan.tells_ends


def test_no_go_program(tmp_path: Path) -> None:
    assert plan_of(tmp_path, GoImage(version="", note=False)) is None


def test_go_without_crypto_tls(tmp_path: Path) -> None:
    image = GoImage()
    image.add("net.(*conn).Read", checked(b""))
    image.add("golang.org/x/net/websocket.(*Conn).Read", checked(b""))
    image.add("golang.org/x/net/websocket.(*Conn).Write", checked(b""))
    with pytest.raises(NotHookable, match=r"server is a Go program without crypto/tls \(1\.21\.13\)"):
        plan_of(tmp_path, image)


def test_a_copy_beside_it(tmp_path: Path) -> None:
    image = image_with()
    for name in NAMES:
        image.add(f"{UTLS}.{name}", checked(b""))
    points = [point for point in found(tmp_path, image).points if point.go is not None and point.go.foreign]
    assert [(point.program, point.function) for point in points] == [
        ("pt_go_enter", f"{UTLS}.(*Conn).Read"),
        ("pt_go_return", f"{UTLS}.(*Conn).Read"),
        ("pt_go_enter", f"{UTLS}.(*Conn).Write"),
        ("pt_go_return", f"{UTLS}.(*Conn).Write"),
        ("pt_go_close", f"{UTLS}.(*Conn).Close"),
        ("pt_go_keylog", f"{UTLS}.(*Config).writeKeyLog"),
    ]


def test_a_copy_alone(tmp_path: Path) -> None:
    """The layout is its own, as far as the program says it; Go's tables say nothing of it."""
    plan = found(tmp_path, image_with(package=UTLS))
    assert not any(point.go and point.go.foreign for point in plan.points)
    assert plan.go is not None
    assert (plan.go.conn, plan.go.vers, plan.go.cipher_suite) == (0, UNKNOWN, UNKNOWN)


def test_a_copy_that_writes_around_its_conn(tmp_path: Path) -> None:
    image = image_with(("(*Conn).Read", "(*Conn).Close", "(*UConn).Write", "(*Config).writeKeyLog"), UTLS)
    plan = found(tmp_path, image)
    assert plan.notes == ()
    assert [point.program for point in plan.points if point.go and point.go.indirect] == ["pt_go_enter", "pt_go_return"]
    assert all(point.write == (point.go is not None and point.go.indirect) for point in plan.points)


def test_a_copy_that_does_all_around_its_conn(tmp_path: Path) -> None:
    """As later ones do; the Conn's own are there too, for who has no UConn."""
    around = ("(*UConn).Read", "(*UConn).Write", "(*UConn).clientHandshake")
    own = ("(*Conn).Read", "(*Conn).Write", "(*Conn).clientHandshake", "(*Conn).Close", "(*Config).writeKeyLog")
    plan = found(tmp_path, image_with((*around, *own), UTLS))
    assert plan.notes == ()
    indirect = [(point.function, point.program) for point in plan.points if point.go and point.go.indirect]
    expected = [(name, program) for name in around[:2] for program in ("pt_go_enter", "pt_go_return")]
    expected.append((around[2], "pt_go_handshake"))
    assert indirect == [(f"{UTLS}.{name}", program) for name, program in expected]
    direct = {point.function for point in plan.points if point.go and not point.go.indirect}
    assert direct == {f"{UTLS}.{name}" for name in own}


def test_code_unlike_go(tmp_path: Path) -> None:
    image = image_with(("(*Config).writeKeyLog", "(*Conn).Close", "(*Conn).Read"))
    image.add("crypto/tls.(*Conn).Write", b"\xc3")
    plan = found(tmp_path, image)
    assert not any(point.write for point in plan.points)
    assert plan.notes == ("crypto/tls.(*Conn).Write cannot be probed: its code is unlike what Go's compiler makes",)


def test_nothing_that_can_be_probed(tmp_path: Path) -> None:
    image = GoImage()
    for name in NAMES:
        image.add(f"crypto/tls.{name}", b"\xc3")
    with pytest.raises(NotHookable, match="server cannot be hooked: .*unlike what Go's compiler makes"):
        plan_of(tmp_path, image)


def test_a_program_for_arm(tmp_path: Path) -> None:
    """Its returns are seen where they are; the kernel emulates them."""
    image = GoImage(machine=AARCH64, version="go1.24.1")
    frame = (0xF9400B90, 0xEB3063FF, 0x54000069, 0xF8190FFE, 0xD65F03C0)
    for name in NAMES:
        image.add(f"crypto/tls.{name}", b"".join(word.to_bytes(4, "little") for word in frame))
    assert [(point.program, point.go.vaddr & 0xF) for point in found(tmp_path, image).points if point.go] == [
        ("pt_go_enter", 8),
        ("pt_go_return", 0),
        ("pt_go_enter", 8),
        ("pt_go_return", 0),
        ("pt_go_close", 12),
        ("pt_go_keylog", 12),
    ]


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    data = bytearray(image_with().build())
    begin = data.index(b"\xf1\xff\xff\xff\0\0\1\x08")
    data[begin] = 0xF2  # the magic of no version
    path = tmp_path / "x"
    path.write_bytes(data)
    with ElfFile(str(path)) as elf, pytest.raises(TargetError, match="without a table of functions"):
        plan(elf, str(path))
