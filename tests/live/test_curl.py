# SPDX-License-Identifier: Apache-2.0
"""curl, as people use it: before and after the tool, host-wide, filtered, and started by the tool."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from harness.require import require_command
from harness.tap import Taps
from harness.target import Server, Target, Targets

MARKER = "this was said by somebody who is not captured"


def curl_command(targets: Targets, server: Server, path: str, *arguments: str) -> list[str]:
    """Prints the local port behind the body."""
    url = f"https://{server.host}:{server.port}{path}"
    shown = ("-w", "\n%{local_port}")
    return [require_command("curl"), "-sS", "--cacert", str(targets.certificate), *shown, *arguments, url]


def local_port(curl: Target) -> int:
    assert curl.wait() == 0, curl.errors
    return int(curl.output.rpartition(b"\n")[2])


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("/small/12", ()),
        ("/large/300000", ()),
        ("/posted/5", ("-d", "a=1&b=2")),
        pytest.param("/uploaded/70000", ("--data-binary", "x" * 100_000), marks=pytest.mark.core),
        ("/head/5", ("-X", "PUT", "--data-binary", "y" * 20000, "-H", "Expect: 100-continue")),
    ],
    ids=["get", "large get", "post", "large post", "put"],
)
def test_requests(targets: Targets, taps: Taps, path: str, arguments: Sequence[str]) -> None:
    server = targets.server("http")
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--comm", "curl")
    bystander.speak()
    curl = targets.start(curl_command(targets, server, path, *arguments))
    port = local_port(curl)
    bystander.check_spoke()
    (served,) = server.finish()
    assert served.remote == ("127.0.0.1", port)
    streams = tap.stop_clean().streams
    streams.check_all([served.other_end(curl.pid)], comm="curl")
    streams.check_absent(server.pid)
    streams.check_absent(bystander.pid)
    bystander.check_absent(tap.record)


def test_host_wide_both_ends(targets: Targets, taps: Taps) -> None:
    server = targets.server("http")
    tap = taps.ready()
    curls = [targets.start(curl_command(targets, server, f"/number/{number}000")) for number in range(4)]
    for curl in curls:
        local_port(curl)
    served = server.finish()
    assert len(served) == 4
    streams = tap.stop_clean().streams
    streams.check_all(served, comm=server.name)
    ports = {("127.0.0.1", int(curl.output.rpartition(b"\n")[2])): curl.pid for curl in curls}
    for truth in served:
        assert truth.remote
        streams.check_all([truth.other_end(ports[truth.remote])], comm="curl")


@pytest.mark.core
def test_as_text(targets: Targets, taps: Taps) -> None:
    server = targets.server("http")
    tap = taps.ready("--comm", "curl", "--format", "text")
    curl = targets.start(curl_command(targets, server, "/orders/1234"))
    local_port(curl)
    (line,) = tap.stop_clean().out.splitlines()
    for word in (f"curl[{curl.pid}]", "GET", f"https://127.0.0.1:{server.port}/orders/1234", " 200 ", "text"):
        assert word in line


def test_as_text_with_headers_and_bodies(targets: Targets, taps: Taps) -> None:
    server = targets.server("http")
    tap = taps.ready("--comm", "curl", "--format", "text", "-v")
    local_port(
        targets.start(curl_command(targets, server, "/body/20", "-d", "some=form", "-H", "Content-Type: text/plain"))
    )
    text = tap.stop_clean().out
    for words in ("POST /body/20 HTTP/1.1", "some=form", "HTTP/1.1 200 OK", "Content-Length: 20", "/body/20    "):
        assert words in text


@pytest.mark.core
def test_run(targets: Targets, taps: Taps) -> None:
    server = targets.server("http")
    bystander = targets.bystander(MARKER)
    bystander.speak()
    ended = taps.run_command(curl_command(targets, server, "/run/3000"))
    bystander.check_spoke()
    ended.check_clean()
    (served,) = server.finish()
    assert served.remote == ("127.0.0.1", int(ended.out.rpartition("\n")[2]))
    (pid,) = ended.streams.pids
    ended.streams.check_all([served.other_end(pid)], comm="curl")
    assert pid in ended.streams.exited
    bystander.check_absent(ended.record)
