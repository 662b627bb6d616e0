# SPDX-License-Identifier: Apache-2.0
"""Where calls of Go functions begin and end: code as Go's compilers of several versions make it, shortened."""

from __future__ import annotations

from pathlib import Path

import pytest
from go_image import (
    AARCH64,
    CHECK,
    GO_1_2,
    GO_1_18,
    GO_1_20,
    GROW,
    POP_RET,
    PUSH,
    GoImage,
    checked,
)

from plaintap.targets.elf import ElfFile
from plaintap.targets.golang.code import code_of
from plaintap.targets.golang.program import open_program
from plaintap.targets.golang.spots import Entry, Exit

DEAR = "ret, single-stepped"
SPILL_N = b"\x48\x89\x4c\x24\x08"  # mov [rsp+8], rcx
N_TO_RAX = b"\x48\x8b\x44\x24\x08"  # mov rax, [rsp+8]
TEST_N = b"\x48\x85\xc9"  # test rcx, rcx
DEFERRED = b"\x48\x8b\x54\x24\x10\x48\x8b\x02\xff\xd0"  # mov rdx, [rsp+0x10]; mov rax, [rdx]; call rax
JE_OVER_NOTHING = b"\x74\x00"
RAX_IS_N = b"\x48\x89\xc8"  # mov rax, rcx


def call_of(distance: int) -> bytes:
    return b"\xe8" + distance.to_bytes(4, "little", signed=True)


def places(
    tmp_path: Path, image: GoImage, code: bytes, *, write: bool = True, once: bool = False
) -> tuple[Entry | None, list[Exit], int]:
    """Entry, exits, and the function's address."""
    vaddr = image.add("crypto/tls.(*Conn).Write", code)
    with ElfFile(image.write(tmp_path / "x"), machine=image.machine) as elf:
        program = open_program(elf)
        assert program is not None
        (function,) = program.functions("crypto/tls", [".(*Conn).Write"])
        found = code_of(program)
        entry = found.entry(function, arguments=4, once=once)
        exits = found.exits(function, entry, write=write) if entry is not None else []
    return entry, exits, vaddr


def offsets(exits: list[Exit], vaddr: int) -> list[tuple[int, int, int, int]]:
    """Where, n, plus, words of the frame."""
    return [(each.spot.vaddr - vaddr, each.spot.n, each.spot.plus, each.spot.sp_words) for each in exits]


def test_entry_is_the_push_behind_the_check(tmp_path: Path) -> None:
    entry, _, vaddr = places(tmp_path, GoImage(), checked(b""))
    assert entry == Entry(vaddr + len(CHECK) + 1, False, "push behind the stack check")


SUB_FRAME = b"\x48\x83\xec\x18"


@pytest.mark.parametrize(("once", "at", "why"), [(False, 4, "jbe of the stack check"), (True, 6, "sub behind the")])
def test_entry_before_go_1_21(tmp_path: Path, once: bool, at: int, why: str) -> None:
    """Behind the check the frame is made by a subtraction, which the kernel single-steps."""
    entry, _, vaddr = places(tmp_path, GoImage(version="go1.19", magic=GO_1_18), checked(b"", SUB_FRAME), once=once)
    assert entry is not None
    assert (entry.vaddr - vaddr, entry.stack_abi) == (at, False)
    assert entry.why.startswith(why)


def stack_checked(load: bytes) -> bytes:
    """A function of Go 1.16 and older that loads its goroutine into rcx so; `cmp rsp, [rcx+0x10]; jbe` follow."""
    frame = SUB_FRAME + b"\x48\x83\xc4\x18\xc3"
    code = load + b"\x48\x3b\x61\x10\x76" + bytes([len(frame)]) + frame + GROW
    return code + (-len(code) - 1).to_bytes(1, "little", signed=True)


