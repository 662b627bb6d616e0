# SPDX-License-Identifier: Apache-2.0
"""foreign_page.py SITE CHROMIUM PAGE API TOKEN: in Chromium, tries from PAGE to read and change what API has.

The page knows the token. Prints one JSON object: how each try ended on the foreign page, and on a page of API's own.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

TIMEOUT_MS = 60_000
TRIES = """async ([api, token, paths]) => {
  const bearer = { Authorization: `Bearer ${token}` };
  const body = JSON.stringify({ comm: "taken-over" });
  const text = async (path, options) => {
    try {
      const answer = await fetch(api + path, options);
      return `${answer.type} ${answer.status} ${(await answer.text()).length > 0}`;
    } catch (error) {
      return "refused";
    }
  };
  const loaded = (element, url) => new Promise((done) => {
    element.onload = () => done("loaded");
    element.onerror = () => done("refused");
    element.src = url;
    document.body.append(element);
  });
  const posted = () => new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.name = "answer";
    document.body.append(frame);
    const form = document.createElement("form");
    Object.assign(form, { method: "POST", action: api + "/tls", enctype: "text/plain", target: "answer" });
    const field = document.createElement("input");
    Object.assign(field, { name: '{"comm": "taken-over", "a', value: '": 1}' });
    form.append(field);
    document.body.append(form);
    frame.onload = () => {
      try { done(frame.contentDocument ? frame.contentDocument.body.textContent : "refused"); }
      catch (error) { done("refused"); }
    };
    form.submit();
  });
  const told = {};
  for (const path of paths) {
    told[`read ${path}`] = await text(path, { headers: bearer });
    told[`read plainly ${path}`] = await text(path, {});
    told[`read blindly ${path}`] = await text(path, { mode: "no-cors" });
  }
  told.post = await text("/tls", { method: "POST", headers: bearer, body });
  told["post plainly"] = await text("/tls", { method: "POST", body });
  told["post blindly"] = await text("/tls", { method: "POST", mode: "no-cors", body });
  told["close blindly"] = await text("/close/tls", { method: "POST", mode: "no-cors" });
  told.script = await loaded(document.createElement("script"), api + "/openapi.json");
  told["form blindly"] = await posted();
  return told;
}"""
OWN = """async ([token, body]) => {
  const headers = { Authorization: `Bearer ${token}` };
  const read = await fetch("/", { headers });
  const post = await fetch("/tls", { method: "POST", headers, body });
  return [read.status, (await read.json()).modules.length, post.status];
}"""
PATHS = ["/", "/metrics", "/config/tls", "/openapi.json"]


def tell(playwright: Any, chromium: str, page_url: str, api: str, token: str) -> dict[str, object]:
    # No sandbox: it refuses to run as root.
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(page_url)
    foreign = page.evaluate(TRIES, [api, token, PATHS])
    page.goto(f"{api}/openapi.json")  # refused, but a page of its origin
    own = page.evaluate(OWN, [token, json.dumps({"comm": "of-its-own"})])
    browser.close()
    return {"foreign": foreign, "own": own}


def main() -> None:
    site, chromium, page_url, api, token = sys.argv[1:]
    sys.path.insert(0, site)
    with importlib.import_module("playwright.sync_api").sync_playwright() as playwright:
        print(json.dumps(tell(playwright, chromium, page_url, api, token)))


if __name__ == "__main__":
    main()
