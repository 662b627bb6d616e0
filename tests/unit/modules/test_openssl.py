# SPDX-License-Identifier: Apache-2.0
"""The plan for an OpenSSL-family file: each way compilers and versions lay out the functions, in small.

The code is what GCC makes of OpenSSL 1.1.1, 3.0 and 3.3 in distributions, wheels and Node, shortened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from elf_image import ENDBR64, PUSH_RBP, RET, RODATA_VADDR, TEXT_OFFSET, TEXT_VADDR, ElfImage, Piece

from plaintap.errors import TargetError
from plaintap.modules.base import NotHookable, Point, ProbePlan
from plaintap.modules.openssl import carriers, plan
from plaintap.targets.elf import ElfFile

SUB_8, ADD_8 = b"\x48\x83\xec\x08", b"\x48\x83\xc4\x08"
SUB_24, ADD_24 = b"\x48\x83\xec\x18", b"\x48\x83\xc4\x18"
IF_NEGATIVE = b"\x85\xd2\x78"  # test edx, edx; js
LENGTH = b"\x48\x63\xd2"  # movsxd rdx, edx
METHOD_CALL = b"\xff\x50\x38"  # call [rax+0x38]
FREE = [b"\x48\x85\xff", b"\x74\x01", PUSH_RBP, RET]
VERSION = b"OpenSSL 3.0.16 11 Feb 2025\0"


def plain(internal: int, error: int, *, flags: bool = False, entry: bytes = b"") -> list[Piece]:
    """`SSL_read(s, buf, num)`: a local receives the count, a negative length is an error."""
    done = b"\x31\xc9" + LENGTH + b"\x49\x89\xe0" if flags else b"\x48\x89\xe1" + LENGTH
    skipped = len(done) + 5 + len(ADD_24) + len(RET)
    return [entry, SUB_24, IF_NEGATIVE + bytes([skipped]), done, ("call", internal), ADD_24, RET, ("call", error), RET]


def extended(internal: int, *, entry: bytes = b"") -> list[Piece]:
    return [entry, SUB_8, ("call", internal), ADD_8, RET]


def inlined() -> list[Piece]:
    return [PUSH_RBP, b"\x48\x89\xe5", METHOD_CALL, b"\x5d", RET]


def plan_of(tmp_path: Path, image: ElfImage, name: str = "libssl.so.3") -> ProbePlan:
    path = image.write(tmp_path / name)
    with ElfFile(path) as elf:
        found = plan(elf, path)
    assert found is not None
    return found


def offset(vaddr: int) -> int:
    return vaddr - TEXT_VADDR + TEXT_OFFSET


def calls(found: ProbePlan, kind: str = "call") -> list[Point]:
    """The entries; each has its return at the same place."""
    entries = [point for point in found.points if point.program == f"pt_{kind}_enter"]
    returns = [point for point in found.points if point.program == f"pt_{kind}_return"]
    assert [replace(each, program=f"pt_{kind}_enter", returns=False) for each in returns] == entries
    assert all(each.returns for each in returns)
    return entries


def points(entries: Sequence[Point]) -> list[tuple[str, int, bool, int]]:
    return [(point.function, point.offset, point.write, point.done_argument) for point in entries]


def places(found: Sequence[Point], program: str) -> list[tuple[str, int]]:
    return [(point.function, point.offset) for point in found if point.program == program]


def shared_30(*, entry: bytes = b"") -> tuple[ElfImage, int, int]:
    """As Debian builds 3.0: internal functions without symbols, error functions imported."""
    image = ElfImage(rodata=VERSION)
    error = image.add_import("ERR_new")
    read = image.add("", [entry, PUSH_RBP, METHOD_CALL, RET])
    write = image.add("", [entry, PUSH_RBP, METHOD_CALL, RET])
    image.add("SSL_read", plain(read, error, entry=entry))
    image.add("SSL_read_ex", extended(read, entry=entry))
    image.add("SSL_write", plain(write, error, entry=entry))
    image.add("SSL_write_ex", extended(write, entry=entry))
    image.add("SSL_free", FREE)
    return image, read, write


def test_function_behind(tmp_path: Path) -> None:
    image, read, write = shared_30()
    found = plan_of(tmp_path, image)
    assert (found.name, found.version) == ("libssl 3.0.16", "3.0.16")
    assert points(calls(found)) == [
        ("ssl_read_internal", offset(read), False, 4),
        ("ssl_write_internal", offset(write), True, 4),
    ]
    assert calls(found)[0].why == (
        f"ssl_read_internal at {read:#x}, called by SSL_read and SSL_read_ex; "
        "push at the entry, which the kernel emulates"
    )
    (free,) = (point for point in found.points if point.program == "pt_session_free")
    assert found.tells_ends
    assert free.offset % 16 == 3
    assert free.why.endswith("; je 3 bytes in, which the kernel emulates")


@pytest.mark.parametrize("fields", [{"full_table": True}, {"sections": False}])
def test_function_behind_in_other_tables(tmp_path: Path, fields: dict[str, bool]) -> None:
    image, read, write = shared_30()
    for name, value in fields.items():
        setattr(image, name, value)
    assert [call[1] for call in points(calls(plan_of(tmp_path, image)))] == [offset(read), offset(write)]


def test_behind_endbr64(tmp_path: Path) -> None:
    image, read, write = shared_30(entry=ENDBR64)
    assert [call[1] for call in points(calls(plan_of(tmp_path, image)))] == [offset(read) + 4, offset(write) + 4]


@pytest.mark.parametrize("imported", [True, False], ids=["through the linkage table", "directly"])
def test_flags_since_33(tmp_path: Path, imported: bool) -> None:
    """SSL_write_ex jumps to SSL_write_ex2; the count's address is the internal function's fifth argument."""
    image = ElfImage(rodata=VERSION)
    error = image.add_import("ERR_new")
    write = image.add("", [PUSH_RBP, METHOD_CALL, RET])
    image.add("SSL_write", plain(write, error, flags=True))
    extended_2 = image.add("SSL_write_ex2", extended(write))
    target = image.add_import("SSL_write_ex2") if imported else extended_2
    image.add("SSL_write_ex", [b"\x49\x89\xc8", b"\x31\xc9", ("jmp", target)])
    assert points(calls(plan_of(tmp_path, image))) == [("ssl_write_internal", offset(write), True, 5)]


def test_static_error_function_is_not_taken_for_it(tmp_path: Path) -> None:
    """Linked statically, error functions are direct calls too, made with the arguments still in place."""
    image = ElfImage(rodata=VERSION, full_table=True)
    error = image.add("ERR_new", [PUSH_RBP, RET])
    read = image.add("", [PUSH_RBP, METHOD_CALL, RET])
    image.add("SSL_read", plain(read, error))
    image.add("SSL_read_ex", extended(read))
    found = plan_of(tmp_path, image, "_rust.abi3.so")
    assert found.name == "_rust.abi3.so: OpenSSL 3.0.16"
    assert points(calls(found)) == [("ssl_read_internal", offset(read), False, 4)]


def test_inlined(tmp_path: Path) -> None:
    """As in Node: the internal functions are inlined, have names, and are used by libssl's BIO."""
    image = ElfImage(rodata=VERSION, kind=2)
    error = image.add("ERR_new", [PUSH_RBP, RET])
    places = {
        name: image.add(name, [*inlined(), ("call", error), RET])
        for name in ("ssl_read_internal", "SSL_read", "SSL_read_ex", "ssl_write_internal", "SSL_write", "SSL_write_ex")
    }
    image.add("SSL_read_early_data", [PUSH_RBP, ("call", places["ssl_read_internal"]), RET])
    early = image.add("SSL_write_early_data", [PUSH_RBP, METHOD_CALL, ("call", places["ssl_write_internal"]), RET])
    found = plan_of(tmp_path, image, "node")
    assert found.name == "node: OpenSSL 3.0.16"
    assert points(calls(found)) == [
        ("ssl_read_internal", offset(places["ssl_read_internal"]), False, 4),
        ("SSL_read", offset(places["SSL_read"]), False, 0),
        ("SSL_read_ex", offset(places["SSL_read_ex"]), False, 4),
        ("ssl_write_internal", offset(places["ssl_write_internal"]), True, 4),
        ("SSL_write", offset(places["SSL_write"]), True, 0),
        ("SSL_write_ex", offset(places["SSL_write_ex"]), True, 4),
        ("SSL_write_early_data", offset(early), True, 4),
    ]


