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
    """A server that is ready to be asked, and the curl that asks it."""

    def __init__(self) -> None:
        """Makes the certificate and opens the port. Raises PlaintapError when openssl or curl are missing."""
        for program in ("openssl", "curl"):
            if not shutil.which(program):
                raise PlaintapError(f"--sample needs {program}", hint=f"install it: apt-get install {program}")
        self._directory = tempfile.TemporaryDirectory(prefix="plaintap-sample-")
        self._certificate = Path(self._directory.name, "certificate.pem")
        key = Path(self._directory.name, "key.pem")
        make_certificate(self._certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, key)
        self._server = http.server.HTTPServer(("127.0.0.1", 0), _Handler)
        self._server.timeout = TIMEOUT_S
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def begin(self, session: RunningCapture, *, then_stop: bool) -> None:
        """Makes the exchange beside the capture; with `then_stop` ends that once it was shown."""
        threading.Thread(target=self._server.handle_request, name="sample server", daemon=True).start()
        threading.Thread(target=self._ask, args=(session, then_stop), name="sample client", daemon=True).start()

    def _ask(self, session: RunningCapture, then_stop: bool) -> None:
        port = self._server.server_address[1]
        command = ["curl", "--silent", "--show-error", "--output", "/dev/null", "--max-time", str(TIMEOUT_S)]
        command += ["--noproxy", "*", "--cacert", str(self._certificate)]
        command += ["--resolve", f"{HOST}:{port}:127.0.0.1", f"https://{HOST}:{port}/sample?n=1"]
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - every word is ours
        if then_stop:  # what curl said is in the ring by now, and the ring is emptied at the end
            session.stop()

    def close(self) -> None:
        """Takes port and certificate away."""
        self._server.server_close()
        self._directory.cleanup()


def make_certificate(certificate: Path, key: Path) -> None:
    """A throw-away one for `HOST`. Raises PlaintapError."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-days", "1"]
    command += ["-out", str(certificate), "-keyout", str(key)]
    made = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - every word is ours
    if made.returncode:
        raise PlaintapError(f"openssl cannot make a certificate: {made.stderr.strip().splitlines()[-1:]}")


def capture_sample(config: CaptureConfig, session: SessionApi, reporter: Reporter) -> int:
    """A capture that opens with the sample; the exit code.

    It ends by itself when nobody is there to press Ctrl-C. Where the kernel or the privileges do
    not allow a capture, the way out is said and a recording shown instead.
    """
    sample = Sample()
    try:
        return session.capture(
            config,
            command=None,
            reporter=reporter,
            after_start=lambda running: sample.begin(running, then_stop=not sys.stdin.isatty()),
        )
    except (PrivilegeError, KernelError) as error:
        reporter.notice(error.message)
        if error.hint:
            reporter.notice(error.hint)
        reporter.notice("what follows is a recording of such a capture, not this host")
        return _replay_sample(config, session, reporter)
    finally:
        sample.close()


def _replay_sample(config: CaptureConfig, session: SessionApi, reporter: Reporter) -> int:
    with resources.as_file(resources.files("plaintap").joinpath(RECORDING)) as path:
        return session.replay(ReplayConfig(path=str(path), common=config.common), reporter=reporter)