@pytest.mark.parametrize(
    ("load", "offset"),
    [
        (b"\x64\x48\x8b\x0c\x25\xf8\xff\xff\xff", -8),  # mov rcx, fs:[-8]
        (b"\x64\x48\x8b\x0c\x25\x68\xfe\xff\xff", -0x198),  # beside a thread's variables of C
        (b"\x48\xc7\xc1\x68\xfe\xff\xff\x64\x48\x8b\x09", -0x198),  # mov rcx, -0x198; mov rcx, fs:[rcx]
    ],
)
def test_stack_abi_is_told_by_the_check(tmp_path: Path, load: bytes, offset: int) -> None:
    """Arguments are on the stack, so that rcx is none."""
    image = GoImage(version="go1.15", magic=GO_1_2)
    entry, exits, vaddr = places(tmp_path, image, stack_checked(load))
    assert entry == Entry(vaddr + len(load) + 4, True, "jbe of the stack check", offset)
    assert offsets(exits, vaddr) == [(len(load) + 14, 6, 0, 0)]
    assert exits[0].spot.stack_abi


@pytest.mark.parametrize(
    "load",
    [
        b"\x48\x8b\x0d\x00\x10\x00\x00\x64\x48\x8b\x09",  # mov rcx, [rip+0x1000], which the loader fills
        b"\x64\x48\x8b\x0c\x25\x68\x00\x00\x00",  # above the thread's pointer
        b"\x64\x48\x8b\x0c\x25\x68\x00\x00\xf0",
    ],
)
def test_a_goroutine_that_is_somewhere(tmp_path: Path, load: bytes) -> None:
    assert places(tmp_path, GoImage(version="go1.15", magic=GO_1_2), stack_checked(load))[0] is None


@pytest.mark.parametrize(
    "code",
    [
        b"\x48\x89\xc1" + checked(b""),  # mov rcx, rax: an argument is lost
        b"\xff\xd0" + checked(b""),  # call rax
        b"\x90" * 40 + b"\xc3",
        b"\xc3",
        b"\x06\x06\x06",  # no instructions
    ],
)
def test_a_beginning_unlike_go_is_no_entry(tmp_path: Path, code: bytes) -> None:
    assert places(tmp_path, GoImage(), code)[0] is None


def test_a_leaf_without_a_check(tmp_path: Path) -> None:
    entry, _, vaddr = places(tmp_path, GoImage(), PUSH + POP_RET)
    assert entry == Entry(vaddr, False, "push at the entry")


def test_a_return_of_something_unknown_is_seen_at_the_return(tmp_path: Path) -> None:
    code = checked(b"\x48\x8b\x02")  # mov rax, [rdx]
    _, exits, vaddr = places(tmp_path, GoImage(), code)
    assert offsets(exits, vaddr) == [(len(checked(b"")) - len(GROW) - 1 - 1 + 3, 0, 0, 0)]
    assert exits[0].why == DEAR


BODY = len(CHECK) + 1 + len(PUSH)
"""Where a body begins."""


def test_a_jump_before_a_deferred_call(tmp_path: Path) -> None:
    """As in Read and Write since Go 1.17: the count is spilled, a closure called, the count fetched."""
    code = checked(TEST_N + JE_OVER_NOTHING + SPILL_N + DEFERRED + N_TO_RAX)
    _, exits, vaddr = places(tmp_path, GoImage(), code, write=False)
    assert offsets(exits, vaddr) == [(BODY + 3, 128 + 1, 0, 4)]
    assert "rcx" in exits[0].why


def test_a_sum_of_a_register_and_a_slot(tmp_path: Path) -> None:
    body = JE_OVER_NOTHING + SPILL_N + DEFERRED + N_TO_RAX + b"\x48\x01\xf0"  # add rax, rsi: lost over the call
    assert offsets(places(tmp_path, GoImage(), checked(body))[1], 0)[0][3] == 0
    # mov [rsp], rdx; je; mov rsi, [rsp]; add rax, rsi
    body = b"\x48\x89\x14\x24" + JE_OVER_NOTHING + b"\x48\x8b\x34\x24\x48\x01\xf0"
    _, exits, vaddr = places(tmp_path, GoImage(), checked(body))
    assert offsets(exits, vaddr) == [(BODY + 4, 1, 128, 4)]


def test_a_slot_whose_address_is_taken_is_not_believed_over_a_call(tmp_path: Path) -> None:
    taken = b"\x48\x8d\x7c\x24\x08"  # lea rdi, [rsp+8]
    _, exits, _ = places(tmp_path, GoImage(), checked(taken + SPILL_N + JE_OVER_NOTHING + DEFERRED + N_TO_RAX))
    assert [each.why for each in exits] == [DEAR]