def test_inlined_since_33(tmp_path: Path) -> None:
    image = ElfImage(rodata=VERSION)
    for name in ("SSL_read_ex", "SSL_write", "SSL_write_ex", "SSL_write_ex2", "ssl_write_internal"):
        image.add(name, inlined())
    done = {call.function: call.done_argument for call in calls(plan_of(tmp_path, image))}
    assert done == {"SSL_read_ex": 4, "ssl_write_internal": 5, "SSL_write": 0, "SSL_write_ex": 4, "SSL_write_ex2": 5}


def test_early_data_through_the_public_function(tmp_path: Path) -> None:
    image, read, write = shared_30()
    image.add("SSL_read_early_data", [PUSH_RBP, ("call", image.add_import("SSL_read_ex")), RET])
    assert [call[1] for call in points(calls(plan_of(tmp_path, image)))] == [offset(read), offset(write)]


def test_forms_that_disagree(tmp_path: Path) -> None:
    image = ElfImage(rodata=VERSION)
    error = image.add_import("ERR_new")
    one, two = (image.add("", [PUSH_RBP, METHOD_CALL, RET]) for _ in range(2))
    read = image.add("SSL_read", plain(one, error))
    read_ex = image.add("SSL_read_ex", extended(two))
    found = calls(plan_of(tmp_path, image))
    assert points(found) == [("SSL_read", offset(read), False, 0), ("SSL_read_ex", offset(read_ex), False, 4)]
    assert found[0].why == (
        f"SSL_read at {read:#x}, nothing agreed on behind it; "
        "sub at the entry, single-stepped: nothing emulated before the stack pointer moves"
    )


