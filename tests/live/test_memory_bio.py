# SPDX-License-Identifier: Apache-2.0
"""Programs that carry the bytes between TLS and their sockets themselves, and large ones that do not: the right socket.

Node, Python's asyncio and whatever else hands TLS a piece of memory; nginx, uvicorn and gunicorn as people run them.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness.attribution import Attribution, Tuple, attribution, only, tuple_of
from harness.fetched import fetched, site
from harness.libraries import node_of_wheel
from harness.require import require, require_command
from harness.rows import rows
from harness.tap import Taps
from harness.target import PROGRAMS, Target, Targets

MARKER = "this was said by somebody who is not captured"
# A hundred connections and their servers, all in one breath.
ROOMY = ("--mapsize", 32768)
HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 6))
WEB_SERVERS = ("uvicorn==0.34.0", "h11==0.14.0", "click==8.1.7", "gunicorn==23.0.0", "packaging==24.2")

Node = Callable[[], str]


def host_node() -> str:
    return require_command("node")


def node_20() -> str:
    """What this one is made of is known: OpenSSL 3.0.13+quic, linked into the executable."""
    return node_of_wheel("20.18.0")


NODES: dict[str, Node] = {"20": node_20, "host": host_node}
SINCE = ("first", "late")


class Peer(Target):
    """A server that listens on a port of its own."""

    host = ""
    port = 0

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def forget(self) -> None:
        """What passed until now is not told."""
        self.say()
        assert self.line() == b"forgot\n"

    def terminate(self) -> None:
        """For those that serve until then."""
        self.process.terminate()
        self.wait()


def start(targets: Targets, words: list[str], host: str = "127.0.0.1") -> Peer:
    peer = Peer([*words, str(targets.certificate), str(targets.key), host])
    targets.started.append(peer)
    (port,) = peer.expect("ready")
    peer.host, peer.port = host, int(port)
    return peer


def asyncio_server(targets: Targets, host: str = "127.0.0.1") -> Peer:
    return start(targets, targets.command("asyncio_server.py"), host)


def tuple_told(told: dict[str, tuple[str, int]]) -> Tuple:
    """Of a line that a program in JavaScript prints."""
    (local, local_port), (remote, remote_port) = told["local"], told["remote"]
    return (local, local_port), (remote, remote_port)


@pytest.mark.parametrize(("node", "since"), rows(NODES, SINCE, quick={("20", "first"), ("20", "late")}))
def test_node_client_of_five_hosts(targets: Targets, taps: Taps, node: str, since: str) -> None:
    """A hundred requests at once over agents that keep connections alive, then a hundred more over the same ones."""
    servers = [asyncio_server(targets, host) for host in HOSTS]
    words = [NODES[node](), str(PROGRAMS / "node_client.js"), since, "20", "2", *(server.address for server in servers)]
    client = targets.start(words)
    client.expect("ready")
    for server in servers:
        server.forget()
    bystander = targets.bystander(MARKER)
    comm = client.comm
    tap = taps.ready("--pid", client.pid, *ROOMY)
    bystander.speak()
    client.go()
    assert client.wait() == 0, client.errors
    bystander.check_spoke()
    said = [truth.other_end(client.pid) for server in servers for truth in server.finish()]
    streams = attribution(tap.stop_clean())
    assert len(said) == 100
    streams.check_sockets(said, comm=comm, late=since == "late")
    check_exchanges(streams, client, expected=200)
    bystander.check_absent(tap.record)


def check_exchanges(streams: Attribution, client: Target, *, expected: int) -> None:
    """Every exchange is over the socket that the client had it over, both the question and the answer."""
    exchanges = [json.loads(line) for line in client.output.splitlines() if line.startswith(b'{"exchange"')]
    over = {(stream.local, stream.remote): stream for stream in streams.of(client.pid)}
    assert len({told["exchange"] for told in exchanges}) == len(exchanges) == expected
    for told in exchanges:
        path = told["exchange"].encode()
        stream = over[tuple_told(told)]
        assert stream.written.bytes.count(b"GET " + path + b" HTTP/1.1\r\n") == 1
        assert stream.read.bytes.count(path + b" ") == 1


@pytest.mark.parametrize(("node", "since"), rows(NODES, SINCE, quick={("20", "first")}))
def test_node_server_of_a_hundred(targets: Targets, taps: Taps, node: str, since: str) -> None:
    server = start(targets, [NODES[node](), str(PROGRAMS / "node_server.js")])
    comm = server.comm
    client = targets.ready("asyncio_client.py", server.host, server.port, 100, 2, since)
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--pid", server.pid, *ROOMY)
    bystander.speak()
    client.go()
    said = client.finish()
    bystander.check_spoke()
    assert server.wait() == 0, server.errors
    served = [truth.other_end(server.pid) for truth in said]
    told = [json.loads(line)["socket"] for line in server.output.splitlines()]
    assert {tuple_of(truth) for truth in served} == set(map(tuple_told, told))
    assert len(served) == 100
    streams = attribution(tap.stop_clean())
    streams.check_sockets(served, comm=comm, late=since == "late")
    bystander.check_absent(tap.record)


@pytest.mark.parametrize("since", SINCE)
def test_asyncio_client_and_server(targets: Targets, taps: Taps, since: str) -> None:
    """Sixty connections at once; the server has them as IPv4-mapped IPv6."""
    require(Path("/proc/net/if_inet6").exists(), "this host has no IPv6")
    server = asyncio_server(targets, "::")
    client = targets.ready("asyncio_client.py", "127.0.0.1", server.port, 60, 2, since)
    server.forget()
    comms = {client.pid: client.comm, server.pid: server.comm}
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--pid", f"{client.pid},{server.pid}", *ROOMY)
    bystander.speak()
    client.go()
    said, served = client.finish(), server.finish()
    bystander.check_spoke()
    assert {tuple_of(truth.other_end(0)) for truth in said} == {tuple_of(truth) for truth in served}
    assert {truth.local[0] for truth in served if truth.local} == {"::ffff:127.0.0.1"}
    streams = attribution(tap.stop_clean())
    for truths in (said, served):
        assert len(truths) == 60
        streams.check_sockets(truths, comm=comms[truths[0].pid], late=since == "late")
    bystander.check_absent(tap.record)


@pytest.mark.parametrize(
    ("how", "since"),
    rows(
        ("whole", "header", "odd", "byte", "peek", "threads", "mixed"),
        SINCE,
        quick={("whole", "first"), ("header", "late"), ("odd", "first"), ("threads", "late"), ("mixed", "first")},
        core={("whole", "first")},
    ),
)
def test_loops_of_their_own(targets: Targets, taps: Taps, how: str, since: str) -> None:
    """Connections in step, so that only the bytes tell whose they are; those go by every system call and in any pieces.

    Of one that takes them one at a time the socket may be unknown, but it is not another's.
    """
    server = targets.server()
    client = targets.ready("memory_bio.py", *server.address, 10, 3, 100 if how == "byte" else 20_000, how, since)
    comm = client.comm
    tap = taps.ready("--pid", client.pid)
    client.go()
    said = client.finish()
    served = server.finish()
    assert {tuple_of(truth.other_end(0)) for truth in said} == {tuple_of(truth) for truth in served}
    sure = how != "byte"
    streams = attribution(tap.stop_clean(), unattributed=0 if sure else None)
    assert len(said) == (11 if how == "mixed" else 10)
    # A ClientHello in pieces is not recognised, the records behind it are.
    streams.check_sockets(said, comm=comm, late=since == "late" or how == "odd", sure=sure)


NGINX_CONFIGURATION = """
daemon off;
worker_processes 1;
user root;
pid {folder}/nginx.pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream behind {{
{servers}
        keepalive 10;
    }}
    server {{
        listen unix:{folder}/front;
        location / {{
            proxy_pass https://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


class Nginx(Target):
    """Workers end only when their master is asked, not when it is killed."""

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
            self.process.communicate(timeout=30)


class Front(http.client.HTTPConnection):
    """To nginx, over its Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def worker_of(process: Target) -> int:
    """The only child of a server."""
    return only(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))


def test_nginx_as_a_client(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """Of three servers, with connections kept alive and used by several of its own clients."""
    servers = [asyncio_server(targets, host) for host in HOSTS[:3]]
    lines = "\n".join(f"        server {server.address};" for server in servers)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(NGINX_CONFIGURATION.format(folder=tmp_path, servers=lines))
    nginx = Nginx([require_command("nginx"), "-p", str(tmp_path), "-c", str(configuration), "-e", "stderr"])
    targets.started.append(nginx)
    tap = taps.ready("--comm", "nginx", *ROOMY)

    def ask(number: int) -> None:
        path = f"/request{number}/{100 + number * 1000}"
        connection = Front(tmp_path / "front")
        connection.request("GET", path)
        assert connection.getresponse().read().rstrip() == path.encode()
        connection.close()

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(ask, range(60)))
    worker = worker_of(nginx)
    nginx.kill()
    said = [truth.other_end(worker) for server in servers for truth in server.finish()]
    streams = attribution(tap.stop_clean())
    assert len({truth.remote for truth in said}) == 3
    assert sum(stream.written.bytes.count(b"GET /request") for stream in streams.all) == 60
    streams.check_sockets(said, comm="nginx")


@pytest.mark.parametrize(("kind", "since"), rows(("uvicorn", "gunicorn"), SINCE, quick={("uvicorn", "first")}))
def test_web_servers_of_python(targets: Targets, taps: Taps, kind: str, since: str) -> None:
    """uvicorn is asyncio's TLS over memory; gunicorn's threads share connections."""
    folder = fetched("web-servers", site(*WEB_SERVERS))
    server = start(targets, targets.command("web_server.py", folder, kind))
    process = server.pid if kind == "uvicorn" else worker_of(server)
    comm = server.comm
    client = targets.ready("asyncio_client.py", server.host, server.port, 20, 3, since)
    tap = taps.ready("--pid", process)
    client.go()
    said = client.finish()
    server.terminate()
    assert len(said) == 20
    streams = attribution(tap.stop_clean())
    streams.check_sockets([truth.other_end(process) for truth in said], comm=comm, late=since == "late")
