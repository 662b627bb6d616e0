# SPDX-License-Identifier: Apache-2.0
"""Packages fetched for the table tests, through apt-get, pip and npm, into a cache outside the checkout.

One folder per package, complete when it is there. Knows nothing of what is done with them. No registry is named:
each client asks where this host is set up to ask.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from harness.require import require, require_command

FETCH_TIMEOUT_S = 300
DEBIAN = "Debian"

Fetch = Callable[[Path], None]
"""Fills an empty folder."""


def cache() -> Path:
    """Where fetched packages are; PLAINTAP_TEST_CACHE moves it."""
    named = os.environ.get("PLAINTAP_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "plaintap" / "libraries"


def fetched(name: str, fetch: Fetch) -> Path:
    """The folder of `name`, filled by `fetch` the first time; what cannot be fetched is a failed `require`."""
    folder = cache() / name
    if folder.is_dir():
        return folder
    cache().mkdir(parents=True, exist_ok=True)
    with _locked(name), tempfile.TemporaryDirectory(dir=cache(), prefix=f"{name}.") as temporary:
        if folder.is_dir():
            return folder
        new = Path(temporary) / "new"
        new.mkdir()
        try:
            fetch(new)
        except (subprocess.SubprocessError, OSError, StopIteration) as error:
            said = getattr(error, "stderr", None) or str(error)
            require(condition=False, why=f"cannot fetch {name}: {str(said).strip()[-400:]}")
        # Programs run from here as other users too.
        new.chmod(0o755)
        new.rename(folder)
    return folder


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Two test runs must not fetch the same thing at once."""
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(*command: object, folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        check=True,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
        env={**os.environ, **(environment or {})},
    )
    return done.stdout


def npm(package: str) -> Fetch:
    """A package of npm, unpacked: its files are under `package/`."""
    return partial(_npm, package)


def _npm(package: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = (require_command("npm"), "pack", package, "--silent", "--cache", f"{scratch}/npm")
        _run(*command, folder=Path(scratch))
        _run("tar", "-xzf", next(Path(scratch).glob("*.tgz")), "--no-same-owner", folder=folder)


def npm_tree(*packages: str) -> Fetch:
    """Packages of npm with all they need: a folder for NODE_PATH is `node_modules/`."""
    return partial(_npm_tree, packages)


def _npm_tree(packages: tuple[str, ...], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        words = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--cache", scratch, "--prefix", folder)
        _run(require_command("npm"), "install", *words, *packages, folder=folder)


def wheel(requirement: str) -> Fetch:
    """A wheel of PyPI, unpacked. Built for CPython 3.11 whatever runs here: only what it bundles is used."""
    return partial(_wheel, requirement)


def _wheel(requirement: str, folder: Path) -> None:
    # Two names for one platform; pip takes them for different ones.
    platforms = "--platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64"
    chosen = f"--python-version 3.11 --implementation cp --abi cp311 --abi none {platforms}"
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
        _run(*pip, *chosen.split(), "--dest", scratch, requirement, folder=folder)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive:
            archive.extractall(folder)  # noqa: S202 - a zip file, not a tar


def sdist(requirement: str) -> Fetch:
    """A source distribution of PyPI, unpacked: its files are under its name and version."""
    return partial(_sdist, requirement)


def _sdist(requirement: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:")
        _run(*pip, "--dest", scratch, requirement, folder=folder)
        with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")


def site(*requirements: str) -> Fetch:
    """Packages of PyPI as a folder to import from, for the Python that runs the tests."""
    return partial(_site, requirements)


def _site(requirements: tuple[str, ...], folder: Path) -> None:
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-compile")
    _run(*pip, "--root-user-action", "ignore", "--target", folder, *requirements, folder=folder)


def debian(suite: str, *packages: str) -> Fetch:
    """Packages of a suite of Debian, unpacked; `suite` "" is what this host itself installs from."""
    return partial(_debian, suite, packages)


def _debian(suite: str, packages: tuple[str, ...], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        scratch = Path(name)
        # apt fetches as a user of its own, who has no way into a private folder.
        scratch.chmod(0o755)
        environment = _apt_of_suite(suite, scratch) if suite else {}
        apt = (require_command("apt-get"), "-qq", "-o", "APT::Sandbox::User=root")
        if suite:
            _run(*apt, "update", folder=scratch, environment=environment)
        _run(*apt, "download", *packages, folder=scratch, environment=environment)
        for package in scratch.glob("*.deb"):
            _run(require_command("dpkg-deb"), "-x", package, folder, folder=scratch)


def _apt_of_suite(suite: str, folder: Path) -> dict[str, str]:
    """An apt that knows this suite only, of the mirror that this host uses, and nothing of what is installed."""
    places = ("lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/trusted.gpg.d")
    for place in places:
        (folder / place).mkdir(parents=True)
    (folder / "status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "sources.list").write_text(f"deb [signed-by={keys}] {debian_mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferencesparts": folder / "etc/preferences.d",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": "amd64",
        "Acquire::Languages": "none",
    }
    configuration = folder / "apt.conf"
    configuration.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return {"APT_CONFIG": str(configuration)}


def debian_mirror() -> str:
    """Where this host gets Debian from, as its apt says."""
    apt = require_command("apt-get")
    wanted = "$(REPO_URI)\t$(COMPONENT)\t$(ORIGIN)\t$(LABEL)"
    listed = _run(apt, "indextargets", "--format", wanted, "Created-By: Packages", folder=Path("/"))
    for line in listed.splitlines():
        uri, component, origin, label = line.split("\t")
        if (component, origin, label) == ("main", DEBIAN, DEBIAN):
            return uri
    require(condition=False, why="apt of this host knows no mirror of Debian (apt-get update?)")
    raise AssertionError
