# SPDX-License-Identifier: Apache-2.0
"""Classic BPF, which libpcap compiles filters to, as instructions of eBPF that do the same to a packet in the kernel.

Owns the translation (bpf(4) for the one side, RFC 9669 for the other) and nothing of libpcap or of loading.

The kernel keeps a packet's outer VLAN tag beside it; a filter is about the bytes as on the wire, so offsets behind the
Ethernet addresses are moved and the tag itself is looked up.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from plaintap.errors import UsageError

INSTRUCTION = struct.Struct("<BBhi")
MOST_INSTRUCTIONS = 4000
"""A jump reaches 32,767 instructions, and none of these becomes more than 16."""

BACKWARD = 0x7FFFFFFF

# Registers: what the kernel keeps across calls, but for R9's use.
R0, R1, R2, R3, R4 = 0, 1, 2, 3, 4
SKB, A, X, TAGGED, FRAME = 6, 7, 8, 9, 10
SCRATCH_AT = -64  # 16 words of memory
LOADED_AT = -72
HEAD_AT = -96  # bytes 12 to 17 of a tagged packet

# struct __sk_buff, include/uapi/linux/bpf.h
LEN, VLAN_PRESENT, VLAN_TCI, VLAN_PROTO = 0, 20, 24, 28
TAG_FROM, TAG_SIZE = 12, 4
LOAD_BYTES, TAIL_CALL = 26, 12

# Classes and operations, common to both but for their places.
LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
W, H, B = 0x00, 0x08, 0x10
IMM, ABS, IND, MEM, LENGTH, MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR = range(0, 0xB0, 0x10)
JA, JEQ, JGT, JGE, JSET = 0x00, 0x10, 0x20, 0x30, 0x40
FROM_X = 0x08
ALU64, JMP32, MOV, END, EXIT, CALL, JNE = 0x07, 0x06, 0xB0, 0xD0, 0x90, 0x80, 0x50
TO_BIG_ENDIAN = 0x08
SIZES = {W: 4, H: 2, B: 1}


class Classic(NamedTuple):
    """`struct bpf_insn` of libpcap."""

    code: int
    jt: int
    jf: int
    k: int


class _Program:
    """Instructions with jumps to places that are not known yet."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int]] = []
        self.jumps: list[tuple[int, object]] = []
        self.places: dict[object, int] = {}

    def add(self, code: int, destination: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> None:
        if value > 0x7FFFFFFF:
            value -= 1 << 32
        self.code.append((code, destination | source << 4, offset, value))

    def jump(self, code: int, to: object, destination: int = 0, source: int = 0, value: int = 0) -> None:
        self.jumps.append((len(self.code), to))
        self.add(code, destination, source, 0, value)

    def place(self, name: object) -> None:
        self.places[name] = len(self.code)

    def packed(self) -> bytes:
        for at, to in self.jumps:
            code, registers, _, value = self.code[at]
            self.code[at] = (code, registers, self.places[to] - at - 1, value)
        return b"".join(INSTRUCTION.pack(*instruction) for instruction in self.code)


def translate(classic: Sequence[Classic], *, ethernet: bool, tail_call: tuple[int, int] | None = None) -> bytes:
    """Instructions of a tc program that returns 1 where the filter accepts a packet and 0 where not.

    With `tail_call`, the descriptor of a map of programs and a place in it, the program there runs for packets that
    are accepted, and other programs at the interface go on with all.

    Raises UsageError where the filter is too long, or has a loop.
    """
    if len(classic) > MOST_INSTRUCTIONS:
        raise UsageError(f"the packet filter is too long: {len(classic)} instructions, at most {MOST_INSTRUCTIONS}")
    program = _Program()
    _begin(program, ethernet=ethernet)
    for at, instruction in enumerate(classic):
        program.place(at)
        _one(program, at, instruction, ethernet=ethernet)
    _end(program, tail_call)
    return program.packed()


def _begin(program: _Program, *, ethernet: bool) -> None:
    program.add(ALU64 | MOV | FROM_X, SKB, R1)
    # Never taken: the kernel refuses instructions to which nothing leads, as in a filter that accepts everything.
    program.jump(JMP | JEQ, "accept", SKB)
    program.jump(JMP | JEQ, "reject", SKB)
    for register in (A, X, TAGGED):
        program.add(ALU | MOV, register)
    for word in range(8):
        program.add(ST | MEM | 0x18, FRAME, offset=SCRATCH_AT + 8 * word)
    if not ethernet:
        return
    # TAGGED is 0, or the size of the tag; what is looked up around it: type of the tag, tag, and type of the packet.
    program.add(LDX | MEM | W, R1, SKB, VLAN_PRESENT)
    program.jump(JMP | JEQ, "untagged", R1)
    program.add(ALU | MOV, TAGGED, value=TAG_SIZE)
    program.add(LDX | MEM | W, R1, SKB, VLAN_PROTO)  # big endian as it is
    program.add(STX | MEM | H, FRAME, R1, HEAD_AT)
    program.add(LDX | MEM | W, R1, SKB, VLAN_TCI)
    program.add(ALU | END | TO_BIG_ENDIAN, R1, value=16)
    program.add(STX | MEM | H, FRAME, R1, HEAD_AT + 2)
    program.place("untagged")


def _one(program: _Program, at: int, instruction: Classic, *, ethernet: bool) -> None:
    code, k = instruction.code, instruction.k
    kind = code & 7
    if kind in (LD, LDX):
        _load(program, instruction, A if kind == LD else X, ethernet=ethernet)
    elif kind in (ST, STX):
        program.add(STX | MEM | W, FRAME, A if kind == ST else X, SCRATCH_AT + 4 * k)
    elif kind == ALU:
        _compute(program, at, code, k)
    elif kind == JMP:
        _branch(program, at, instruction)
    elif kind == RET:
        if code & 0x18 == 0x10:
            program.jump(JMP32 | JNE, "accept", A)
        program.jump(JMP | JA, "accept" if k and code & 0x18 != 0x10 else "reject")
    else:
        program.add(ALU | MOV | FROM_X, *((A, X) if code & 0x80 else (X, A)))


def _load(program: _Program, instruction: Classic, register: int, *, ethernet: bool) -> None:
    mode, size, k = instruction.code & 0xE0, SIZES.get(instruction.code & 0x18, 4), instruction.k
    if mode == IMM:
        program.add(ALU | MOV, register, value=k)
    elif mode == MEM:
        program.add(LDX | MEM | W, register, FRAME, SCRATCH_AT + 4 * k)
    elif mode == LENGTH:
        program.add(LDX | MEM | W, register, SKB, LEN)
        program.add(ALU | ADD | FROM_X, register, TAGGED)
    elif mode == ABS:
        _load_packet(program, k, size, indirect=False, ethernet=ethernet)
    elif mode == IND:
        _load_packet(program, k, size, indirect=True, ethernet=ethernet)
    else:  # the length of an IPv4 header
        _load_packet(program, k, 1, indirect=False, ethernet=ethernet, register=X)
        program.add(ALU | AND, X, value=15)
        program.add(ALU | LSH, X, value=2)


def _load_packet(program: _Program, k: int, size: int, *, indirect: bool, ethernet: bool, register: int = A) -> None:
    """As libpcap's interpreter: what is not wholly in the packet ends the program with "no"."""
    label = object()
    if ethernet and not indirect and k < TAG_FROM + TAG_SIZE and k + size > TAG_FROM:
        _load_around_tag(program, k, size, label)
    program.add(ALU64 | MOV | FROM_X, R1, SKB)
    if indirect:
        program.add(ALU | MOV, R2, value=k)  # as unsigned
        program.add(ALU64 | ADD | FROM_X, R2, X)
    else:
        program.add(ALU | MOV, R2, value=k)
    program.jump(JMP32 | JGT, "reject", R2, value=0xFFFFFF)
    if indirect:
        # An offset that wrapped around 32 bits.
        program.add(ALU64 | MOV | FROM_X, R3, R2)
        program.add(ALU64 | RSH, R3, value=32)
        program.jump(JMP | JNE, "reject", R3)
    if ethernet and (indirect or k >= TAG_FROM + TAG_SIZE):
        moved = object()
        if indirect:
            program.jump(JMP32 | 0xA0, moved, R2, value=TAG_FROM + TAG_SIZE)  # less: it is not moved
        program.add(ALU | SUB | FROM_X, R2, TAGGED)
        program.place(moved)
    program.add(ALU64 | MOV | FROM_X, R3, FRAME)
    program.add(ALU64 | ADD, R3, value=LOADED_AT)
    program.add(ALU | MOV, R4, value=size)
    program.add(JMP | CALL, value=LOAD_BYTES)
    program.jump(JMP | JNE, "reject", R0)
    program.place(label)
    program.add(LDX | MEM | {4: W, 2: H, 1: B}[size], register, FRAME, LOADED_AT)
    if size > 1:
        program.add(ALU | END | TO_BIG_ENDIAN, register, value=8 * size)


def _load_around_tag(program: _Program, k: int, size: int, loaded: object) -> None:
    """Bytes of a tagged packet some of which are the tag's: one by one, from beside the packet or from it."""
    untagged = object()
    program.jump(JMP32 | JEQ, untagged, TAGGED)
    for index in range(size):
        offset = k + index
        if TAG_FROM <= offset < TAG_FROM + TAG_SIZE:
            program.add(LDX | MEM | B, R1, FRAME, HEAD_AT + offset - TAG_FROM)
            program.add(STX | MEM | B, FRAME, R1, LOADED_AT + index)
            continue
        program.add(ALU64 | MOV | FROM_X, R1, SKB)
        program.add(ALU | MOV, R2, value=offset if offset < TAG_FROM else offset - TAG_SIZE)
        program.add(ALU64 | MOV | FROM_X, R3, FRAME)
        program.add(ALU64 | ADD, R3, value=LOADED_AT + index)
        program.add(ALU | MOV, R4, value=1)
        program.add(JMP | CALL, value=LOAD_BYTES)
        program.jump(JMP | JNE, "reject", R0)
    program.jump(JMP | JA, loaded)
    program.place(untagged)


def _compute(program: _Program, at: int, code: int, k: int) -> None:
    operation, by_x = code & 0xF0, bool(code & FROM_X)
    if operation == NEG:
        program.add(ALU | NEG, A)
    elif operation in (DIV, MOD):
        if by_x:
            program.jump(JMP32 | JEQ, "reject", X)
        elif not k:
            program.jump(JMP | JA, "reject")
            return
        program.add(code, A, X if by_x else 0, value=0 if by_x else k)
    elif operation in (LSH, RSH) and (by_x or k > 31):
        # Shifting everything out leaves nothing; eBPF would take the amount modulo 32.
        if by_x:
            program.jump(JMP32 | 0xA0, ("small", at), X, value=32)
            program.add(ALU | MOV, A)
            program.jump(JMP | JA, ("shifted", at))
            program.place(("small", at))
            program.add(code, A, X)
            program.place(("shifted", at))
        else:
            program.add(ALU | MOV, A)
    else:
        program.add(code, A, X if by_x else 0, value=0 if by_x else k)


def _branch(program: _Program, at: int, instruction: Classic) -> None:
    code, jt, jf, k = instruction
    operation, by_x = code & 0xF0, code & FROM_X
    if operation == JA and k > BACKWARD:
        raise UsageError(
            "the packet filter has a loop, as `protochain` makes, and would not run in the kernel",
            hint="name the protocols that may follow, such as `ip6 proto 6 or ip6 proto 44`",
        )
    if operation == JA:
        program.jump(JMP | JA, at + 1 + k)
        return
    if jt == jf:
        program.jump(JMP | JA, at + 1 + jt)
        return
    program.jump(JMP32 | operation | by_x, at + 1 + jt, A, X if by_x else 0, value=0 if by_x else k)
    if jf:
        program.jump(JMP | JA, at + 1 + jf)


def _end(program: _Program, tail_call: tuple[int, int] | None) -> None:
    program.place("accept")
    if tail_call:
        map_fd, index = tail_call
        program.add(ALU64 | MOV | FROM_X, R1, SKB)
        program.add(0x18, R2, 1, value=map_fd)  # BPF_PSEUDO_MAP_FD: the two halves of an address
        program.add(0)
        program.add(ALU | MOV, R3, value=index)
        program.add(JMP | CALL, value=TAIL_CALL)
    else:
        program.add(ALU | MOV, R0, value=1)
        program.add(JMP | EXIT)
    program.place("reject")
    program.add(ALU64 | MOV, R0, value=-1 if tail_call else 0)
    program.add(JMP | EXIT)
