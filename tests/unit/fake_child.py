# SPDX-License-Identifier: Apache-2.0
"""Stands for the Python that calibration starts: a script in its place, started with the same words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FakeChild = Callable[[str], None]
"""Lines of Python that have `task`, `answer_fd` and `library_fd`, and `say`, which writes bytes into the answer."""

PRELUDE = """#!{python} -IS
import json, os, signal, sys, time
with open({pid_file!r}, "w") as file:
    file.write(str(os.getpid()))
task = json.loads(sys.argv[-1])
answer_fd = task["answer_fd"]
library_fd = task["libraries"][0]["fd"]
def say(data):
    while data:
        data = data[os.write(answer_fd, data):]
"""


def fake_child(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeChild:
    """What is given to the result is what the next children run; `folder` has the pid of the last in `pid`."""
    prelude = PRELUDE.format(python=sys.executable, pid_file=str(folder / "pid"))

    def use(script: str) -> None:
        path = folder / "python"
        path.write_text(prelude + script)
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return use


def is_gone(folder: Path) -> bool:
    return not Path(f"/proc/{(folder / 'pid').read_text()}").exists()
