# SPDX-License-Identifier: Apache-2.0
"""The plan for a file with GnuTLS: what is probed once, what is left to what it calls, and which version it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from elf_image import PUSH_RBP, RET, ElfImage

from plaintap.errors import TargetError
from plaintap.modules.base import NotHookable, ProbePlan
from plaintap.modules.gnutls import GNUTLS, plan
from plaintap.targets.elf import ElfFile

WORK = [PUSH_RBP, b"\x48\x89\xe5", b"\x5d", RET]
CLEAR_TWO = b"\x45\x31\xc0\x31\xc9"  # xor r8d, r8d; xor ecx, ecx


def library() -> ElfImage:
    """As Debian 12's: gnutls_record_send is a jump to gnutls_record_send2."""
    image = ElfImage()
    send2 = image.add("gnutls_record_send2", WORK)
    image.add("gnutls_record_send", [CLEAR_TWO, ("jmp", send2)])
    for name in (
        "gnutls_record_recv",
        "gnutls_record_recv_seq",
        "gnutls_handshake",
        "gnutls_record_uncork",
        "gnutls_init",
        "gnutls_deinit",
    ):
        image.add(name, WORK)
    return image


def plan_of(tmp_path: Path, image: ElfImage, name: str = "libgnutls.so.30") -> ProbePlan:
    path = image.write(tmp_path / name)
    with ElfFile(path) as elf:
        found = plan(elf, path)
    assert found is not None
    return found


def test_what_is_probed(tmp_path: Path) -> None:
    found = plan_of(tmp_path, library())
    probed = [(point.function, point.program, point.write, point.gnutls) for point in found.points]
    assert probed == [
        ("gnutls_record_send2", "pt_call_enter", True, True),
        ("gnutls_record_send2", "pt_call_return", True, True),
        ("gnutls_record_recv", "pt_call_enter", False, True),
        ("gnutls_record_recv", "pt_call_return", False, True),
        ("gnutls_record_recv_seq", "pt_call_enter", False, True),
        ("gnutls_record_recv_seq", "pt_call_return", False, True),
        ("gnutls_handshake", "pt_handshake_enter", False, True),
        ("gnutls_handshake", "pt_handshake_return", False, True),
        ("gnutls_record_uncork", "pt_uncork_enter", True, False),
        ("gnutls_record_uncork", "pt_uncork_return", True, False),
        ("gnutls_init", "pt_session_new", False, False),
        ("gnutls_deinit", "pt_session_free", False, False),
    ]
    assert found.tells_ends
    assert not found.calibrated


def test_a_send_that_does_its_own_work_is_probed_too(tmp_path: Path) -> None:
    image = ElfImage()
    image.add("gnutls_record_send2", WORK)
    image.add("gnutls_record_send", WORK)
    image.add("gnutls_record_recv", WORK)
    found = plan_of(tmp_path, image)
    assert {point.function for point in found.points} == {
        "gnutls_record_send2",
        "gnutls_record_send",
        "gnutls_record_recv",
    }
    assert not found.tells_ends


@pytest.mark.parametrize(
    ("constants", "name", "expected"),
    [
        (b"\x003.7.9\0", "libgnutls.so.30", "libgnutls 3.7.9"),
        (b"\x003.7.9\0and 3.6.1 in words\0", "app", "app: GnuTLS 3.7.9"),
        (b"\x003.7.9\x003.8.0\0", "libgnutls.so.30", "libgnutls"),
        (b"", "app", "app: GnuTLS"),
    ],
)
def test_version(tmp_path: Path, constants: bytes, name: str, expected: str) -> None:
    image = library()
    image.rodata = constants
    found = plan_of(tmp_path, image, name)
    assert found.name == expected
    assert found.version == ("GnuTLS 3.7.9" if "3.7.9" in expected else None)


def test_who_only_uses_it_has_no_plan(tmp_path: Path) -> None:
    image = ElfImage()
    image.add("main", WORK)
    path = image.write(tmp_path / "wget")
    with ElfFile(path) as elf:
        assert plan(elf, path) is None


def test_code_that_cannot_be_probed(tmp_path: Path) -> None:
    image = ElfImage()
    image.add("gnutls_record_send", [b"\xf0\xff\x07", RET])  # lock inc dword ptr [rdi]
    image.add("gnutls_record_recv", WORK)
    with pytest.raises(NotHookable, match="no usable code"):
        plan_of(tmp_path, image)


def test_another_machine(tmp_path: Path) -> None:
    image = library()
    path = image.write(tmp_path / "libgnutls.so.30")
    data = bytearray(Path(path).read_bytes())
    data[18:20] = (183).to_bytes(2, "little")  # EM_AARCH64
    Path(path).write_bytes(data)
    with ElfFile(path, machine=183) as elf, pytest.raises(TargetError, match="another architecture"):
        plan(elf, path)


def test_it_has_no_other_half(tmp_path: Path) -> None:
    path = library().write(tmp_path / "libgnutls.so.30")
    with ElfFile(path) as elf:
        assert GNUTLS.carriers(elf) == ()
