# SPDX-License-Identifier: Apache-2.0
"""The installed BPF objects, read and not loaded: the `less52` ones hold nothing that Linux 4.18 would refuse.

What the verifier finds out by following values is not looked at here, only what can be seen in the instructions.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path

import pytest
from bpf_object import ALU, ALU64, CALL, EXIT, JMP, JMP32, LDX, STX, BpfObject, Function, Instruction

from plaintap.runtime import sockets
from plaintap.runtime.programs import (
    BIO_PROGRAMS,
    CLOSE_TRACEPOINTS,
    CONNECT_TRACEPOINTS,
    FOLLOW_TRACEPOINTS,
    PROBE_PROGRAMS,
    TRACEPOINTS,
)

MESON = (Path(__file__).parents[2] / "bpf" / "meson.build").read_text()

HELPERS = {
    1: ("map_lookup_elem", "3.19"),
    2: ("map_update_elem", "3.19"),
    3: ("map_delete_elem", "3.19"),
    4: ("probe_read", "4.1"),
    5: ("ktime_get_ns", "4.1"),
    6: ("trace_printk", "4.1"),
    7: ("get_prandom_u32", "4.1"),
    8: ("get_smp_processor_id", "4.1"),
    12: ("tail_call", "4.2"),
    14: ("get_current_pid_tgid", "4.2"),
    15: ("get_current_uid_gid", "4.2"),
    16: ("get_current_comm", "4.2"),
    22: ("perf_event_read", "4.3"),
    25: ("perf_event_output", "4.4"),
    27: ("get_stackid", "4.6"),
    35: ("get_current_task", "4.8"),
    36: ("probe_write_user", "4.8"),
    37: ("current_task_under_cgroup", "4.9"),
    42: ("get_numa_node_id", "4.10"),
    45: ("probe_read_str", "4.11"),
    67: ("get_stack", "4.18"),
    80: ("get_current_cgroup_id", "4.18"),
}
"""What Linux 4.18 lets both probes and raw tracepoints call, and the kernel it came with: tracing_func_proto,
kprobe_prog_func_proto and raw_tp_prog_func_proto of its kernel/trace/bpf_trace.c. Numbers: include/uapi/linux/bpf.h,
where 80 was the last (bf6fa2c893c5)."""
MAP_TYPES = range(1, 19)
"""`enum bpf_map_type` of Linux 4.18, from BPF_MAP_TYPE_HASH to BPF_MAP_TYPE_SOCKHASH (81110384441a)."""
INSTRUCTIONS_MAX = 4096  # BPF_MAXINSNS; more since 5.2 (c04c0d2b968a)
STACK_MAX_BYTES = 512  # MAX_BPF_STACK, of a program and all it calls
PROGRAM_KINDS = ("uprobe", "kprobe/", "kretprobe/", "raw_tp/")
"""Sections of programs that 4.18 knows; raw tracepoints are of 4.17 (c4f6699dfcb8)."""

SWAP_CODES = {0xD4, 0xDC}  # BPF_ALU | BPF_END
ADD_CODES = {0xC3, 0xDB}  # BPF_STX | BPF_XADD, 32 and 64 bits
MEMORY = 0x60  # the mode of plain loads and stores


def built() -> dict[str, tuple[str, ...]]:
    """The families of bpf/meson.build and the variants of each."""
    found = re.search(r"^families = {(.*?)^}$", MESON, re.MULTILINE | re.DOTALL)
    assert found
    rows = re.findall(r"'(\w+)': \[(.*?)\]", found[1])
    return {family: tuple(re.findall(r"\w+", variants)) for family, variants in rows}


BUILT = built()
OBJECTS = [(family, variant) for family, variants in BUILT.items() for variant in variants]
LESS52 = [(family, variant) for family, variant in OBJECTS if variant.endswith("_less52")]
NEWER = [(family, variant) for family, variant in OBJECTS if not variant.endswith("_less52")]


@cache
def installed(family: str, variant: str) -> BpfObject:
    return BpfObject(resources.files("plaintap").joinpath(f"bpf/{family}.{variant}.bpf.o").read_bytes())


def is_newer(instruction: Instruction) -> bool:
    """Whether 4.18 does not know it; 32-bit arithmetic it knows but for one shift (dc012781efac), v1 has none."""
    kind, mode = instruction.kind, instruction.code & 0xE0
    if kind == JMP32:
        return True  # 5.1, 092ed0968bb6
    if kind == ALU:
        return instruction.code not in SWAP_CODES
    if kind == ALU64:
        return instruction.code & 0xF0 == 0xD0 or instruction.offset != 0  # 6.6: bswap, signed division and moves
    if kind == STX and mode != MEMORY:
        return instruction.code not in ADD_CODES or instruction.constant != 0  # 5.12, 91c960b00566
    if kind == LDX:
        return mode != MEMORY  # 6.6, 1f9a1ea821ff
    return kind == JMP and instruction.code == CALL and instruction.source > 1  # kernel functions: 5.13


def reached(function: Function) -> tuple[set[int], list[int]]:
    """The instructions that can run, and those from which one leads back to where it may have come from."""
    by_number = {each.at: each for each in function.instructions}
    seen, open_now, loops = set(), set(), []
    # A number is left once everything behind it was looked at, as in the kernel's check_cfg.
    waiting: list[tuple[int, bool]] = [(function.start, False)]
    while waiting:
        at, leaving = waiting.pop()
        if leaving:
            open_now.discard(at)
            continue
        if at in seen:
            continue
        seen.add(at)
        open_now.add(at)
        waiting.append((at, True))
        followers = function.followers(by_number[at])
        loops += [at for each in followers if each in open_now]
        waiting += [(each, False) for each in followers]
    return seen, loops


def refusals(of: BpfObject) -> set[str]:
    """Everything in the object that a 4.18 kernel would refuse, in words."""
    said = {f"global data {name}" for name in of.global_data()}
    said |= {f"kernel symbol {name}" for name in of.undefined()}
    said |= {f"map type {number}" for number in of.map_types().values() if number not in MAP_TYPES}
    for program in of.programs.values():
        functions = of.with_callees(program)
        if not of.place(program).startswith(PROGRAM_KINDS):
            said.add(f"program kind {of.place(program)}")
        if sum(each.slots for each in functions) > INSTRUCTIONS_MAX:
            said.add(f"length of {program.name}")
        if of.stack_bytes(program) > STACK_MAX_BYTES:
            said.add(f"stack of {program.name}")
    for function in of.functions.values():
        said |= {f"helper {number}" for number in function.helpers() - HELPERS.keys()}
        said |= {f"instruction {each.code:#x}" for each in function.instructions if is_newer(each)}
        seen, loops = reached(function)
        said |= {f"loop in {function.name}"} if loops else set()
        said |= {f"dead code in {function.name}"} if len(seen) != len(function.instructions) else set()
    return said


def test_every_family_has_its_objects() -> None:
    assert BUILT["tls"] == ("core", "noncore", "core_less52", "noncore_less52")
    folder = resources.files("plaintap").joinpath("bpf")
    expected = {f"{family}.{variant}.bpf.o" for family, variant in OBJECTS}
    assert {each.name for each in folder.iterdir()} == expected


@pytest.mark.parametrize(("family", "variant"), LESS52)
def test_linux_4_18_would_take_it(family: str, variant: str) -> None:
    assert refusals(installed(family, variant)) == set()


@pytest.mark.parametrize(("family", "variant"), [row for row in NEWER if row[0] != "packets"])
def test_it_would_not_take_the_newer_ones(family: str, variant: str) -> None:
    """Nothing of what is looked for is missed: these have nearly all of it."""
    said = refusals(installed(family, variant))
    assert said >= {"global data .rodata.config", "global data .bss", "map type 27", "loop in pt_call_return"}
    assert said >= {"helper 112", "helper 131", "helper 174", "instruction 0x56"}  # BPF_JMP32 | BPF_JNE


def function(*code: tuple[int, int]) -> Function:
    """Of instructions given as code and offset."""
    instructions = tuple(Instruction(at, each, 0, 0, offset, 0) for at, (each, offset) in enumerate(code))
    return Function("f", 0, 0, len(code), instructions)


NEXT, GO, IF = 0xB7, 0x05, 0x15  # BPF_MOV, BPF_JA, BPF_JEQ


def test_a_jump_backwards_is_no_loop_by_itself() -> None:
    """The compiler puts what several places have in common before some of them."""
    assert reached(function((GO, 2), (NEXT, 0), (EXIT, 0), (IF, -3), (GO, -4))) == ({0, 1, 2, 3, 4}, [])


@pytest.mark.parametrize("back", [-1, -2, -3])
def test_a_loop_of_any_length_is_found(back: int) -> None:
    assert reached(function((NEXT, 0), (NEXT, 0), (IF, back), (EXIT, 0)))[1] == [2]


def test_what_never_runs_is_found() -> None:
    assert reached(function((GO, 1), (NEXT, 0), (EXIT, 0)))[0] == {0, 2}


@pytest.mark.parametrize(("family", "variant"), OBJECTS)
def test_only_core_objects_ask_for_type_information(family: str, variant: str) -> None:
    asked = installed(family, variant).core_relocations_bytes()
    assert asked > 0 if variant.startswith("core") else asked == 0


@pytest.mark.parametrize("variant", ["core", "noncore"])
def test_the_programs_python_loads_are_there(variant: str) -> None:
    present = installed("tls", variant).programs.keys()
    wanted = {*PROBE_PROGRAMS, *TRACEPOINTS}
    if variant == "core":
        wanted |= {*BIO_PROGRAMS, *FOLLOW_TRACEPOINTS, *CLOSE_TRACEPOINTS, *sockets.PROGRAMS}
    else:
        wanted |= {*CONNECT_TRACEPOINTS}
    assert present == wanted


def test_programs_lie_where_python_links_them() -> None:
    programs = installed("tls", "core")
    places = {name: programs.place(each).lstrip("?") for name, each in programs.programs.items()}
    for name, tracepoint in (TRACEPOINTS | FOLLOW_TRACEPOINTS | CLOSE_TRACEPOINTS).items():
        assert places[name] == f"raw_tp/{tracepoint}"
    for hook in sockets.HOOKS[sockets.Way.TRACEPOINT]:
        assert places[hook.program] == f"raw_tp/{hook.place}"
    for hook in sockets.HOOKS[sockets.Way.TRACING]:
        assert places[hook.program] == f"fexit/{hook.place}"
    for hook in sockets.HOOKS[sockets.Way.KPROBE]:
        assert places[hook.program].split("/")[0] == ("kretprobe" if hook.returns else "kprobe")
    for name in (*PROBE_PROGRAMS, *BIO_PROGRAMS):
        assert places[name] == "uprobe"
