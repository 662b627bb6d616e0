# SPDX-License-Identifier: Apache-2.0
"""browser.py SITE CHROMIUM URL [HAR]: loads a page in Chromium, driven by the Playwright of the folder SITE.

With HAR every request is answered from it, and one that it has no answer for fails. Prints one JSON object: what the
page became by its script, and of each response status, type and digest.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from programs.said import digest

TIMEOUT_MS = 60_000
SEEN = """() => ({
  heading: document.querySelector("h1").textContent,
  script: document.querySelector("#script").textContent,
  fetched: document.querySelector("#fetched").textContent,
  posted: document.querySelector("#posted").textContent,
  color: getComputedStyle(document.querySelector("h1")).color,
  image: [document.querySelector("img").naturalWidth, document.querySelector("img").naturalHeight],
})"""


def load(playwright: Any, chromium: str, url: str, har: str | None) -> dict[str, object]:
    # No sandbox: it refuses to run as root.
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    context = browser.new_context(ignore_https_errors=True)
    if har:
        context.route_from_har(har, not_found="abort")
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    responses: list[Any] = []
    page.on("response", lambda response: responses.append(response))  # noqa: PLW0108 - it is to be marked
    page.goto(url)
    page.wait_for_selector("#done", state="attached")
    page.wait_for_load_state("networkidle")
    told = {
        f"{response.request.method} {response.url}": [
            response.status,
            response.headers.get("content-type"),
            digest(response.body()),
        ]
        for response in responses
    }
    seen = page.evaluate(SEEN)
    browser.close()
    return {"page": seen, "responses": told}


def main() -> None:
    site, chromium, url, *har = sys.argv[1:]
    sys.path.insert(0, site)
    with importlib.import_module("playwright.sync_api").sync_playwright() as playwright:
        print(json.dumps(load(playwright, chromium, url, har[0] if har else None)))


if __name__ == "__main__":
    main()
