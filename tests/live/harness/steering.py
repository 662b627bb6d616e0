# SPDX-License-Identifier: Apache-2.0
"""The API of a running tap, as a client of its own asks it."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from contextlib import closing
from typing import Any, NamedTuple

from harness.tap import Tap

TIMEOUT_S = 60.0


class Answer(NamedTuple):
    """What came."""

    status: int
    said: Any


class Api:
    """By its TCP port, with the token it printed."""

    def __init__(self, tap: Tap) -> None:
        tap.wait_for_err("told only here: ")
        (port,) = re.findall(r"API at http://localhost:(\d+)", tap.err)
        (token,) = re.findall(r"told only here: (\S+)", tap.err)
        self.port = int(port)
        self.token = str(token)
        self.headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """The whole answer."""
        with closing(http.client.HTTPConnection("localhost", self.port, timeout=TIMEOUT_S)) as connection:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, body=text, headers=self.headers if headers is None else headers)
            response = connection.getresponse()
            data = response.read()
        return Answer(response.status, json.loads(data) if data[:1] in b"{[" else data.decode())

    def change(self, module: str, **options: object) -> None:
        """In force when this returns."""
        answer = self.ask("POST", f"/{module}", options)
        assert answer == (200, {"code": 0, "module_type": module, "msg": "success", "data": answer.said["data"]})
