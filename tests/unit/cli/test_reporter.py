# SPDX-License-Identifier: Apache-2.0
"""The reporter: its lines, the three ways to be ready, and a standard error that goes away."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import pytest
from fake_cli import Cli

from plaintap.cli.reporter import Reporter
from plaintap.errors import UsageError
from plaintap.messages import Totals


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def ready(reporter: Reporter) -> None:
    reporter.ready(processes=214, tls_processes=41, libraries=["libssl 3.0.22"], seconds=0.314)


def test_lines() -> None:
    stream = io.StringIO()
    reporter = Reporter(stream=stream, environ={})
    ready(reporter)
    reporter.notice("\x1b[31mred")
    reporter.debug("not shown")
    reporter.summary(Totals(duration_s=3.0, exchanges=2, bytes=10))
    first, notice, summary = lines(stream)
    assert first.startswith("plaintap ")
    assert "214 processes" in first
    assert "41" in first
    assert "libssl 3.0.22" in first
    assert notice == "plaintap: \\x1b[31mred"
    assert "2 exchanges" in summary
    assert summary.endswith("nothing lost")


def test_the_ready_line_says_where_keys_go() -> None:
    stream = io.StringIO()
    reporter = Reporter(stream=stream, environ={})
    reporter.ready(processes=1, tls_processes=0, libraries=[], seconds=0.1, keys_to="plaintap_key.log")
    assert stream.getvalue().endswith(" · attached in 0.10 s · keys to plaintap_key.log\n")


def test_debug_lines_only_with_debug() -> None:
    stream = io.StringIO()
    Reporter(stream=stream, environ={}, debug=True).debug("attached at +0x16")
    assert lines(stream) == ["debug: attached at +0x16"]


def test_a_lost_ring_names_a_larger_one() -> None:
    stream = io.StringIO()
    reporter = Reporter(stream=stream, environ={}, mapsize_kb=8192)
    reporter.summary(Totals(losses={"ring_full_records": 3, "ring_full_bytes": 49152}))
    assert "--mapsize 16384" in stream.getvalue()


def test_ready_fd_gets_one_line_and_is_closed() -> None:
    reading, writing = os.pipe()
    reporter = Reporter(stream=io.StringIO(), environ={}, ready_fd=writing)
    assert not os.get_inheritable(writing)
    ready(reporter)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"READY\n"
    ready(reporter)


def test_ready_fd_whose_reader_has_gone() -> None:
    reading, writing = os.pipe()
    stream = io.StringIO()
    reporter = Reporter(stream=stream, environ={}, ready_fd=writing)
    os.close(reading)
    ready(reporter)
    assert lines(stream)[1] == f"plaintap: cannot write to --ready-fd {writing}: broken pipe"


def test_ready_fd_that_is_not_open(cli: Cli) -> None:
    with pytest.raises(UsageError):
        Reporter(environ={}, ready_fd=1 << 19)
    assert cli.refused("--ready-fd", "524288").startswith("plaintap: --ready-fd: file descriptor 524288 is not open\n")


@pytest.mark.parametrize("abstract", [False, True])
def test_service_managers_are_told(tmp_path: Path, abstract: bool) -> None:
    address = f"@plaintap-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        manager.settimeout(10)
        ready(Reporter(stream=io.StringIO(), environ={"NOTIFY_SOCKET": address}))
        assert manager.recv(100) == b"READY=1"


def test_a_service_manager_that_is_not_there(tmp_path: Path) -> None:
    stream = io.StringIO()
    address = str(tmp_path / "notify")
    ready(Reporter(stream=stream, environ={"NOTIFY_SOCKET": address}))
    assert lines(stream)[1] == f"plaintap: cannot tell the service manager at {address}: no such file or directory"


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


def test_a_standard_error_that_went_away_stops_nothing() -> None:
    reading, writing = os.pipe()
    reporter = Reporter(stream=Gone(), environ={}, ready_fd=writing)
    reporter.notice("unheard")
    ready(reporter)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"READY\n"
    closed = io.StringIO()
    closed.close()
    Reporter(stream=closed, environ={}).notice("unheard")


def test_the_service_managers_address_is_ours_alone() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "HOME": "/"}
    Reporter(stream=io.StringIO(), environ=environ)
    assert environ == {"HOME": "/"}
