# SPDX-License-Identifier: Apache-2.0
"""Whatever the child does, the caller gets an answer or one reason in time, and nothing is left running."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_child import FakeChild, fake_child, is_gone

from plaintap.errors import TargetError
from plaintap.targets.calibration import launcher
from plaintap.targets.calibration.launcher import Part
from plaintap.targets.calibration.observation import ANSWER_MAX_BYTES


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeChild:
    return fake_child(tmp_path, monkeypatch)


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Part]:
    (tmp_path / "library").write_bytes(b"content")
    fd = os.open(tmp_path / "library", os.O_RDONLY)
    yield Part(fd, "libssl.so", {"SSL_new": 0x1000})
    os.close(fd)


def observe(part: Part, timeout_s: float = 20.0) -> bytes:
    with launcher.sealed_copies([part]) as copies:
        return launcher.observe(copies, boringssl=False, timeout_s=timeout_s)


def test_answer(child: FakeChild, part: Part, tmp_path: Path) -> None:
    child("say(sys.argv[-1].encode())")
    task = json.loads(observe(part))
    (library,) = task.pop("libraries")
    assert library.pop("fd") > 2
    assert library == {"name": "libssl.so", "functions": {"SSL_new": 0x1000}, "host_first": False}
    assert task.pop("answer_fd") > 2
    assert task == {"boringssl": False, "parent": os.getpid(), "cpu_s": 21}
    assert is_gone(tmp_path)


def test_long_answer(child: FakeChild, part: Part) -> None:
    child(f"say(bytes({ANSWER_MAX_BYTES}))")
    assert observe(part) == bytes(ANSWER_MAX_BYTES)


def test_child_reads_a_copy_that_it_cannot_change(child: FakeChild, part: Part) -> None:
    child("""
for path in (f"/proc/self/fd/{library_fd}", library_fd):
    for flags in (os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
        try:
            os.write(path if path == library_fd else os.open(path, flags), b"evil")
            say(b"changed: ")
        except OSError:
            pass
say(os.pread(library_fd, 100, 0))
""")
    assert observe(part) == b"content"


def test_child_inherits_nothing_else(child: FakeChild, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_OF_MINE", "1")
    with open(os.devnull, "rb") as file:  # noqa: PTH123 - a descriptor is what is wanted
        os.set_inheritable(file.fileno(), True)
        child(
            'say(json.dumps([sorted(os.environ), [n for n in os.listdir("/proc/self/fd") '
            "if int(n) > 2 and int(n) not in (answer_fd, library_fd)][:-1], os.getcwd()]).encode())"
        )
        environment, descriptors, folder = json.loads(observe(part))
    assert set(environment) <= {"OPENSSL_CONF", "LC_ALL", "PATH"}
    assert (descriptors, folder) == ([], "/")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("os._exit(0)", "it ended the process before it was done, with status 0"),
        ("os._exit(3)", "it ended the process before it was done, with status 3"),
        ("say(b'{}'); os._exit(3)", "it ended the process before it was done, with status 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "it crashed: SIGSEGV"),
        ("say(b'{}'); os.kill(os.getpid(), signal.SIGABRT)", "it crashed: SIGABRT"),
        (
            "os.kill(os.getpid(), signal.SIGSYS)",
            "it tried what a library has no reason to: to start a process, open a socket or write a file",
        ),
        ("say(b'{}'); os.close(answer_fd); time.sleep(60)", "it stopped answering"),
        ("while True: say(bytes(1 << 16))", f"its answer is longer than {ANSWER_MAX_BYTES} bytes"),
    ],
)
def test_child_without_an_answer(child: FakeChild, part: Part, tmp_path: Path, script: str, why: str) -> None:
    child(script)
    with pytest.raises(TargetError) as raised:
        observe(part)
    assert raised.value.message == why
    assert is_gone(tmp_path)


@pytest.mark.parametrize(
    "script",
    ["time.sleep(60)", "say(b'{}'); time.sleep(60)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass"],
)
def test_child_that_hangs(child: FakeChild, part: Part, tmp_path: Path, script: str) -> None:
    child(script)
    started_s = time.monotonic()
    with pytest.raises(TargetError, match="^it does not come back: not done after 1 s$"):
        observe(part, timeout_s=1)
    assert time.monotonic() - started_s < 10
    assert is_gone(tmp_path)


def test_no_python(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(TargetError, match="does not know where it is"):
        observe(part)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(TargetError, match="^calibration cannot start /nonexistent/python: no such file or directory$"):
        observe(part)


def test_no_descriptor_is_left(child: FakeChild, part: Part) -> None:
    child("os._exit(0)")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(TargetError):
            observe(part)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_digest_is_of_the_content(part: Part, tmp_path: Path) -> None:
    first, again = launcher.digests([part, part])
    assert first == again
    (tmp_path / "library").write_bytes(b"Content")
    assert launcher.digests([part]) != [first]


def copied(parts: list[Part]) -> None:
    with launcher.sealed_copies(parts):
        pass


@pytest.mark.parametrize("reading", [launcher.digests, copied])
def test_all_files_together_are_bounded(
    reading: Callable[[list[Part]], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "LIBRARIES_MAX_BYTES", 1 << 20)
    with (tmp_path / "half").open("w+b") as sparse:
        sparse.truncate(1 << 19)
        half = Part(sparse.fileno(), "half")
        reading([half, half])
        sparse.truncate((1 << 19) + 1)
        with pytest.raises(TargetError, match="^with what it needs it is larger than 1 MB$"):
            reading([half, half])


def test_copy_written_in_pieces(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:3]))
    with launcher.sealed_copies([part]) as (copy,):
        assert os.pread(copy.fd, 100, 0) == b"content"


def test_copy_is_told_by_its_name(part: Part) -> None:
    with launcher.sealed_copies([part]) as (copy,):
        assert os.readlink(f"/proc/self/fd/{copy.fd}") == "/memfd:plaintap-calibration (deleted)"  # noqa: PTH115


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(TargetError, match="^folder cannot be read: is a directory$"):
        launcher.digests([Part(fd, "folder")])
    with pytest.raises(TargetError, match="^folder cannot be copied: is a directory$"):
        copied([Part(fd, "folder")])
    os.close(fd)


def test_no_pipe(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pipe", none_left)
    with pytest.raises(TargetError, match="^calibration cannot make a pipe: too many open files$"):
        observe(part)
