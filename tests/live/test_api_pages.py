# SPDX-License-Identifier: Apache-2.0
"""Web pages in a real browser: one of another origin reads and changes nothing, even where it has the token."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from harness.fetched import fetched, site
from harness.require import require_command
from harness.steering import Api
from harness.tap import Taps
from harness.target import Targets
from test_browser import PLAYWRIGHT

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]


class Page(http.server.BaseHTTPRequestHandler):
    """An empty one."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>foreign</title><link rel=icon href=data:,><body></body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Not here."""


@pytest.fixture
def page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_foreign_page_reads_and_changes_nothing(targets: Targets, taps: Taps, page: str) -> None:
    tap = taps.ready("--listen", "localhost:0", "--comm", "curl", "--format", "none")
    api = Api(tap)
    before = api.ask("GET", "/config/tls").said["data"]
    packages = fetched("playwright-1.65.2", site(*PLAYWRIGHT))
    words = (packages, require_command("chromium"), page, f"http://localhost:{api.port}", api.token)
    browser = targets.start(targets.command("foreign_page.py", *words))
    assert browser.wait() == 0, browser.errors.decode()
    told = json.loads(browser.output.splitlines()[-1])
    # A blind request is sent, its answer an opaque nothing to the page.
    blind = {name: how for name, how in told["foreign"].items() if "blindly" in name}
    assert len(blind) == 7
    assert set(blind.values()) <= {"opaque 0 false", "refused"}
    assert {name: how for name, how in told["foreign"].items() if name not in blind} == {
        name: "refused" for name in told["foreign"] if name not in blind
    }
    assert told["own"] == [200, 1, 200]
    assert tap.err.count("tls: closed") == 1
    after = api.ask("GET", "/config/tls").said["data"]
    assert (before["comm"], after["comm"]) == ("curl", "of-its-own")
    assert after == before | {"comm": "of-its-own"}
    tap.stop().check_clean()
