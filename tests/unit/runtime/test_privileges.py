# SPDX-License-Identifier: Apache-2.0
"""What is missing is named one by one, with the command line that has it; long logs are cut to what tells."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from plaintap._native import NativeError
from plaintap.errors import KernelError, PrivilegeError
from plaintap.runtime import privileges
from plaintap.runtime.privileges import refused, require_capabilities, require_network_capability, telling_lines

PERFMON, BPF, SYS_ADMIN, NET_ADMIN = 1 << 38, 1 << 39, 1 << 21, 1 << 12


@pytest.fixture(autouse=True)
def _command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/plain tap", "tls", "--comm", "it's"])


def hold(monkeypatch: pytest.MonkeyPatch, capabilities: int) -> None:
    monkeypatch.setattr(privileges, "effective_capabilities", lambda: capabilities)


@pytest.mark.parametrize("held", [SYS_ADMIN, PERFMON | BPF, SYS_ADMIN | BPF, (1 << 41) - 1])
def test_enough(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    hold(monkeypatch, held)
    require_capabilities()


@pytest.mark.parametrize(
    ("held", "has"),
    [
        (0, "has neither"),
        (~(PERFMON | BPF | SYS_ADMIN) & ((1 << 41) - 1), "has neither"),
        (PERFMON, "lacks CAP_BPF"),
        (BPF, "lacks CAP_PERFMON"),
    ],
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, held: int, has: str) -> None:
    hold(monkeypatch, held)
    with pytest.raises(PrivilegeError) as raised:
        require_capabilities()
    assert raised.value.message == f"eBPF needs CAP_BPF and CAP_PERFMON, this process {has}"
    assert raised.value.hint == "run it as root: sudo '/opt/plain tap' tls --comm 'it'\"'\"'s'"


@pytest.mark.parametrize(("held", "tcx"), [(NET_ADMIN, False), (NET_ADMIN, True), (SYS_ADMIN, True)])
def test_enough_for_interfaces(monkeypatch: pytest.MonkeyPatch, held: int, *, tcx: bool) -> None:
    hold(monkeypatch, held)
    require_network_capability(tcx=tcx)


@pytest.mark.parametrize(("held", "tcx"), [(SYS_ADMIN, False), (PERFMON | BPF, True)])
@pytest.mark.parametrize(
    ("uid", "hint"),
    [
        (0, "a container gets it with --cap-add=NET_ADMIN"),
        (1000, "run it as root: sudo '/opt/plain tap' tls --comm 'it'\"'\"'s'"),
    ],
)
def test_interfaces_need_another(monkeypatch: pytest.MonkeyPatch, *, held: int, tcx: bool, uid: int, hint: str) -> None:
    hold(monkeypatch, held)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    with pytest.raises(PrivilegeError) as raised:
        require_network_capability(tcx=tcx)
    assert raised.value.message == "capturing packets needs CAP_NET_ADMIN, this process lacks it"
    assert raised.value.hint == hint


def test_our_own_are_read() -> None:
    held = privileges.effective_capabilities()
    assert held >= 0
    assert bool(held) == (os.geteuid() == 0)


def lines(number: int) -> str:
    return "\n".join(f"line {each}" for each in range(number))


def test_a_short_log_is_shown_whole() -> None:
    assert telling_lines(lines(2)) == "\n  line 0\n  line 1"
    assert telling_lines(lines(12)).count("line ") == 12


def test_of_a_long_log_the_end_is_shown_and_the_rest_counted() -> None:
    told = telling_lines(lines(30))
    assert told.startswith("\n  (18 lines left out)\n  line 18\n")
    assert told.endswith("\n  line 29")
    assert telling_lines(lines(13), most=3).startswith("\n  (10 lines left out)\n  line 10")


@pytest.mark.parametrize("log", ["", "\n", "  \n\t\n"])
def test_no_log_no_lines(log: str) -> None:
    assert telling_lines(log) == ""


def test_blank_lines_do_not_count() -> None:
    assert telling_lines("a\n\n\nb\n", most=2) == "\n  a\n  b"


def failed(number: int, log: str = "") -> NativeError:
    error = NativeError(number, os.strerror(number))
    error.log = log
    return error


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_a_refusal_for_lack_of_privilege(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    error = refused(failed(number), "load the programs")
    assert isinstance(error, PrivilegeError)
    assert error.message == f"the kernel refused to load the programs: {os.strerror(number).lower()}"
    assert error.hint is not None
    assert "sudo" in error.hint


@pytest.mark.parametrize(
    ("number", "user", "log"),
    [(errno.EPERM, 0, ""), (errno.EINVAL, 1000, ""), (errno.EACCES, 1000, "R1 invalid mem access 'scalar'")],
)
def test_a_refusal_that_no_privilege_helps(monkeypatch: pytest.MonkeyPatch, number: int, user: int, log: str) -> None:
    """Sudo is not offered to root, nor where the verifier says what is wrong."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    error = refused(failed(number, log), "load the programs")
    assert isinstance(error, KernelError)
    assert error.message.endswith(log)
    assert error.hint is not None
    assert "sudo" not in error.hint
