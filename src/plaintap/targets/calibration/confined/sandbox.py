# SPDX-License-Identifier: Apache-2.0
"""Takes from this process what it does not need to load a library and compute: user id, capabilities, system calls.

Two kinds of refusal: what no TLS library does while it is loaded (a process, a socket, a file written) ends the child,
so that the answer is a clear no; what is merely unknown fails with EPERM, which libraries get along with.
System call numbers: arch/x86/entry/syscalls/syscall_64.tbl. The filter: include/uapi/linux/{filter,seccomp,audit}.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import struct
from pathlib import Path

NOBODY = 65534
"""The kernel's overflow id: nobody's on every distribution, and no file is anybody's but root's under it."""
MEMORY_MAX_BYTES = 1 << 30
DESCRIPTORS_MAX = 64

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522

KILL, ALLOW, FAIL = 0x80000000, 0x7FFF0000, 0x00050000 | errno.EPERM
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16
_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _numbers(table: str) -> dict[str, int]:
    return {name: int(number) for name, _, number in (word.partition("=") for word in table.split())}


ALLOWED = _numbers("""
    read=0 write=1 close=3 stat=4 fstat=5 lstat=6 poll=7 lseek=8 mmap=9 mprotect=10 munmap=11 brk=12 rt_sigaction=13
    rt_sigprocmask=14 rt_sigreturn=15 pread64=17 readv=19 writev=20 access=21 sched_yield=24 mremap=25 mincore=27
    madvise=28 nanosleep=35 getpid=39 exit=60 uname=63 getcwd=79 readlink=89 gettimeofday=96 getrlimit=97
    getrusage=98 sysinfo=99 times=100 getuid=102 getgid=104 geteuid=107 getegid=108 getppid=110 sigaltstack=131
    statfs=137 fstatfs=138 gettid=186 time=201 futex=202 sched_getaffinity=204 getdents64=217 restart_syscall=219
    fadvise64=221 clock_gettime=228 clock_getres=229 clock_nanosleep=230 exit_group=231 newfstatat=262 readlinkat=267
    faccessat=269 getcpu=309 getrandom=318 statx=332 rseq=334 faccessat2=439
""")
DEADLY = _numbers("""
    socket=41 connect=42 bind=49 socketpair=53 clone=56 fork=57 vfork=58 execve=59 creat=85 ptrace=101 bpf=321
    execveat=322 io_uring_setup=425 clone3=435
""")
OPEN, OPENAT, KILL_PROCESS, KILL_THREAD = 2, 257, 62, 234
FCNTL = 72
FCNTL_COMMANDS = (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC: not F_SETOWN and F_SETSIG, which signal other processes."""
NICE = 10

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""


class SandboxError(Exception):
    """The sandbox cannot be closed, so nothing is loaded."""


def filter_program(pid: int) -> list[Instruction]:
    """The classic BPF program over `struct seccomp_data`; `pid` is the one process that may be signalled: itself."""
    program: list[Instruction] = [
        *((_LOAD, 0, 0, _AT_ARCHITECTURE), (_IF_EQUAL, 1, 0, _X86_64), (_RETURN, 0, 0, KILL)),
        *((_LOAD, 0, 0, _AT_NUMBER), (_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, KILL)),
    ]
    for number in ALLOWED.values():
        program += _verdict(number, ALLOW)
    for number, argument in ((OPEN, 1), (OPENAT, 2)):
        program += _verdict_by_argument(number, argument, (_IF_ANY_BIT, 1, 0, _WRITING))
    # abort() sends a signal to its own thread.
    for number in (KILL_PROCESS, KILL_THREAD):
        program += _verdict_by_argument(number, 0, (_IF_EQUAL, 0, 1, pid))
    program += _verdict_by_command()
    for number in DEADLY.values():
        program += _verdict(number, KILL)
    return [*program, (_RETURN, 0, 0, FAIL)]


def _verdict(number: int, verdict: int) -> list[Instruction]:
    return [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, verdict)]


def _verdict_by_command() -> list[Instruction]:
    """fcntl with what every C library asks of it; anything else fails."""
    allowed: list[Instruction] = []
    for command in FCNTL_COMMANDS:
        allowed += _verdict(command, ALLOW)
    body = [(_LOAD, 0, 0, _AT_ARGUMENTS + 8), *allowed, (_RETURN, 0, 0, FAIL)]
    return [(_IF_EQUAL, 0, len(body), FCNTL), *body]


def _verdict_by_argument(number: int, argument: int, test: Instruction) -> list[Instruction]:
    """`test` goes on to ALLOW or jumps over it to KILL. The kernel takes these arguments as ints: the low half."""
    load = (_LOAD, 0, 0, _AT_ARGUMENTS + 8 * argument)
    return [(_IF_EQUAL, 0, 4, number), load, test, (_RETURN, 0, 0, ALLOW), (_RETURN, 0, 0, KILL)]


def enter(*, parent: int, cpu_s: int) -> None:
    """From here on this process is nobody. Raises SandboxError when the host does not let it."""
    libc = ctypes.CDLL(None, use_errno=True)
    _give_way()
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs")
    if os.geteuid() == 0:
        _become_nobody()
    _drop_capabilities(libc)
    # After the change of user, which forgets it.
    _check(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "be ended with its parent")
    if os.getppid() != parent:
        raise SandboxError("the parent has gone")
    _limit(cpu_s)
    _close_calls(libc)


def _give_way() -> None:
    """To a capture that may be under way. In a session of its own it is the session's nice value that counts."""
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    with contextlib.suppress(OSError):  # a kernel without autogroups, or /proc is read-only: see sched(7)
        Path("/proc/self/autogroup").write_text(str(NICE), encoding="ascii")


def _become_nobody() -> None:
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError as error:
        raise SandboxError(f"cannot become user {NOBODY} (nobody): {os.strerror(error.errno or 0)}") from error
    if 0 in (*os.getresuid(), *os.getresgid()):
        raise SandboxError(f"cannot become user {NOBODY} (nobody)")


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """The change of user has done it already, unless securebits say otherwise."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    _check(libc.capset(header, bytes(24)), "drop its capabilities")


def _limit(cpu_s: int) -> None:
    limits = {
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_AS: MEMORY_MAX_BYTES,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: DESCRIPTORS_MAX,
    }
    for limit, most in limits.items():
        hard = resource.getrlimit(limit)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(limit, (least, least))
        except (OSError, ValueError) as error:
            raise SandboxError(f"cannot be limited: {error}") from error


def _close_calls(libc: ctypes.CDLL) -> None:
    program = filter_program(os.getpid())
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(buffer))
    _check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0), "filter its system calls")


def _check(result: int, doing: str) -> None:
    if result:
        raise SandboxError(f"cannot {doing}: {os.strerror(ctypes.get_errno())}")
