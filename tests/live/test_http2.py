# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 as messages, with peers that remember what they said and were told: every field and every body's hash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness.h2 import H2, check, finish
from harness.nginx import start_nginx
from harness.require import require_command
from harness.shown import Shown, data_of, other_end
from harness.tap import Taps
from harness.target import Targets

STREAMS = 50
BODY_LIMIT = 1 << 16


@pytest.mark.parametrize(
    "orders",
    [
        ("get 50 /many/{}/1000", "get 50 /again/{}/20000"),
        ("post 3 /large/10 5000000", "one 1 /large/5000000"),
        ("get 5 /trailers/{}/100?trailers", "get 5 /hints/{}/0?hints", "get 5 /gzip/{}/50000?gzip"),
        ("one 300 /{}/10",),
    ],
    ids=["multiplexed", "5 MB each way", "trailers, 103, gzip", "300 header lists"],
)
def test_client_and_server(targets: Targets, taps: Taps, orders: tuple[str, ...]) -> None:
    h2 = H2(targets)
    client = h2.client()
    tap = taps.ready("--pid", f"{client.pid},{h2.server.pid}", "--format", "json", "-t", 0)
    for order in orders:
        client.do(order)
    asked, served = finish(client), finish(h2.server)
    # Byte for byte: what one says it said is what the other says it heard.
    assert [other_end(exchange, h2.server.pid) for exchange in asked] == served
    check(tap, asked, served)


CURL_URLS = [f"/curl/{number}/{1000 + number}" for number in range(STREAMS)]


def test_curl(targets: Targets, taps: Taps) -> None:
    """50 streams over one connection, as curl makes them when it is told to work in parallel."""
    h2 = H2(targets)
    tap = taps.ready("--format", "json", "-t", 0)
    urls = [f"https://127.0.0.1:{h2.port}{path}" for path in CURL_URLS]
    words = ("-sS", "--http2", "--parallel", "--parallel-max", STREAMS, "--cacert", targets.certificate)
    command = [require_command("curl"), *words, "-H", "X-Long: " + "x" * 300, *urls]
    curl = targets.start([str(word) for word in command])
    assert curl.wait() == 0, curl.errors
    served = finish(h2.server)
    assert len({tuple(exchange["remote"]) for exchange in served}) == 1
    assert len(served) == STREAMS
    check(tap, served, [other_end(exchange, curl.pid) for exchange in served])


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("path", "flags"),
    [
        ("/many/1000", ("--multiply=50",)),
        ("/padded/1000", ("--padding=200", "--multiply=5")),
        ("/trailers/30000?trailers", ("--trailer=x-checksum: 1234", "--data=BODY", "--padding=17", "--multiply=3")),
        ("/continued/10", ("--continuation", "--multiply=3")),
        ("/pushed/1000?push", ()),
    ],
    ids=["multiplexed", "padding", "trailers and padding", "CONTINUATION", "pushed"],
)
def test_nghttp(targets: Targets, taps: Taps, tmp_path: Path, path: str, flags: tuple[str, ...]) -> None:
    """A client by another library than ours or the peer's, with priorities and whatever else it can be told to do."""
    (body := tmp_path / "body").write_bytes(os.urandom(50_000))
    h2 = H2(targets)
    tap = taps.ready("--format", "json", "-t", 0)
    words = [flag.replace("BODY", str(body)) for flag in flags]
    command = [
        require_command("nghttp"),
        "--null-out",
        "--no-verify-peer",
        *words,
        f"https://127.0.0.1:{h2.port}{path}",
    ]
    nghttp = targets.start(command)
    assert nghttp.wait() == 0, nghttp.errors
    served = finish(h2.server)
    shown = check(tap, served, [other_end(exchange, nghttp.pid) for exchange in served])
    # RFC 9113, 5.1.1: streams of a server are even.
    pushed = {line["stream"] % 2 == 0 for line in shown.type("exchange") if line.get("pushed")}
    assert pushed == ({True} if path.endswith("push") else set())


# A location that answers by itself would not read a body.
NGINX = """
    server {{
        listen {host}:{port} ssl http2;
        location / {{ root {folder}; }}
        location /posted {{ proxy_pass http://unix:{folder}/inner; }}
    }}
    server {{
        listen unix:{folder}/inner;
        return 201 "thank you";
    }}
"""


@pytest.fixture
def nginx(targets: Targets, tmp_path: Path) -> tuple[int, int]:
    """Its worker's pid and its port; it serves the test's folder."""
    return start_nginx(targets, tmp_path, NGINX)


def test_nginx(targets: Targets, taps: Taps, tmp_path: Path, nginx: tuple[int, int]) -> None:
    """What its worker has is what the peer says it sent to it, and got."""
    worker, port = nginx
    for size in (20_000, 300_000):
        (tmp_path / str(size)).write_bytes(os.urandom(size))
    client = H2.client_of(targets, port)
    tap = taps.ready("--pid", f"{client.pid},{worker}", "--format", "json", "-t", 0)
    for order in (
        "get 50 /20000",
        "get 5 /300000",
        "post 5 /posted/{} 90000",
        "one 100 /missing/{}",
        "post 2 /posted/again 1000000",
    ):
        client.do(order)
    asked = finish(client)
    check(tap, asked, [other_end(exchange, worker) for exchange in asked])


def test_a_large_download(targets: Targets, taps: Taps, tmp_path: Path, nginx: tuple[int, int]) -> None:
    """100 MB at curl's end: nothing is lost, and the size is exact."""
    _, port = nginx
    beginning = os.urandom(1 << 20)
    with (tmp_path / "large").open("wb") as file:
        for _ in range(100):
            file.write(beginning)
    tap = taps.ready("--comm", "curl", "--format", "json")
    words = ("-sS", "--http2", "--cacert", str(targets.certificate), "-w", "%{size_download} %{local_port}")
    url = f"https://127.0.0.1:{port}/large"
    curl = targets.start([require_command("curl"), *words, "-o", str(tmp_path / "got"), url, "-o", "/dev/null", url])
    assert curl.wait() == 0, curl.errors
    assert (tmp_path / "got").read_bytes() == beginning * 100
    shown = Shown.of(tap.stop_clean().out)
    shown.check_whole()
    exchanges = [line for line in shown.type("exchange") if line["process"]["pid"] == curl.pid]
    assert len(exchanges) == 2
    for line in exchanges:
        response = line["response"]
        assert (response["body_bytes"], response["body_truncated"]) == (100 << 20, True)
        assert data_of(response, "body") == beginning[:BODY_LIMIT]
        assert response["body_left_out_bytes"] == (100 << 20) - BODY_LIMIT
    (end,) = (line for line in shown.type("end") if line["process"]["pid"] == curl.pid)
    assert end["read_bytes"] > 200 << 20
