# SPDX-License-Identifier: Apache-2.0
"""Starts the child that loads a library, waits no longer than allowed, and says why there is no answer.

The child gets sealed copies of the files, so that it can read them as nobody, from whatever folder or container, and
they are what was hashed. What it does with them is confined/; no process is left when a call here returns.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from plaintap.errors import TargetError, reason
from plaintap.targets.calibration.names import MEMORY_NAME
from plaintap.targets.calibration.observation import ANSWER_MAX_BYTES

LIBRARIES_MAX_BYTES = 256 << 20
"""Of a library and all that it needs together: copies of them are memory."""
_CHUNK_BYTES = 1 << 20
_BOOTSTRAP = "import sys; sys.path.append(sys.argv[1]); from confined.child import main; main()"
_ENVIRONMENT = {"OPENSSL_CONF": "/dev/null", "LC_ALL": "C", "PATH": "/usr/bin:/bin"}
"""An openssl.cnf would load more code and change what is allowed."""
_MFD_NOEXEC_SEAL = 8  # include/uapi/linux/memfd.h, Linux 6.3; the loader needs no execute permission
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(frozen=True, slots=True)
class Part:
    """One library to load. The last of several is the TLS library, those before it are what it needs."""

    fd: int
    """Anybody's; read by position."""
    name: str
    """What the loader knows it by, and messages."""
    functions: Mapping[str, int] = field(default_factory=dict)
    """Addresses as in the file."""
    host_first: bool = False
    """Whether this host's library of that name goes before it."""


def digests(parts: Sequence[Part]) -> list[str]:
    """Of each file's content. Raises TargetError when one cannot be read, or when they are too large."""
    budget = _Budget()
    return [_digest(part, budget) for part in parts]


def _digest(part: Part, budget: _Budget) -> str:
    content = hashlib.blake2b(digest_size=32)
    try:
        for chunk in _chunks(part.fd, budget):
            content.update(chunk)
    except OSError as error:
        raise TargetError(f"{part.name} cannot be read: {reason(error)}") from error
    return content.hexdigest()


def observe(parts: Sequence[Part], *, boringssl: bool, timeout_s: float) -> bytes:
    """The child's answer, whatever it is worth; the parts are sealed copies. Raises TargetError when there is none."""
    if not sys.executable:
        raise TargetError("calibration starts a Python of its own, and this one does not know where it is")
    try:
        answer_fd, child_fd = os.pipe()
    except OSError as error:
        raise TargetError(f"calibration cannot make a pipe: {reason(error)}") from error
    try:
        try:
            task = _task(parts, answer_fd=child_fd, boringssl=boringssl, timeout_s=timeout_s)
            child = _start(task, pass_fds=(child_fd, *(part.fd for part in parts)))
        finally:
            os.close(child_fd)
        try:
            answer = _read(answer_fd, deadline_s=time.monotonic() + timeout_s, timeout_s=timeout_s)
        finally:
            # It has answered, ended or had its time. One that has ended keeps the status it ended with.
            child.kill()
            child.wait()
    finally:
        os.close(answer_fd)
    if child.returncode or not answer:
        raise TargetError(_why(child.returncode))
    return answer


def _task(parts: Sequence[Part], *, answer_fd: int, boringssl: bool, timeout_s: float) -> str:
    libraries = [
        {"fd": part.fd, "name": part.name, "functions": dict(part.functions), "host_first": part.host_first}
        for part in parts
    ]
    # Processor time is the second line: the child would end though this process were stopped.
    task = {"libraries": libraries, "boringssl": boringssl, "answer_fd": answer_fd, "parent": os.getpid()}
    return json.dumps(task | {"cpu_s": int(timeout_s) + 1})


def _start(task: str, *, pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    # Isolated and without site: neither the environment nor the current folder nor packages say what it runs.
    command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, str(Path(__file__).parent), task]
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and file descriptors
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=pass_fds,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise TargetError(f"calibration cannot start {sys.executable}: {reason(error)}") from error


def _read(fd: int, *, deadline_s: float, timeout_s: float) -> bytes:
    """Everything up to the end, which comes when the child ends."""
    answer = bytearray()
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1000):
            raise TargetError(f"it does not come back: not done after {timeout_s:g} s")
        chunk = os.read(fd, 1 << 16)
        if not chunk:
            return bytes(answer)
        answer += chunk
        if len(answer) > ANSWER_MAX_BYTES:
            raise TargetError(f"its answer is longer than {ANSWER_MAX_BYTES} bytes")


def _why(returncode: int) -> str:
    if returncode == -signal.SIGSYS:
        return "it tried what a library has no reason to: to start a process, open a socket or write a file"
    if returncode == -signal.SIGKILL:  # by `observe`: it kept running, but closed its end of the pipe
        return "it stopped answering"
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        return f"it crashed: {name}"
    return f"it ended the process before it was done, with status {returncode}"


@contextmanager
def sealed_copies(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """The same from memory, where everybody may read and nobody change them any more, the child included.

    Raises TargetError when one cannot be copied, or when they are too large.
    """
    budget = _Budget()
    with ExitStack() as stack:
        yield [stack.enter_context(_sealed_copy(part, budget)) for part in parts]


@contextmanager
def _sealed_copy(part: Part, budget: _Budget) -> Iterator[Part]:
    fd = -1
    try:
        try:
            fd = _memory_file()
            for chunk in _chunks(part.fd, budget):
                _write(fd, chunk)
            os.fchmod(fd, 0o444)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        except OSError as error:
            raise TargetError(f"{part.name} cannot be copied: {reason(error)}") from error
        yield replace(part, fd=fd)
    finally:
        if fd >= 0:
            os.close(fd)


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(MEMORY_NAME, flags | _MFD_NOEXEC_SEAL)
    except OSError:  # before Linux 6.3
        return os.memfd_create(MEMORY_NAME, flags)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class _Budget:
    """How much of files may still be read."""

    def __init__(self) -> None:
        self._left_bytes = LIBRARIES_MAX_BYTES

    def spend(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise TargetError(f"with what it needs it is larger than {LIBRARIES_MAX_BYTES >> 20} MB")


def _chunks(fd: int, budget: _Budget) -> Iterator[bytes]:
    at = 0
    while chunk := os.pread(fd, _CHUNK_BYTES, at):
        budget.spend(len(chunk))
        yield chunk
        at += len(chunk)
