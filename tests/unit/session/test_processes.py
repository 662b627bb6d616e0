# SPDX-License-Identifier: Apache-2.0
"""Which program and container a connection is of: asked once, told to a recording, forgotten with the process."""

from __future__ import annotations

from plaintap.events import ProcessFacts
from plaintap.messages import Connection
from plaintap.session.processes import REMEMBERED_MAX, Processes


class Host:
    """Answers, and remembers what it was asked and told."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []
        self.told: list[ProcessFacts] = []
        self.processes = Processes(look=self.look, found=self.told.append)

    def look(self, pid: int, comm: str) -> ProcessFacts:
        self.asked.append((pid, comm))
        return ProcessFacts(pid=pid, comm=comm, exe=f"/bin/{comm}", container="c0ffee")

    def describe(self, pid: int, comm: str) -> Connection:
        connection = Connection(1, pid, pid, 0, comm)
        self.processes.describe(connection)
        return connection


def test_a_process_is_asked_once_for_each_name() -> None:
    host = Host()
    for comm in ("sh", "sh", "curl", "curl"):
        connection = host.describe(7, comm)
        assert (connection.exe, connection.container) == (f"/bin/{comm}", "c0ffee")
    assert host.asked == [(7, "sh"), (7, "curl")]
    assert [facts.exe for facts in host.told] == ["/bin/sh", "/bin/curl"]


def test_a_pid_may_be_anothers_one_day() -> None:
    host = Host()
    host.describe(7, "sh")
    host.processes.forget(7)
    host.processes.forget(8)
    host.describe(7, "sh")
    assert len(host.asked) == 2


def test_without_a_host_what_is_told_counts() -> None:
    processes = Processes()
    connection = Connection(1, 7, 7, 0, "sh")
    processes.describe(connection)
    assert connection.exe == ""
    processes.tell(ProcessFacts(pid=7, comm="sh", exe="/bin/dash"))
    processes.describe(connection)
    assert connection.exe == "/bin/dash"


def test_bounded() -> None:
    processes = Processes()
    for pid in range(REMEMBERED_MAX + 10):
        processes.tell(ProcessFacts(pid=pid + 1, comm="x"))
    assert len(processes._facts) == REMEMBERED_MAX
