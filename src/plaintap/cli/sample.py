# SPDX-License-Identifier: Apache-2.0
"""`--sample`: one HTTPS exchange of our own on loopback, so that a first run has something to see.

The server is ours, with a certificate made for the occasion; the client is the host's curl, and
curl is what is captured. Where nothing can be captured, a recording of the same is shown.
"""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
from importlib import resources
from pathlib import Path

from plaintap.cli.invocation import RunningCapture, SessionApi
from plaintap.cli.reporter import Reporter
from plaintap.config import CaptureConfig, ReplayConfig
from plaintap.errors import KernelError, PlaintapError, PrivilegeError

HOST = "hello.plaintap.test"
BODY = b'{"hello": "this was TLS on the wire", "shown_by": "plaintap", "certificate_authority": null, "proxy": null}\n'
TIMEOUT_S = 10.0
RECORDING = "cli/sample.ptap"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def version_string(self) -> str:
        return "plaintap-sample"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Says nothing: standard error is the user's."""


class Sample:
    """The exchange beside a capture: a thread makes certificate and server, then lets curl ask."""

    def __init__(self, reporter: Reporter) -> None:
        self.failed = False
        self._reporter = reporter
        self._over = threading.Event()
        self._curl: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def begin(self, session: RunningCapture, *, then_stop: bool) -> None:
        """Makes the exchange; with `then_stop` ends the capture once it was shown."""

        def work() -> None:
            try:
                self._exchange()
            except (PlaintapError, OSError) as error:
                if not self._over.is_set():
                    self.failed = True
                    self._reporter.notice(f"the sample exchange failed: {error}")
            if then_stop:  # what curl said is in the ring by now, and the ring is emptied at the end
                session.stop()

        self._thread = threading.Thread(target=work, name="sample", daemon=True)
        self._thread.start()

    def _exchange(self) -> None:
        for program in ("openssl", "curl"):
            if not shutil.which(program):
                raise PlaintapError(f"it needs {program}, as in apt-get install {program}")
        with tempfile.TemporaryDirectory(prefix="plaintap-sample-") as directory:
            certificate, key = Path(directory, "certificate.pem"), Path(directory, "key.pem")
            make_certificate(certificate, key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
                server.timeout = TIMEOUT_S
                server.socket = context.wrap_socket(server.socket, server_side=True)
                answer = threading.Thread(target=server.handle_request, name="sample server", daemon=True)
                answer.start()
                self._ask(server.server_address[1], certificate)

    def _ask(self, port: int, certificate: Path) -> None:
        command = ["curl", "--silent", "--show-error", "--output", "/dev/null", "--max-time", str(TIMEOUT_S)]
        command += ["--noproxy", "*", "--cacert", str(certificate)]
        command += ["--resolve", f"{HOST}:{port}:127.0.0.1", f"https://{HOST}:{port}/sample?n=1"]
        self._curl = subprocess.Popen(  # noqa: S603 - every word is ours
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if self._over.is_set():
            self._curl.terminate()
        _, said = self._curl.communicate()
        if self._curl.returncode:
            raise PlaintapError(said.strip() or f"curl exited with {self._curl.returncode}")

    def close(self) -> None:
        """Takes port and certificate away, also in the middle of it."""
        self._over.set()
        if self._curl:
            self._curl.terminate()
        if self._thread:
            self._thread.join()


def make_certificate(certificate: Path, key: Path) -> None:
    """A throw-away one for `HOST`. Raises PlaintapError."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-days", "1"]
    command += ["-out", str(certificate), "-keyout", str(key)]
    made = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - every word is ours
    if made.returncode:
        said = made.stderr.strip().splitlines() or [f"exit code {made.returncode}"]
        raise PlaintapError(f"openssl cannot make a certificate: {said[-1]}")


def capture_sample(config: CaptureConfig, session: SessionApi, reporter: Reporter) -> int:
    """A capture that opens with the sample; the exit code.

    It ends by itself when nobody is there to press Ctrl-C, with 1 when there was no sample to
    show. Where the kernel or the privileges do not allow a capture, the way out is said and a
    recording shown instead.
    """
    alone = not sys.stdin.isatty()
    sample = Sample(reporter)
    try:
        code = session.capture(
            config,
            command=None,
            reporter=reporter,
            after_start=lambda running: sample.begin(running, then_stop=alone),
        )
    except (PrivilegeError, KernelError) as error:
        reporter.notice(error.message)
        if error.hint:
            reporter.notice(error.hint)
        reporter.notice("what follows is a recording of such a capture, not this host")
        return _replay_sample(config, session, reporter)
    finally:
        sample.close()
    return code or int(alone and sample.failed)


def _replay_sample(config: CaptureConfig, session: SessionApi, reporter: Reporter) -> int:
    with resources.as_file(resources.files("plaintap").joinpath(RECORDING)) as path:
        return session.replay(ReplayConfig(path=str(path), common=config.common), reporter=reporter)
