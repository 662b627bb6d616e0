# SPDX-License-Identifier: Apache-2.0
"""nginx, started by a test with a configuration of its own; it ends with the test."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from harness.require import require_command
from harness.target import Target, Targets

CONFIGURATION = """
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
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    SERVERS
}}
"""


class Nginx(Target):
    """Workers end only when their master is asked, not when it is killed."""

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
            self.process.communicate(timeout=30)


def start_nginx(targets: Targets, folder: Path, servers: str) -> tuple[int, int]:
    """The pid of its one worker, and its port: it inherits the listening socket, so it can be connected to at once.

    `servers` is what nginx calls server blocks, and what is common to them; it may name `{folder}`, `{host}`, `{port}`.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        path = folder / "nginx.conf"
        path.write_text(
            CONFIGURATION.replace("SERVERS", servers).format(
                folder=folder, host=host, port=port, certificate=targets.certificate, key=targets.key
            )
        )
        os.set_inheritable(listener.fileno(), True)
        command = [require_command("nginx"), "-p", str(folder), "-c", str(path), "-e", "stderr"]
        nginx = Nginx(command, environment={"NGINX": f"{listener.fileno()};"}, pass_fds=(listener.fileno(),))
        targets.started.append(nginx)
        # Answered by the worker only: then there is one.
        with socket.create_connection((host, port)) as early:
            early.sendall(b"GET / HTTP/1.0\r\n\r\n")
            early.recv(1)
    (worker,) = map(int, Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text().split())
    return worker, port
