# SPDX-License-Identifier: Apache-2.0
"""Go programs that nobody here wrote, by the Go command from where this host is set up to ask. Looks at no capture."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.fetched import cache, fetched
from harness.golang import FORMS, SOURCES, Build

# The module proxy that the host names is asked; what GOENV=off hides would be that.
ENVIRONMENT = {"GO111MODULE": "on", "GOFLAGS": "-mod=mod", "GOENV": ""}
BUILD = Build("1.26")
FORM = FORMS["stripped"]


@dataclass(frozen=True, slots=True)
class ModuleProgram:
    """Packages of a module at a version."""

    module: str
    packages: tuple[str, ...] = ("",)
    """Below the module; each is a program."""

    @property
    def name(self) -> str:
        return f"gomodule-{self.module.replace('/', '-')}"

    def programs(self) -> list[Path]:
        """Their binaries, made the first time."""
        folder = fetched(self.name, partial(_fetch, self))
        return [folder / f"program{number}" / _name(each) for number, each in enumerate(self._paths())]

    def _paths(self) -> list[str]:
        path = self.module.partition("@")[0]
        return [f"{path}/{package}".rstrip("/") for package in self.packages]

    def build(self, folder: Path) -> None:
        _init(folder, self.module)
        for number, each in enumerate(self._paths()):
            _go("build", *FORM, "-o", folder / f"program{number}" / _name(each), each, folder=folder)


def own_program(name: str, requirement: str, folder: Path) -> Path:
    """golang/modules/NAME.go with a module it needs; the binary is in `folder`."""
    place = folder / f"module-{name}"
    if not place.exists():
        place.mkdir()
        shutil.copy(SOURCES / "modules" / f"{name}.go", place)
        _init(place, requirement)
        _go("build", *FORM, "-o", place / name, ".", folder=place)
    return place / name


def _fetch(program: ModuleProgram, folder: Path) -> None:
    program.build(folder)


def _init(folder: Path, requirement: str) -> None:
    _go("mod", "init", "example.test/program", folder=folder)
    _go("get", requirement, folder=folder)


def _go(*words: object, folder: Path) -> None:
    BUILD.go(*words, folder=folder, GOMODCACHE=str(cache() / "go-modules"), **ENVIRONMENT)


def _name(package: str) -> str:
    """What the kernel is to call it: the last word that is no version."""
    words: Sequence[str] = [word for word in package.split("/") if not word.startswith("v")]
    return words[-1]


def free_port() -> int:
    """For programs that cannot be given 0: nobody listens there now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
