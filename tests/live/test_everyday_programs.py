# SPDX-License-Identifier: Apache-2.0
"""Python's ssl, nginx, and OpenSSL's own client and server."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from harness.require import require_command
from harness.tap import Taps
from harness.target import Target, Targets
from harness.truth import Digest, Truth

MARKER = "this was said by somebody who is not captured"
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
    client_max_body_size 16m;
    server {{
        listen {host}:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{ root {folder}; }}
        location /posted {{ return 200 "thank you"; }}
    }}
}}
"""


class Nginx(Target):
    """Workers end only when their master is asked, not when it is killed."""

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
            self.process.communicate(timeout=30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.core
@pytest.mark.sockets
def test_python_client_and_server(targets: Targets, taps: Taps) -> None:
    """Python's ssl module imports only SSL_read_ex and SSL_write_ex."""
    server = targets.server("http")
    paths = ("/a/10", "/b/70000+", "/c/300000", "/d/1+")
    client = targets.ready("client.py", *server.address, targets.certificate, *paths)
    comm = client.comm
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--pid", client.pid, "--pid", server.pid)
    bystander.speak()
    client.go()
    said = client.finish()
    bystander.check_spoke()
    served = server.finish()
    assert served == [said[0].other_end(server.pid)]
    streams = tap.stop_clean().streams
    streams.check_all(said, comm=comm)
    streams.check_all(served, comm=server.name)
    assert streams.pids == {client.pid, server.pid}
    bystander.check_absent(tap.record)


def start_nginx(targets: Targets, folder: Path) -> tuple[Nginx, int]:
    """It inherits the listening socket, so it can be connected to from the start."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        configuration = folder / "nginx.conf"
        configuration.write_text(
            NGINX_CONFIGURATION.format(
                folder=folder, host=host, port=port, certificate=targets.certificate, key=targets.key
            )
        )
        os.set_inheritable(listener.fileno(), True)
        command = [require_command("nginx"), "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
        nginx = Nginx(command, environment={"NGINX": f"{listener.fileno()};"}, pass_fds=(listener.fileno(),))
    targets.started.append(nginx)
    return nginx, port


@pytest.mark.core
def test_nginx(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    (tmp_path / "300000").write_bytes(os.urandom(300_000))
    nginx, port = start_nginx(targets, tmp_path)
    arguments = ("127.0.0.1", port, targets.certificate, "/300000", "/posted/90000+", "/posted/5+", "/missing")
    client = targets.ready("client.py", *arguments)
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--comm", "nginx")
    bystander.speak()
    client.go()
    (said,) = client.finish()
    bystander.check_spoke()
    (worker,) = map(int, Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text().split())
    streams = tap.stop_clean().streams
    streams.check_all([said.other_end(worker)], comm="nginx")
    streams.check_absent(client.pid)
    assert said.read.count > 300_000
    assert said.written.count > 90_005
    bystander.check_absent(tap.record)


@pytest.mark.parametrize("filters", ["pid", pytest.param("comm", marks=pytest.mark.core)])
def test_openssl_client_and_server(targets: Targets, taps: Taps, filters: str) -> None:
    """The server turns lines round; `CLOSE` ends it."""
    openssl = require_command("openssl")
    here, there = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    names = ["-cert", str(targets.certificate), "-key", str(targets.key)]
    server = targets.start([openssl, "s_server", "-accept", f"{there[0]}:{there[1]}", *names, "-rev", "-naccept", "1"])
    while b"ACCEPT" not in server.line():
        pass
    bystander = targets.bystander(MARKER)
    tap = taps.ready(*(("--pid", server.pid) if filters == "pid" else ("--comm", "openssl")))
    bystander.speak()
    addresses = ["-connect", f"{there[0]}:{there[1]}", "-bind", f"{here[0]}:{here[1]}"]
    client = targets.start([openssl, "s_client", "-quiet", *addresses])
    lines = [os.urandom(1000).hex() for _ in range(20)]
    client.say("\n".join([*lines, "CLOSE"]))
    assert client.wait() == 0, client.errors
    assert server.wait() == 0, server.errors
    bystander.check_spoke()
    answer = "".join(f"{line[::-1]}\n" for line in lines).encode()
    assert client.output == answer
    sent = "".join(f"{line}\n" for line in [*lines, "CLOSE"]).encode()
    said = Truth(client.pid, here, there, Digest.of(answer), Digest.of(sent))
    streams = tap.stop_clean().streams
    streams.check_all([said.other_end(server.pid)], comm="openssl")
    if filters == "comm":
        streams.check_all([said], comm="openssl")
    else:
        streams.check_absent(client.pid)
    bystander.check_absent(tap.record)