def test_extended_form_over_the_plain_one(tmp_path: Path) -> None:
    """AWS-LC and LibreSSL: SSL_read_ex calls SSL_read, so that one is enough."""
    image = ElfImage(rodata=b"OpenSSL 1.1.1 (compatible; AWS-LC 1.30.1)\0")
    read = image.add("SSL_read", inlined())
    image.add("SSL_read_ex", [SUB_8, ("call", read), ADD_8, RET])
    found = plan_of(tmp_path, image, "server")
    assert found.name == "server: AWS-LC 1.30.1"
    assert points(calls(found)) == [("SSL_read", offset(read), False, 0)]


def test_boringssl(tmp_path: Path) -> None:
    image = ElfImage()
    read, write = image.add("SSL_read", inlined()), image.add("SSL_write", inlined())
    image.add("SSL_CTX_set_grease_enabled", [RET])
    found = plan_of(tmp_path, image, "libssl.so.0")
    assert found.name == "libssl: BoringSSL"
    assert points(calls(found)) == [("SSL_read", offset(read), False, 0), ("SSL_write", offset(write), True, 0)]
    assert not found.tells_ends


def test_users_of_the_library_are_no_targets(tmp_path: Path) -> None:
    image = ElfImage(kind=2)
    image.add("main", [("call", image.add_import("SSL_read")), ("call", image.add_import("SSL_write")), RET])
    path = image.write(tmp_path / "curl")
    with ElfFile(path) as elf:
        assert plan(elf, path) is None


def test_no_code(tmp_path: Path) -> None:
    image = ElfImage()
    image.add("SSL_read", [b"\x06\x06"])
    path = image.write(tmp_path / "libssl.so.3")
    with ElfFile(path, name="libssl.so.3") as elf, pytest.raises(NotHookable) as caught:
        plan(elf, path)
    assert caught.value.message == (
        f"libssl.so.3: seen, not hookable, because there is no usable code at {TEXT_VADDR:#x} (SSL_read)"
    )


def test_version_unknown(tmp_path: Path) -> None:
    image = ElfImage()
    image.add("SSL_read", inlined())
    assert (plan_of(tmp_path, image).name, plan_of(tmp_path, image, "app").name) == ("libssl: OpenSSL", "app: OpenSSL")


# Handshake, life and secrets.

LOAD = b"\x48\x8b\x77\x08"  # mov rsi, [rdi+8]


