# SPDX-License-Identifier: Apache-2.0
"""The programs that are measured beside the tool: compiled helpers, nginx, wrk; all on loopback, all ours to end."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SOURCES = Path(__file__).parent / "programs"
TIMEOUT_S = 60

NGINX_CONF = """\
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory};
    proxy_temp_path {directory};
    fastcgi_temp_path {directory};
    uwsgi_temp_path {directory};
    scgi_temp_path {directory};
    default_type text/plain;
    ssl_certificate {directory}/certificate.pem;
    ssl_certificate_key {directory}/key.pem;
    ssl_protocols {protocol};
    server {{ listen 127.0.0.1:{port} ssl; root {directory}/www; }}
    server {{ listen 127.0.0.1:{status_port}; location / {{ stub_status; }} }}
}}
"""
BODY_BYTES = 1024
PROGRAM_BYTES = 150_000_000


class MissingProgramError(Exception):
    """Something the host has not got; the text names what to install."""


def need(program: str, package: str) -> str:
    """The path of a program. Raises MissingProgramError."""
    path = shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if path is None:
        raise MissingProgramError(f"no {program}: apt-get install {package}")
    return path


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every measurement gets."""

    directory: Path
    """Temporary, emptied at the end."""
    plaintap: Path
    rounds: int
    seconds: float
    """How long one run under load takes."""

    def compiled(self, name: str) -> Path:
        """A program of programs/, compiled when first asked for. Raises MissingProgramError."""
        program = self.directory / name
        if not program.exists():
            command: list[str | Path] = [
                need("cc", "gcc libc6-dev"),
                "-O2",
                "-Wall",
                "-o",
                program,
                SOURCES / f"{name}.c",
            ]
            command += ["-lssl", "-lcrypto", "-lpthread"]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                raise MissingProgramError(f"cannot compile {name}.c (libssl-dev?): {made.stderr.strip()[-200:]}")
        return program

    def compiled_go(self, name: str, *flags: str) -> Path:
        """The same of programs/NAME.go, with this host's Go; with flags another file each time."""
        program = self.directory / "-".join((name, *(flag.rpartition("=")[2] for flag in flags)))
        if not program.exists():
            words: list[str | Path] = [need("go", "golang-go"), "build", *flags, "-o", program]
            sources = [SOURCES / "go_identity.go", SOURCES / f"{name}.go"]
            environment = {**os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0"}
            made = subprocess.run([*words, *sources], capture_output=True, text=True, check=False, env=environment)
            if made.returncode:
                raise MissingProgramError(f"cannot compile {name}.go: {made.stderr.strip()[-200:]}")
        return program


class Helper:
    """A program that says `ready …` and then answers every line with a line."""

    def __init__(self, *command: str | Path) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        word, *self.ready = self._line().split()
        if word != "ready":
            raise RuntimeError(f"{command[0]} said {word!r} instead of ready")

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait()}")
        return line

    def ask(self, line: str = "") -> list[str]:
        """The words of the answer to `line`."""
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._line().split()

    def close(self) -> None:
        """Ends it by ending its input."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(timeout=TIMEOUT_S)
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def libssl() -> Path:
    """The host's. Raises MissingProgramError."""
    found = subprocess.run(["/sbin/ldconfig", "-p"], check=True, capture_output=True, text=True).stdout
    match = re.search(r"libssl\.so\.\d.*=> (\S+)", found)
    if match is None:
        raise MissingProgramError("no libssl in the ld cache: apt-get install libssl3")
    return Path(match[1])


def copy_of_node(bench: Bench, name: str) -> Path:
    """A program of 150 MB that nobody has seen, with a TLS library inside. Raises MissingProgramError."""
    copy = bench.directory / name
    shutil.copyfile(need("node", "nodejs"), copy)
    copy.chmod(0o755)
    with copy.open("r+b") as file:
        file.truncate(max(PROGRAM_BYTES, copy.stat().st_size))
    return copy


def make_certificate(directory: Path) -> None:
    """key.pem and certificate.pem, good for a day."""
    subprocess.run(
        [
            *(need("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-keyout", directory / "key.pem", "-out", directory / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )


class Nginx:
    """One worker that answers every HTTPS request with the same 1 KB."""

    def __init__(self, directory: Path, protocol: str) -> None:
        self.port = free_port()
        self._status_port = free_port()
        make_certificate(directory)
        conf = directory / "nginx.conf"
        ports = {"port": self.port, "status_port": self._status_port}
        conf.write_text(NGINX_CONF.format(directory=directory, protocol=protocol, **ports))
        (directory / "www").mkdir(exist_ok=True)
        (directory / "www" / "1k.txt").write_bytes(b"0123456789abcdef" * (BODY_BYTES // 16))
        nginx = need("nginx", "nginx-light")
        self.process = subprocess.Popen([nginx, "-p", directory, "-c", conf, "-e", directory / "nginx.log"])
        self._wait_until_it_answers()
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.worker_pid = int(children.read_text().split()[0])
        self._asked = 1

    def _wait_until_it_answers(self) -> None:
        # A listening socket is the master's; a connection is accepted by the worker that answers.
        while self.process.poll() is None:
            with contextlib.suppress(OSError):
                self._ask_status()
                return
        raise RuntimeError(f"nginx ended with {self.process.returncode}")

    def _ask_status(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._status_port}/", timeout=TIMEOUT_S) as answer:
            text: str = answer.read().decode()
            return text

    def requests(self) -> int:
        """HTTPS requests it has had so far."""
        counts = re.search(r"\n\s*\d+\s+\d+\s+(\d+)\s*\n", self._ask_status())
        assert counts
        self._asked += 1
        return int(counts[1]) - self._asked

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=TIMEOUT_S)


@contextlib.contextmanager
def nginx(directory: Path, *, protocol: str = "TLSv1.2") -> Iterator[Nginx]:
    """A running nginx; it and the others here speak this version of TLS, which nginx calls so."""
    server = Nginx(directory, protocol)
    try:
        yield server
    finally:
        server.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What wrk did."""

    pid: int
    requests: int
    requests_per_s: float


def wrk(port: int, seconds: float, *, keep_alive: bool = True) -> Load:
    """32 connections from one thread, as fast as the answers come; each for one request unless kept alive."""
    command = [need("wrk", "wrk"), "-c32", "-t1", f"-d{seconds:g}s", f"https://127.0.0.1:{port}/1k.txt"]
    if not keep_alive:
        command += ["-H", "Connection: close"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate()
    done = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", said)
    if not (done and rate) or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk failed: {said.strip()[-200:]}")
    return Load(pid=process.pid, requests=int(done[1]), requests_per_s=float(rate[1]))
