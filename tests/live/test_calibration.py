# SPDX-License-Identifier: Apache-2.0
"""Layouts found by loading real libraries: they are those of the tables. Libraries that do harm: one message each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from harness import leaks
from harness.fetched import Fetch, debian, fetched, site, wheel
from harness.libraries import MULTIARCH, one
from harness.require import require
from harness.target import PROGRAMS
from msgspec import structs

from plaintap.errors import TargetError
from plaintap.targets.calibration.cache import LayoutCache
from plaintap.targets.calibration.calibrator import calibrate, calibrated
from plaintap.targets.calibration.confined.sandbox import NICE
from plaintap.targets.elf import ElfFile
from plaintap.targets.layouts.lookup import differences, find_layout
from plaintap.targets.layouts.model import Layout, Origin
from plaintap.targets.version import openssl_version, sibling_libcrypto

HANG_TIMEOUT_S = 1.0
PROMPT_S = 20.0
"""What anything may take on a busy host."""
NEVER_RUN = "/nonexistent/python"


@pytest.fixture(autouse=True)
def _nobody_left() -> Iterator[None]:
    """Every child of a test is gone after it; orphans of children become ours and are seen."""
    leaks.become_subreaper()
    before = leaks.children()
    yield
    assert leaks.children() - before == set()


@pytest.fixture
def libssl() -> Path:
    """This host's."""
    found = sorted(Path("/").glob(f"{MULTIARCH}/libssl.so.3"))
    require(found, "this host has no libssl.so.3")
    return found[0]


def by_table(path: Path) -> Layout:
    with ElfFile(str(path)) as elf:
        version = openssl_version(elf, sibling_libcrypto(elf, str(path)))
    assert version
    known = find_layout(version)
    assert known, version
    assert known.origin is Origin.TABLE, version
    return known.layout


def check_equal(path: Path) -> None:
    """What calibration finds is what the table says, and all of it."""
    expected, found = by_table(path), calibrate(str(path))
    assert differences(expected, found) == {}
    missing = {name for name, at in structs.asdict(expected).items() if at is not None} - {
        name for name, at in structs.asdict(found).items() if at is not None
    }
    assert missing == set()
    assert found.family is expected.family
    assert found.has_type is expected.has_type


def test_this_hosts_libssl(libssl: Path) -> None:
    check_equal(libssl)


def _in_extension(version: str) -> tuple[str, Fetch, str]:
    """OpenSSL inside a Python extension, whose functions only the full symbol table names."""
    name = "_openssl" if int(version.split(".", 1)[0]) < 40 else "_rust"
    pattern = f"cryptography/hazmat/bindings/{name}.*.so"
    return f"calibrated-cryptography-{version}", site(f"cryptography=={version}"), pattern


def _wheel_of_python_3_6(requirement: str, folder: Path) -> None:
    """A wheel too old for the Python that runs here; only what it bundles is used."""
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
    chosen = "--python-version 3.6 --implementation cp --abi cp36m --platform manylinux1_x86_64"
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = [*pip, *chosen.split(), "--dest", scratch, requirement]
        subprocess.run(command, check=True, capture_output=True, text=True)
        shutil.unpack_archive(next(Path(scratch).glob("*.whl")), folder, "zip")


LIBRARIES: dict[str, tuple[str, Fetch, str]] = {
    "1.0.2n": (
        "calibrated-psycopg2-2.7.4",
        partial(_wheel_of_python_3_6, "psycopg2-binary==2.7.4"),
        "psycopg2/.libs/libssl-*",
    ),
    "1.1.0i": _in_extension("2.3.1"),
    "1.1.1r": ("psycopg2-2.9.5", wheel("psycopg2-binary==2.9.5"), "*.libs/libssl-*.so.*"),
    "1.1.1w": ("libssl1.1", debian("bullseye", "libssl1.1"), f"{MULTIARCH}/libssl.so.*"),
    "3.0.8": _in_extension("39.0.2"),
    "3.1.4": _in_extension("41.0.7"),
    "3.2.2": _in_extension("42.0.8"),
    "3.3.2": _in_extension("43.0.3"),
    "3.4.1": _in_extension("44.0.3"),
    "3.5.2": _in_extension("45.0.7"),
    "3.5.8": ("psycopg2-2.9.13", wheel("psycopg2-binary==2.9.13"), "*.libs/libssl-*.so.*"),
    "4.0.1": _in_extension("48.0.1"),
    "boringssl": ("android-libboringssl", debian("", "android-libboringssl"), f"{MULTIARCH}/android/libssl.so.*"),
}


@pytest.mark.matrix
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LIBRARIES)
def test_libraries_that_can_be_loaded(name: str) -> None:
    folder, fetch, pattern = LIBRARIES[name]
    check_equal(one(fetched(folder, fetch), pattern))


def test_library_that_nobody_else_may_read(libssl: Path, tmp_path: Path) -> None:
    copy = tmp_path / "in private" / "libssl.so.3"
    copy.parent.mkdir(mode=0o700)
    shutil.copy(libssl, copy)
    copy.chmod(0o600)
    assert calibrate(str(copy)) == calibrate(str(libssl))