def test_handshake_by_the_function_that_the_others_call(tmp_path: Path) -> None:
    image, _, _ = shared_30()
    handshake = image.add("SSL_do_handshake", [PUSH_RBP, METHOD_CALL, RET])
    image.add("SSL_connect", [PUSH_RBP, ("call", image.add_import("SSL_do_handshake")), RET])
    image.add("SSL_accept", [("jmp", handshake)])
    found = calls(plan_of(tmp_path, image), "handshake")
    assert [(point.function, point.offset) for point in found] == [("SSL_do_handshake", offset(handshake))]


def test_handshake_by_each_that_does_its_own(tmp_path: Path) -> None:
    """Up to 1.0.2, and where compilers inline it (Node 12 and 20)."""
    image, _, _ = shared_30()
    handshake = image.add("SSL_do_handshake", [PUSH_RBP, METHOD_CALL, RET])
    connect = image.add("SSL_connect", [PUSH_RBP, METHOD_CALL, RET])
    image.add("SSL_accept", [PUSH_RBP, ("call", handshake), RET])
    found = calls(plan_of(tmp_path, image), "handshake")
    assert [(point.function, point.offset) for point in found] == [
        ("SSL_do_handshake", offset(handshake)),
        ("SSL_connect", offset(connect)),
    ]
    assert "does not call SSL_do_handshake" in found[1].why


def test_beginning_reuse_and_end(tmp_path: Path) -> None:
    """The beginning may be seen with its argument lost; the end is seen before the count of references changes."""
    image, _, _ = shared_30()
    image.symbols = [symbol for symbol in image.symbols if symbol.name != "SSL_free"]
    new = image.add("SSL_new", [b"\x31\xff", PUSH_RBP, RET])
    clear = image.add("SSL_clear", [b"\x31\xff", PUSH_RBP, RET])
    free = image.add("SSL_free", [b"\xb8\x01\x00\x00\x00", b"\xf0\xff\x4f\x10", PUSH_RBP, RET])
    found = plan_of(tmp_path, image).points
    assert places(found, "pt_session_new") == [("SSL_new", offset(new) + 2)]
    assert places(found, "pt_session_clear") == [("SSL_clear", offset(clear))]
    assert places(found, "pt_session_free") == [("SSL_free", offset(free))]


def test_an_end_that_cannot_be_probed_is_none(tmp_path: Path) -> None:
    image = ElfImage(rodata=VERSION)
    image.add("SSL_read", inlined())
    image.add("SSL_free", [b"\xf0\xff\x4f\x10", RET])
    assert not plan_of(tmp_path, image).tells_ends


@pytest.mark.parametrize(
    ("name", "program", "argument"),
    # mov %rdi, %rcx and mov %rdi, %rsi: behind them the server's name would be lost
    [("SSL_ctrl", "pt_ctrl", b"\x48\x89\xf9"), ("SSL_set_tlsext_host_name", "pt_server_name", b"\x48\x89\xfe")],
)
def test_where_the_name_of_a_server_is_set(tmp_path: Path, name: str, program: str, argument: bytes) -> None:
    image, _, _ = shared_30()
    function = image.add(name, [argument, PUSH_RBP, RET])
    assert places(plan_of(tmp_path, image).points, program) == [(name, offset(function))]


@pytest.mark.parametrize(
    "name",
    [
        "ssl_log_secret",
        "_ZN4bssl14ssl_log_secretEPK6ssl_stPKcNS_4SpanIKhEE",
        "_ZN4bssl8v2026_0114ssl_log_secretEPK6ssl_stPKcNS_4SpanIKhEE",
    ],
)
def test_secrets_by_symbol(tmp_path: Path, name: str) -> None:
    image, _, _ = shared_30()
    log = image.add(name, [PUSH_RBP, RET])
    assert places(plan_of(tmp_path, image).points, "pt_secret_log") == [("ssl_log_secret", offset(log))]


SHUFFLE = b"\x48\x89\xd6"  # mov rsi, rdx
LABELS = b"EXPORTER_SECRET\0CLIENT_RANDOM\0"
EXPORTER, RANDOM = RODATA_VADDR + len(VERSION), RODATA_VADDR + len(VERSION) + 16


