# SPDX-License-Identifier: Apache-2.0
"""What /proc says of a process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from plaintap.events import ProcessFacts
from plaintap.runtime.processes import _CONTAINER, look_at_process

ID = "0123456789abcdef" * 4


def test_ourselves() -> None:
    facts = look_at_process(os.getpid(), "python3")
    assert facts.comm == "python3"
    assert Path(facts.exe) == Path(sys.executable).resolve()


def test_one_that_has_gone() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    assert look_at_process(pid, "x") == ProcessFacts(pid=pid, comm="x")


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/system.slice/docker-{ID}.scope\n",
        f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n",
        f"0::/kubepods/besteffort/pod1/{ID}\n",
        f"0::/machine.slice/libpod-{ID}.scope\n",
        f"12:cpu:/docker/{ID}\n11:memory:/docker/{ID}\n",
        f"0::/system.slice/containerd.service/kubepods-pod1:cri-containerd:{ID}\n",
    ],
)
def test_containers(cgroup: str) -> None:
    match = _CONTAINER.search(cgroup.encode())
    assert match is not None
    assert match[1].decode() == ID


@pytest.mark.parametrize(
    "cgroup", ["0::/\n", "0::/user.slice/user-0.slice/session-1.scope\n", f"0::/x/{ID[:-1]}\n", f"0::/a{ID}\n"]
)
def test_no_container(cgroup: str) -> None:
    assert _CONTAINER.search(cgroup.encode()) is None