def test_library_through_another_process(libssl: Path) -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert calibrate(f"/proc/{process.pid}/root{libssl}") == by_table(libssl)
    finally:
        process.kill()
        process.wait()


def test_remembered_by_content(libssl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = LayoutCache(tmp_path / "cache")
    copy = tmp_path / "libssl.so.3"
    shutil.copy(libssl, copy)
    first = calibrated(str(copy), cache=cache)
    assert first.layout == by_table(libssl)
    monkeypatch.setattr(sys, "executable", NEVER_RUN)
    assert calibrated(str(copy), cache=cache) == first
    with copy.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(TargetError, match="cannot start /nonexistent/python"):
        calibrated(str(copy), cache=cache)


Build = Callable[[str], Path]


@pytest.fixture
def victim(shared_folder: Path) -> Iterator[Path]:
    """A file in a folder that every user may write to."""
    with tempfile.TemporaryDirectory(dir=shared_folder) as name:
        Path(name).chmod(0o777)
        file = Path(name) / "victim"
        file.write_bytes(b"whole")
        file.chmod(0o666)
        yield file
        assert [path.name for path in Path(name).iterdir()] == ["victim"]
        assert file.read_bytes() == b"whole"


@pytest.fixture
def build(tmp_path: Path, victim: Path) -> Build:
    """programs/bad_library.c, doing harm in the way named."""

    def built(way: str) -> Path:
        library = tmp_path / "libssl.so"
        command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-DWAY={way}"]
        command += [f'-DVICTIM="{victim}"', "-o", str(library), str(PROGRAMS / "bad_library.c")]
        subprocess.run(command, check=True)
        return library

    return built


def refusal(library: Path, timeout_s: float = PROMPT_S) -> str:
    """Why the library cannot be calibrated, in its own time and with a way out."""
    started_s = time.monotonic()
    with pytest.raises(TargetError) as raised:
        calibrate(str(library), timeout_s=timeout_s)
    assert time.monotonic() - started_s < timeout_s + PROMPT_S
    before = f"{library} cannot be calibrated: "
    assert raised.value.message.startswith(before)
    assert raised.value.hint
    return raised.value.message.removeprefix(before)


TRIED = "it tried what a library has no reason to: to start a process, open a socket or write a file"


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("CRASH", "it crashed: SIGSEGV"),
        ("FORK", TRIED),
        ("SOCKET", TRIED),
        ("WRITE", TRIED),
        ("EXECUTE", TRIED),
        ("KILL", TRIED),
        ("EXIT", "it ended the process before it was done, with status 0"),
        ("GARBAGE", "its answer makes no sense"),
        ("FLOOD", "its answer is longer than 4194304 bytes"),
        ("ESCAPE", "?]0;mine?"),
        ("SNOOP", "it crashed: SIGABRT"),
        ("OWNER", "it crashed: SIGABRT"),
        ("MUTE", "it stopped answering"),
        ("NONSENSE", "client_random is at no place that all handshakes agree on"),
    ],
)
def test_library_that_does_harm(build: Build, way: str, why: str) -> None:
    assert refusal(build(way)) == why


@pytest.mark.parametrize("way", ["HANG", "SLEEP"])
def test_library_that_hangs(build: Build, way: str) -> None:
    why = refusal(build(way), timeout_s=HANG_TIMEOUT_S)
    assert why == f"it does not come back: not done after {HANG_TIMEOUT_S:g} s"


def test_child_ends_with_its_parent(build: Build) -> None:
    """Killed while the library hangs, as by a user who has enough."""
    program = f"import sys; from {calibrate.__module__} import *; calibrate(sys.argv[1], timeout_s=60)"
    parent = subprocess.Popen([sys.executable, "-c", program, str(build("SLEEP"))])
    deadline_s = time.monotonic() + PROMPT_S
    confined: list[int] = []
    while not confined and time.monotonic() < deadline_s:
        listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        confined = [int(pid) for pid in listed if "\nSeccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text()]
    assert confined
    assert os.getpriority(os.PRIO_PROCESS, confined[0]) >= NICE
    parent.kill()
    parent.wait()
    while leaks.children() & set(confined) and time.monotonic() < deadline_s:
        os.sched_yield()
    assert not leaks.children() & set(confined)


def test_library_cut_off_on_disk(libssl: Path, tmp_path: Path) -> None:
    copy = tmp_path / "libssl.so.3"
    whole = libssl.read_bytes()
    for tenth in range(10):
        copy.write_bytes(whole[: len(whole) * tenth // 10])
        assert "libssl.so.3 is" in refusal(copy)


def test_library_whose_code_is_gone(libssl: Path, tmp_path: Path) -> None:
    copy = tmp_path / "libssl.so.3"
    whole = bytearray(libssl.read_bytes())
    with ElfFile(str(libssl)) as elf:
        text = next(segment for segment in elf.segments if segment.kind == 1 and segment.executable)
    whole[text.offset : text.offset + text.size] = bytes(text.size)
    copy.write_bytes(whole)
    assert refusal(copy) == "it crashed: SIGSEGV"


def test_program(tmp_path: Path) -> None:
    copy = tmp_path / "python"
    shutil.copy(sys.executable, copy)
    assert refusal(copy) == "it is a program, and only libraries can be loaded"