def logging(entry: bytes, *, unwind: bool) -> tuple[ElfImage, int, int, int]:
    image, _, _ = shared_30()
    image.rodata, image.unwind = VERSION + LABELS, unwind
    log = image.add("", [entry, SHUFFLE, RET])
    first = image.add("", [PUSH_RBP, ("lea rsi", EXPORTER), ("call", log), RET])
    second = image.add("", [PUSH_RBP, ("lea rsi", RANDOM), ("call", log), RET])
    return image, log, first + 8, second + 8


def test_secrets_by_what_the_function_is_called_with(tmp_path: Path) -> None:
    image, log, _, _ = logging(PUSH_RBP, unwind=True)
    found = plan_of(tmp_path, image).points
    assert places(found, "pt_secret_log") == [("ssl_log_secret", offset(log))]


def test_secrets_at_the_calls_where_the_entry_is_dear(tmp_path: Path) -> None:
    image, _, first, second = logging(SHUFFLE, unwind=True)
    found = plan_of(tmp_path, image).points
    assert places(found, "pt_secret_log") == [("ssl_log_secret", offset(first)), ("ssl_log_secret", offset(second))]
    why = next(point.why for point in found if point.program == "pt_secret_log")
    assert why.endswith(f"which gets the labels of the key log; its call at {first:#x}, which the kernel emulates")


def test_secrets_at_the_entry_where_the_calls_are_not_sure(tmp_path: Path) -> None:
    image, log, _, _ = logging(SHUFFLE, unwind=False)
    assert places(plan_of(tmp_path, image).points, "pt_secret_log") == [("ssl_log_secret", offset(log))]


def test_no_secrets_before_111(tmp_path: Path) -> None:
    image, _, _ = shared_30()
    assert places(plan_of(tmp_path, image).points, "pt_secret_log") == []


# Where bytes are handed over.


def test_the_other_half_is_named(tmp_path: Path) -> None:
    image, _, _ = shared_30()
    image.needed = ("libc.so.6", "libcrypto-fb8d5b21.so.3")
    found = plan_of(tmp_path, image)
    assert found.needs == ("libcrypto-fb8d5b21.so.3", "libc.so.6")
    assert found.carriers == ()


def test_carriers_in_the_same_file_and_apart(tmp_path: Path) -> None:
    image, _, _ = shared_30()
    write = image.add("BIO_write", [LOAD, PUSH_RBP, RET])
    read = image.add("BIO_read", [PUSH_RBP, RET])
    found = plan_of(tmp_path, image, "node").carriers
    assert [(point.program, point.offset, point.returns) for point in found] == [
        ("pt_bio_write", offset(write), False),
        ("pt_bio_read_enter", offset(read), False),
        ("pt_bio_read_return", offset(read), True),
    ]
    with ElfFile(str(tmp_path / "node")) as elf:
        assert carriers(elf) == found


def test_no_carriers_in_other_files(tmp_path: Path) -> None:
    image = ElfImage()
    image.add("BIO_write", [PUSH_RBP, RET])
    with ElfFile(image.write(tmp_path / "libother.so")) as elf:
        assert carriers(elf) == ()


# Which family.


def test_a_version_that_lies(tmp_path: Path) -> None:
    """As workerd, which has an OpenSSL 1.1.1w in WebAssembly among its constants."""
    image = ElfImage(rodata=VERSION)
    image.add("SSL_read", inlined())
    image.add("_ZN4bssl14ssl_log_secretEPK6ssl_stPKcNS_4SpanIKhEE", [PUSH_RBP, RET])
    found = plan_of(tmp_path, image, "workerd")
    assert (found.name, found.version) == ("workerd: BoringSSL", "BoringSSL")


def test_aws_lc_names_itself(tmp_path: Path) -> None:
    image = ElfImage(rodata=b"OpenSSL 1.1.1 (compatible; AWS-LC 1.30.1)\0")
    image.add("SSL_read", inlined())
    image.add("SSL_CTX_set_grease_enabled", [RET])
    assert plan_of(tmp_path, image, "server").version == "AWS-LC 1.30.1"


def test_another_architecture(tmp_path: Path) -> None:
    """Its code would be taken for x86-64's."""
    path = ElfImage(machine=183).write(tmp_path / "libssl.so.3")
    with ElfFile(path, machine=183) as elf:
        with pytest.raises(TargetError, match="another architecture than x86-64"):
            plan(elf, path)
        with pytest.raises(TargetError, match="another architecture than x86-64"):
            carriers(elf)