def test_a_slot_that_something_else_is_written_over_is_not_believed(tmp_path: Path) -> None:
    over = b"\x0f\x11\x44\x24\x04"  # movups [rsp+4], xmm0
    _, exits, _ = places(tmp_path, GoImage(), checked(SPILL_N + JE_OVER_NOTHING + over + N_TO_RAX))
    assert [each.why for each in exits] == [DEAR]


def test_a_slot_that_nobody_stored_to_is_a_result_of_the_call(tmp_path: Path) -> None:
    _, exits, _ = places(tmp_path, GoImage(), checked(JE_OVER_NOTHING + DEFERRED + N_TO_RAX))
    assert [each.why for each in exits] == [DEAR]


def test_every_call_passes_one_exit(tmp_path: Path) -> None:
    """A jump to a return of something else: neither a place before it nor one that only some calls pass twice."""
    other = b"\x31\xc0" + POP_RET  # xor eax, eax
    body = b"\x74" + bytes([len(other)]) + other + JE_OVER_NOTHING + JE_OVER_NOTHING + RAX_IS_N
    _, exits, vaddr = places(tmp_path, GoImage(), checked(body))
    at = BODY + 2 + len(other)
    assert sorted(offsets(exits, vaddr)) == [(at - 1, 0, 0, 0), (at, 129, 0, 4)]


def test_no_place_in_a_loop(tmp_path: Path) -> None:
    loop = b"\x48\x83\xee\x01\x75\xfa"  # sub rsi, 1; jne back
    _, exits, vaddr = places(tmp_path, GoImage(), checked(loop + RAX_IS_N))
    assert [each.why for each in exits] == [DEAR]
    _, exits, vaddr = places(tmp_path, GoImage(), checked(loop + JE_OVER_NOTHING + RAX_IS_N))
    assert offsets(exits, vaddr) == [(BODY + 6, 129, 0, 4)]


@pytest.mark.parametrize(("name", "believed"), [("runtime.gcWriteBarrier2", True), ("runtime.memmove", False)])
def test_registers_over_calls(tmp_path: Path, name: str, believed: bool) -> None:
    image = GoImage()
    target = image.add(name, b"\xc3")
    begin = target + 16 + BODY + len(JE_OVER_NOTHING)
    _, exits, _ = places(tmp_path, image, checked(JE_OVER_NOTHING + call_of(target - begin - 5) + RAX_IS_N))
    assert [each.why == DEAR for each in exits] == [not believed]


@pytest.mark.parametrize(
    ("name", "write", "cheap"),
    [
        ("runtime.memmove", True, True),
        ("runtime.memmove", False, False),  # fills the buffer
        ("crypto/tls.(*Conn).readRecordOrCCS", False, True),
        ("", False, False),  # who knows
    ],
)
def test_a_read_is_seen_when_its_buffer_is_full(tmp_path: Path, name: str, write: bool, cheap: bool) -> None:
    image = GoImage()
    target = image.add(name or "x.y", b"\xc3")
    begin = target + 16 + BODY + len(SPILL_N) + len(JE_OVER_NOTHING)
    body = SPILL_N + JE_OVER_NOTHING + call_of(target - begin - 5) + N_TO_RAX
    _, exits, vaddr = places(tmp_path, image, checked(body), write=write)
    assert [each.why != DEAR for each in exits] == [cheap]
    if cheap:
        assert offsets(exits, vaddr) == [(BODY + len(SPILL_N), 2, 0, 4)]


def test_a_jump_out_of_the_function_is_an_exit_nobody_sees(tmp_path: Path) -> None:
    assert places(tmp_path, GoImage(), checked(b"\xe9\x00\x10\x00\x00"))[1] == []


def test_what_is_not_code_to_its_end_has_no_exits(tmp_path: Path) -> None:
    entry, exits, _ = places(tmp_path, GoImage(), checked(b"") + b"\xcc" * 14 + b"\x06\x71")
    assert entry is not None
    assert exits == []


def test_a_function_too_large_to_be_looked_into(tmp_path: Path) -> None:
    assert places(tmp_path, GoImage(), checked(b"") + b"\x90" * 70_000)[0] is None


