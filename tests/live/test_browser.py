# SPDX-License-Identifier: Apache-2.0
"""A HAR of ours in a real browser: the page that Chromium loaded loads again from it, with the server gone."""

from __future__ import annotations

import json
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from harness.fetched import fetched, site
from harness.nginx import start_nginx
from harness.require import require_command
from harness.tap import Taps
from harness.target import Targets

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]

PLAYWRIGHT = ("playwright==1.65.2", "greenlet==3.2.4", "pyee==13.0.0", "typing_extensions==4.15.0")
PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>café</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="style.css"></head>
<body><h1>plain text, 鍵</h1><img src="dot.png" alt="">
<p id="script"></p><p id="fetched"></p><p id="posted"></p>
<script src="script.js"></script></body></html>
"""
STYLE = "h1 { color: rgb(1, 2, 3); }\n" + "/* long enough to be packed */\n" * 100
SCRIPT = """document.querySelector("#script").textContent = "ran";
(async () => {
  const data = await (await fetch("data.json?of=today")).json();
  document.querySelector("#fetched").textContent = data.orders.join();
  const answer = await fetch("posted", { method: "POST", body: "a=1&b=2" });
  document.querySelector("#posted").textContent = `${answer.status} ${await answer.text()}`;
  const done = document.createElement("p");
  done.id = "done";
  document.body.append(done);
})();
"""
SEEN = {
    "heading": "plain text, 鍵",
    "script": "ran",
    "fetched": "1,2,3",
    "posted": "201 thank you",
    "color": "rgb(1, 2, 3)",
    "image": [3, 2],
}
NGINX = """
    types {{
        text/html html;
        text/css css;
        text/javascript js;
        image/png png;
        application/json json;
    }}
    gzip on;
    gzip_min_length 1;
    gzip_types text/css text/javascript application/json;
    server {{
        listen {host}:{port} ssl VERSION;
        location / {{ root {folder}/site; }}
        location /posted {{ proxy_pass http://unix:{folder}/inner; }}
    }}
    server {{
        listen unix:{folder}/inner;
        default_type text/plain;
        return 201 "thank you";
    }}
"""


def png(width: int, height: int) -> bytes:
    """All black."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")


def write_site(folder: Path) -> None:
    folder.mkdir()
    texts = {
        "index.html": PAGE,
        "style.css": STYLE,
        "script.js": SCRIPT,
        "data.json": json.dumps({"orders": [1, 2, 3]}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "dot.png").write_bytes(png(3, 2))


def browse(targets: Targets, url: str, *har: Path) -> dict[str, Any]:
    """What Chromium makes of the page, and what it was answered."""
    packages = fetched("playwright-1.65.2", site(*PLAYWRIGHT))
    browser = targets.start(targets.command("browser.py", packages, require_command("chromium"), url, *har))
    assert browser.wait() == 0, browser.errors.decode()
    found: dict[str, Any] = json.loads(browser.output.splitlines()[-1])
    return found


@pytest.mark.parametrize("version", ["http2", ""], ids=["HTTP/2", "HTTP/1.1"])
def test_a_page_loads_from_it(targets: Targets, taps: Taps, tmp_path: Path, version: str) -> None:
    write_site(tmp_path / "site")
    worker, port = start_nginx(targets, tmp_path, NGINX.replace("VERSION", version))
    har = tmp_path / "page.har"
    tap = taps.ready("--pid", worker, "--format", f"har:{har}")
    url = f"https://127.0.0.1:{port}/index.html"
    loaded = browse(targets, url)
    tap.stop_clean()
    for target in targets.started:
        target.kill()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass
    assert loaded["page"] == SEEN
    assert len(loaded["responses"]) == 6
    entries = json.loads(har.read_bytes())["log"]["entries"]
    assert {entry["request"]["httpVersion"] for entry in entries} == {"HTTP/2.0" if version else "HTTP/1.1"}
    assert sorted(f"{entry['request']['method']} {entry['request']['url']}" for entry in entries) == sorted(
        loaded["responses"]
    )
    assert browse(targets, url, har) == loaded
