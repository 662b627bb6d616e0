# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the live tests: the tool, its targets, and the check that nothing stays behind.

Everything here is marked `live`. What a test cannot do without is asked for by harness/require.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import leaks, tap
from harness.require import require, require_command
from harness.target import PREBUILT, Targets
from harness.veth import Veth, joined

LIVE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(LIVE):
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    """Binaries and a throw-away certificate; unlike pytest's folders every user may read it."""
    if not PREBUILT:
        require_command("cc")
    require_command("openssl")
    with tempfile.TemporaryDirectory(prefix="plaintap-live-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
        subprocess.run(
            [*command.split(), "-addext", names, "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
            check=True,
            capture_output=True,
        )
        yield folder


@pytest.fixture(scope="session")
def privileged() -> None:
    require(os.geteuid() == 0, "needs root")
    require(Path("/sys/kernel/btf/vmlinux").exists(), "this kernel has no BTF")
    require_command("bpftool")
    require(tap.PLAINTAP.exists(), f"there is no {tap.PLAINTAP}: make setup")
    leaks.become_subreaper()


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set up before all others, so that it looks when they are done."""
    if "taps" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("privileged")
    objects, processes = leaks.kernel_objects(), leaks.children()
    yield
    assert leaks.left_behind(objects) == set(), "left in the kernel"
    assert leaks.left_running(processes) == set(), "left running"


@pytest.fixture
def targets(shared_folder: Path) -> Iterator[Targets]:
    """Target programs; they end with the test."""
    with Targets.opened(shared_folder) as targets:
        yield targets


@pytest.fixture
def taps(privileged: None, tmp_path: Path) -> Iterator[tap.Taps]:
    """Runs of the tool; they end with the test."""
    del privileged
    with tap.opened(tmp_path) as taps:
        yield taps


@pytest.fixture
def veth(privileged: None) -> Iterator[Veth]:
    """The device towards another network namespace."""
    del privileged
    with joined() as veth:
        yield veth


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup with one below it; our own again at the end."""
    mount = _cgroup2_mount()
    require(mount, "no writable cgroup v2 hierarchy is mounted")
    assert mount
    folder = mount / f"plaintap-test-{os.getpid()}"
    below = folder / "below"
    below.mkdir(parents=True)
    yield folder
    for group in (below, folder):
        for word in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (mount / "cgroup.procs").write_text(word)
        group.rmdir()


def _cgroup2_mount() -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(place, os.W_OK):
            return Path(place)
    return None


@pytest.fixture
def library_copy(shared_folder: Path) -> Iterator[Path]:
    """A libssl no process has mapped, in a folder of its own: for LD_LIBRARY_PATH."""
    with tempfile.TemporaryDirectory(dir=shared_folder) as name:
        Path(name).chmod(0o755)
        copy = Path(name) / "libssl.so.3"
        shutil.copy(system_libssl(shared_folder), copy)
        yield copy


def system_libssl(folder: Path) -> Path:
    """The libssl that our programs load."""
    with Targets.opened(folder) as targets:
        program = targets.ready("pairs", 1, 1, 1, 1)
        maps = Path(f"/proc/{program.pid}/maps").read_text()
    return next(Path(line.split()[-1]) for line in maps.splitlines() if "/libssl" in line)
