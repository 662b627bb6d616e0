# SPDX-License-Identifier: Apache-2.0
"""How the kernel tells which socket a thread uses: three ways, of which a kernel has some.

Only the programs and how they are linked; what they note is bpf/include/attribution.h's.
"""

from __future__ import annotations

import errno
import os
import platform
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from plaintap import _native
from plaintap.runtime.forced import is_forced

TRACING = 26  # BPF_PROG_TYPE_TRACING, include/uapi/linux/bpf.h
KPROBE_EVENTS = Path("/sys/bus/event_source/devices/kprobe")


class Way(Enum):
    """From the first choice to the last."""

    TRACEPOINT = "rawtp"
    """Since Linux 6.3 (6e6eda44b939)."""
    TRACING = "fentry"
    """Programs at the kernel's functions; the place of their result is that of Linux 5.19 (ec095263a965)."""
    KPROBE = "kprobe"


@dataclass(frozen=True, slots=True)
class Hook:
    """A program, and the function or tracepoint it sits at."""

    program: str
    place: str
    returns: bool = False
    instead: Hook | None = None
    """Where this place cannot be probed."""


HOOKS = {
    Way.TRACEPOINT: (
        Hook("pt_socket_send", "sock_send_length"),
        Hook("pt_socket_receive", "sock_recv_length"),
    ),
    Way.TRACING: (
        Hook("pt_trace_tcp_send", "tcp_sendmsg"),
        Hook("pt_trace_tcp_receive", "tcp_recvmsg", returns=True),
        Hook("pt_trace_unix_send", "unix_stream_sendmsg"),
        Hook("pt_trace_unix_receive", "unix_stream_recvmsg", returns=True),
    ),
    # Ends first: what is entered must be seen to leave. The kernel has few probes at returns (10, or two for each CPU)
    # and every blocked call holds one, so TCP has one only where its function for the purpose was inlined.
    Way.KPROBE: (
        Hook(
            "pt_probe_copied",
            "tcp_cleanup_rbuf",
            instead=Hook("pt_probe_received", "tcp_recvmsg", returns=True),
        ),
        Hook("pt_probe_received", "unix_stream_recvmsg", returns=True),
        Hook("pt_probe_tcp_send", "tcp_sendmsg"),
        Hook("pt_probe_tcp_receive", "tcp_recvmsg"),
        Hook("pt_probe_unix_send", "unix_stream_sendmsg"),
        Hook("pt_probe_unix_receive", "unix_stream_recvmsg"),
    ),
}
PROGRAMS = tuple(dict.fromkeys(hook.program for hooks in HOOKS.values() for hook in hooks))


def kernel_release() -> tuple[int, ...]:
    """Major and minor version of the running kernel."""
    return tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])


def ways() -> list[Way]:
    """The ones to try here, in order; asks the kernel what it has without loading anything.

    The tracepoints come first where there are any: they see every kind of socket (MPTCP, kTLS, sockmap, vsock) and how
    much really moved, whereas the functions are those of TCP and Unix streams alone. Of the ways to hook those, tracing
    programs cost less than kprobes.
    """
    forced = [way for way in Way if is_forced(way.value)]
    if forced:
        return forced
    found = []
    release = kernel_release()
    if release >= (6, 3):
        found.append(Way.TRACEPOINT)
    if release >= (5, 19) and _native.has_program_type(TRACING):
        found.append(Way.TRACING)
    if KPROBE_EVENTS.exists():
        found.append(Way.KPROBE)
    return found


def link(programs: _native.Object, way: Way) -> list[int]:
    """Links the programs of this way; descriptors of the caller's. Raises NativeError, ENOENT where there is none."""
    made: list[int] = []
    try:
        for hook in HOOKS[way]:
            made += _link(programs, hook, way)
    except _native.NativeError:
        for fd in made:
            os.close(fd)
        raise
    return made


def _link(programs: _native.Object, hook: Hook, way: Way) -> tuple[int, ...]:
    program_fd = programs.program_fd(hook.program)
    if way is Way.TRACING:
        return (_native.link_tracing(program_fd),)
    if way is Way.TRACEPOINT:
        return (_native.link_raw_tracepoint(program_fd, hook.place),)
    try:
        return _native.link_kprobe(program_fd, hook.place, returns=hook.returns)
    except _native.NativeError as error:
        if hook.instead and error.errno == errno.ENOENT:
            return _link(programs, hook.instead, way)
        if error.errno == errno.ENOENT and hook.place.startswith("unix_"):
            return ()  # a kernel without Unix sockets, or with them in a module not loaded
        raise
