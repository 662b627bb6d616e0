# SPDX-License-Identifier: Apache-2.0
"""The API of a running tap, as a client of its own asks it."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from harness.tap import Tap

TIMEOUT_S = 60.0


class Answer(NamedTuple):
    """What came."""

    status: int
    said: Any


class Api:
    """By its TCP port, with the token it printed; over TLS with the certificate to trust."""

    def __init__(self, tap: Tap, *, certificate: Path | None = None) -> None:
        tap.wait_for_err("told only here: ")
        (port,) = re.findall(r"API at https?://localhost:(\d+)", tap.err)
        self._context = ssl.create_default_context(cafile=certificate) if certificate else None
        (token,) = re.findall(r"told only here: (\S+)", tap.err)
        self.port = int(port)
        self.token = str(token)
        self.headers = {"Authorization": f"Bearer {token}"}

    def _connection(self) -> http.client.HTTPConnection:
        if self._context:
            return http.client.HTTPSConnection("localhost", self.port, timeout=TIMEOUT_S, context=self._context)
        return http.client.HTTPConnection("localhost", self.port, timeout=TIMEOUT_S)

    def ask(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """The whole answer."""
        with closing(self._connection()) as connection:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, body=text, headers=self.headers if headers is None else headers)
            response = connection.getresponse()
            data = response.read()
        return Answer(response.status, json.loads(data) if data[:1] in b"{[" else data.decode())

    def change(self, module: str, **options: object) -> None:
        """In force when this returns."""
        answer = self.ask("POST", f"/{module}", options)
        assert answer == (200, {"code": 0, "module_type": module, "msg": "success", "data": answer.said["data"]})
