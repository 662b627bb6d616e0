# SPDX-License-Identifier: Apache-2.0
"""What the system call filter says, by running its program as the kernel would (seccomp_run_filters)."""

from __future__ import annotations

import fcntl
import os
import struct

import pytest

from plaintap.targets.calibration.confined.sandbox import ALLOWED, DEADLY, filter_program

X86_64, I386, X32_BIT = 0xC000003E, 0x40000003, 0x40000000
KILL, ALLOW, EPERM = 0x80000000, 0x7FFF0000, 0x00050001
OPEN, OPENAT, KILL_PROCESS, KILL_THREAD = 2, 257, 62, 234
IOCTL, FCNTL, PRCTL = 16, 72, 157
F_SETOWN_EX = 15
UNKNOWN = 999
PID = 4711


def verdict(number: int, *arguments: int, architecture: int = X86_64) -> int:
    """Runs the classic BPF program over a `struct seccomp_data`."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(argument % (1 << 64) for argument in padded))
    program = filter_program(PID)
    at = accumulator = 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif code == 0x06:
            return constant
        else:
            holds = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}
            at += if_true if holds[code] else if_false


@pytest.mark.parametrize("number", ALLOWED.values(), ids=ALLOWED)
def test_what_computing_takes_is_allowed(number: int) -> None:
    assert verdict(number) == ALLOW


@pytest.mark.parametrize("number", DEADLY.values(), ids=DEADLY)
def test_processes_and_sockets_end_the_child(number: int) -> None:
    assert verdict(number) == KILL


def test_anything_else_fails_and_nothing_more() -> None:
    assert verdict(UNKNOWN) == EPERM


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (os.O_RDONLY, ALLOW),
        (os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY, ALLOW),
        (os.O_WRONLY, KILL),
        (os.O_RDWR, KILL),
        (os.O_RDONLY | os.O_CREAT, KILL),
        (os.O_RDONLY | os.O_TRUNC, KILL),
        (os.O_TMPFILE | os.O_WRONLY, KILL),
        (os.O_RDONLY | 1 << 40, ALLOW),  # the kernel looks at the lower half only
        (os.O_WRONLY | 1 << 40, KILL),
    ],
)
def test_files_are_opened_for_reading_only(flags: int, expected: int) -> None:
    assert verdict(OPEN, 0, flags) == expected
    assert verdict(OPENAT, -100, 0, flags) == expected


@pytest.mark.parametrize("number", [KILL_PROCESS, KILL_THREAD])
def test_signals_go_to_itself_only(number: int) -> None:
    assert verdict(number, PID) == ALLOW
    assert [verdict(number, pid) for pid in (PID + 1, 1, 0, -1, -PID)] == [KILL] * 5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, ALLOW) for name in ("F_DUPFD", "F_GETFD", "F_SETFD", "F_GETFL", "F_DUPFD_CLOEXEC")),
        *((name, EPERM) for name in ("F_SETFL", "F_SETOWN", "F_SETSIG", "F_SETLEASE", "F_NOTIFY", "F_SETLKW")),
        *((name, EPERM) for name in ("F_GETLK", "F_GETOWN", "F_ADD_SEALS", "F_SETPIPE_SZ")),
    ],
)
def test_descriptors_are_copied_and_looked_at_only(name: str, expected: int) -> None:
    command = getattr(fcntl, name)
    assert verdict(FCNTL, 3, command) == expected
    assert verdict(FCNTL, 3, command | 1 << 40) == expected  # the kernel looks at the lower half only


@pytest.mark.parametrize("command", [F_SETOWN_EX, 999, -1])
def test_other_commands_of_descriptors_fail(command: int) -> None:
    assert verdict(FCNTL, 3, command) == EPERM


@pytest.mark.parametrize("request_number", [0x5452, 0x8901, 0x8902], ids=["FIOASYNC", "FIOSETOWN", "SIOCSPGRP"])
def test_descriptors_are_not_told_whom_to_signal(request_number: int) -> None:
    assert verdict(IOCTL, 3, request_number) == EPERM


@pytest.mark.parametrize("option", [1, 15, 36, 0x59616D61], ids=["PDEATHSIG", "NAME", "CHILD_SUBREAPER", "PTRACER"])
def test_what_a_process_is_stays(option: int) -> None:
    assert verdict(PRCTL, option) == EPERM


def test_other_ways_of_making_system_calls_end_the_child() -> None:
    assert verdict(ALLOWED["read"], architecture=I386) == KILL
    assert verdict(ALLOWED["read"] | X32_BIT) == KILL


def test_jumps_stay_in_the_program() -> None:
    program = filter_program(PID)
    assert all(at + 1 + max(step[1:3]) < len(program) for at, step in enumerate(program) if step[0] != 0x06)
    assert len(program) < 4096
