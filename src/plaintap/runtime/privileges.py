# SPDX-License-Identifier: Apache-2.0
"""Whether this process may do what the kernel side needs, and what to tell the user if not.

Capability numbers: include/uapi/linux/capability.h.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from plaintap.errors import KernelError, PrivilegeError, reason

CAP_NET_ADMIN = 12
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
NEEDED = {38: "CAP_PERFMON", 39: "CAP_BPF"}
"""What loading the programs and making the links takes; CAP_SYS_ADMIN stands for both."""


def effective_capabilities() -> int:
    """The bit set CapEff of /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def require_capabilities() -> None:
    """Raises PrivilegeError naming each missing capability and the way out."""
    held = effective_capabilities()
    if held >> CAP_SYS_ADMIN & 1:
        return
    missing = [name for bit, name in sorted(NEEDED.items(), reverse=True) if not held >> bit & 1]
    if missing:
        has = "has neither" if len(missing) == len(NEEDED) else f"lacks {missing[0]}"
        raise PrivilegeError(f"eBPF needs CAP_BPF and CAP_PERFMON, this process {has}", hint=sudo_hint())


def require_network_capability(*, tcx: bool) -> None:
    """For programs at interfaces: CAP_NET_ADMIN; with tcx links CAP_SYS_ADMIN stands for it. Raises PrivilegeError."""
    held = effective_capabilities()
    if held >> CAP_NET_ADMIN & 1 or (tcx and held >> CAP_SYS_ADMIN & 1):
        return
    # Root has it, but where it was taken away.
    hint = sudo_hint() if os.geteuid() else "a container gets it with --cap-add=NET_ADMIN"
    raise PrivilegeError("capturing packets needs CAP_NET_ADMIN, this process lacks it", hint=hint)


def may_look_at_others() -> bool:
    """Whether other users' processes can be read: CAP_SYS_PTRACE."""
    return bool(effective_capabilities() >> CAP_SYS_PTRACE & 1)


def sudo_hint() -> str:
    """The same command line with sudo in front."""
    import shlex  # noqa: PLC0415 - only on the way to an error
    import shutil  # noqa: PLC0415

    program = "plaintap" if shutil.which("plaintap") == sys.argv[0] else sys.argv[0]
    return f"run it as root: sudo {shlex.join([program, *sys.argv[1:]])}"


def refused(error: OSError, doing: str) -> PrivilegeError | KernelError:
    """What a failed system call of the native extension means to the user."""
    log = telling_lines(getattr(error, "log", ""))
    if error.errno in {errno.EPERM, errno.EACCES} and not log and os.geteuid() != 0:
        return PrivilegeError(f"the kernel refused to {doing}: {reason(error)}", hint=sudo_hint())
    return KernelError(f"the kernel refused to {doing}: {reason(error)}{log}", hint=_KERNEL_HINT)


_KERNEL_HINT = "plaintap needs Linux 5.15 or newer with BTF (/sys/kernel/btf/vmlinux)"


def telling_lines(log: str, *, most: int = 12) -> str:
    """The end of a verifier's or libbpf's log, and how many lines were left out."""
    lines = [line for line in log.splitlines() if line.strip()]
    if not lines:
        return ""
    left_out = len(lines) - most
    shown = "\n  ".join(lines[-most:])
    return "\n  " + (f"({left_out} lines left out)\n  " if left_out > 0 else "") + shown
