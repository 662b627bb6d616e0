# SPDX-License-Identifier: Apache-2.0
"""A web server of one process and curl as its client: what most tests of packets capture."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.packets import Packets
from harness.require import require_command
from harness.target import Targets

NGINX = """
daemon off;
master_process off;
user root;
pid {folder}/nginx.pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    keepalive_timeout 0;
    ssl_protocols TLSv1.2 TLSv1.3;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    server {{
        listen {address} ssl;
        location / {{ return 200 "served to you\n"; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A server of one process; of its last connection it sends every packet before the client ends."""

    pid: int
    host: str
    port: int

    def fetch(self, *flags: str, before: Sequence[str] = (), program: str | None = None) -> int:
        """One request with curl, whose pid this was; `before` are words in front of it, `program` a copy of it."""
        url = f"https://{self.host}:{self.port}/"
        curl = [*before, program or require_command("curl"), "-sS", "-k", "-o", "/dev/null", *flags, url]
        with subprocess.Popen(curl) as process:
            assert process.wait(30) == 0
        return process.pid

    def fetch_by_openssl(self, *flags: str) -> int:
        """The same with `openssl s_client`, which ends when the server does."""
        command = [require_command("openssl"), "s_client", "-quiet", "-connect", f"{self.host}:{self.port}", *flags]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as one:
            answer, _ = one.communicate(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", timeout=30)
            assert b"served to you" in answer
        return one.pid


def serve(targets: Targets, folder: Path, address: str = "127.0.0.1", *, inside: Sequence[str] = ()) -> Site:
    """On a port that nobody has; `inside` are words to begin the command with."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    host = f"[{address}]" if ":" in address else address
    with socket.socket(family) as free:
        free.bind(("::1" if ":" in address else "127.0.0.1", 0))
        port = free.getsockname()[1]
    path = folder / f"nginx-{port}.conf"
    names = {"certificate": targets.certificate, "key": targets.key, "folder": folder}
    path.write_text(NGINX.format(address=f"{host}:{port}", **names))
    nginx = targets.start([*inside, require_command("nginx"), "-p", str(folder), "-c", str(path), "-e", "stderr"])
    while nginx.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 5):
            return Site(nginx.pid, host, port)
    raise AssertionError(f"nginx ended: {nginx.errors!r}")


def said_of(pid: int, comm: str, *, uid: int = 0) -> str:
    """What a packet's comment says of a process."""
    return f"pid={pid} comm={comm} uid={uid}"


def check_request(file: Packets) -> None:
    """It decrypts with nothing but itself."""
    messages = file.messages()
    assert [message.method for message in messages if message.method] == ["GET"]
    assert [message.status for message in messages if message.status] == ["200"]