def arm(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


ARM_CHECK = (0xF9400B90, 0xEB3063FF, 0x54000069)  # ldr x16, [x28, #0x10]; cmp sp, x16; b.ls
ARM_BODY = (0xF8190FFE, 0xF81F83FD, 0xD65F03C0, 0xAA0103E0, 0xD65F03C0)  # str x30, [sp, #-0x70]!; ...; ret; ...; ret


@pytest.mark.parametrize(
    ("version", "magic", "check", "n"),
    [
        ("go1.26.8", GO_1_20, ARM_CHECK, 0),
        ("go1.26.8", GO_1_20, (0xF9400B90, 0xD10043F1, 0xEB10023F, 0x54000069), 0),  # sub x17, sp, #0x10; cmp x17, x16
        ("go1.15.15", GO_1_2, (0xF9400B81, 0x910003E2, 0xEB01005F, 0x54000069), 6),  # x1, x2: no arguments there
        ("", GO_1_2, (0xF9400B81, 0x910003E2, 0xEB01005F, 0x54000069), 6),
    ],
)
def test_places_on_arm(tmp_path: Path, version: str, magic: int, check: tuple[int, ...], n: int) -> None:
    image = GoImage(version=version, magic=magic, machine=AARCH64)
    entry, exits, vaddr = places(tmp_path, image, arm(*check, *ARM_BODY))
    end = 4 * len(check)
    assert entry == Entry(vaddr + end - 4, n == 6, "b.ls of the stack check")
    assert offsets(exits, vaddr) == [(end + 8, n, 0, 0), (end + 16, n, 0, 0)]


def test_behind_the_check_on_arm(tmp_path: Path) -> None:
    image = GoImage(version="go1.26.8", machine=AARCH64)
    entry, _, vaddr = places(tmp_path, image, arm(*ARM_CHECK, *ARM_BODY), once=True)
    assert entry == Entry(vaddr + 12, False, "the frame is made behind the stack check")


@pytest.mark.parametrize("into", [20, 27])
def test_a_large_frame_on_arm(tmp_path: Path, into: int) -> None:
    frame = arm(0xD10A83E0 | into, 0xF900037E, 0x9100037F)  # sub x27, sp, #0x2a0; str x30, [x27]; mov sp, x27
    entry, _, vaddr = places(tmp_path, GoImage(machine=AARCH64), arm(*ARM_CHECK) + frame + arm(*ARM_BODY), once=True)
    assert entry == Entry(vaddr + 12, False, "the frame is made behind the stack check")


def test_arguments_that_are_lost_on_arm(tmp_path: Path) -> None:
    image = GoImage(version="go1.26.8", machine=AARCH64)
    assert places(tmp_path, image, arm(0xAA0103E0, *ARM_CHECK, *ARM_BODY))[0] is None


KEEP_ARGUMENTS = b"".join(
    # mov [rsp+0x28+8*n], rax, rbx, rcx: the frame is 0x20 with what was pushed
    (b"\x48\x89\x44\x24\x28", b"\x48\x89\x5c\x24\x30", b"\x48\x89\x4c\x24\x38")
)


@pytest.mark.parametrize(
    ("stores", "kept"),
    [
        (KEEP_ARGUMENTS, True),
        (KEEP_ARGUMENTS[10:] + KEEP_ARGUMENTS[:10], True),
        (KEEP_ARGUMENTS[:10], False),
        (call_of(0) + KEEP_ARGUMENTS, False),
        (KEEP_ARGUMENTS.replace(b"\x24\x28", b"\x24\x20"), False),
        (KEEP_ARGUMENTS.replace(b"\x44\x24\x28", b"\x4c\x24\x28"), False),
        (b"", False),
    ],
    ids=["all", "in another order", "two of three", "behind a call", "in the frame", "another register", "none"],
)
def test_arguments_that_outlive_the_call(tmp_path: Path, stores: bytes, kept: bool) -> None:
    """Then a call that was entered before there was a probe is known when it returns."""
    _, exits, _ = places(tmp_path, GoImage(), checked(stores))
    assert [each.spot.spilled for each in exits] == [kept]


def test_arguments_on_the_stack_outlive_every_call(tmp_path: Path) -> None:
    code = stack_checked(b"\x64\x48\x8b\x0c\x25\xf8\xff\xff\xff")
    _, exits, _ = places(tmp_path, GoImage(version="go1.15", magic=GO_1_2), code)
    assert [each.spot.spilled for each in exits] == [True]
