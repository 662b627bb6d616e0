# SPDX-License-Identifier: Apache-2.0
"""What --format, --eventaddr and --logaddr come to together."""

from __future__ import annotations

import pytest

from plaintap.config import CommonConfig
from plaintap.errors import UsageError
from plaintap.session.routes import routes_of

TCP, WEB = "tcp://h:1", "ws://h:2/"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [("text", None, True, False)]),
        ({"eventaddr": (TCP,)}, [("text", TCP, True, True)]),
        ({"logaddr": (TCP,), "format": "json"}, [("json", TCP, True, True)]),
        ({"eventaddr": (TCP,), "logaddr": (WEB,)}, [("text", TCP, True, False), ("text", WEB, False, True)]),
        ({"eventaddr": (TCP, WEB), "format": "har:f,json"}, [
            ("har", "f", True, False), ("json", TCP, True, True), ("json", WEB, True, True),
        ]),
        ({"eventaddr": ("-",), "logaddr": (WEB,)}, [("text", None, True, False), ("text", WEB, False, True)]),
        ({"logaddr": (TCP,), "format": "none"}, [("text", TCP, False, True)]),
    ],
)  # fmt: skip
def test_routes(options: dict[str, object], expected: list[tuple[object, ...]]) -> None:
    routes = routes_of(CommonConfig(**options))  # type: ignore[arg-type]
    assert [(*route.choice, route.events, route.logs) for route in routes] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eventaddr": ("udp://h:1",)}, "--eventaddr: expected tcp://, ws:// or wss://, got 'udp://h:1'"),
        ({"logaddr": ("tcp://h",)}, "--logaddr: expected tcp://HOST:PORT, got 'tcp://h'"),
        ({"eventaddr": ("tcp://h:1/x",)}, "--eventaddr: tcp:// has no path, got 'tcp://h:1/x'"),
        ({"eventaddr": (TCP,), "format": "json:f"}, "--eventaddr: json:f leaves no form to send there"),
        ({"eventaddr": ("f",), "format": "json,har:f"}, "two outputs would both write f"),
    ],
)
def test_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        routes_of(CommonConfig(**options))  # type: ignore[arg-type]
    assert caught.value.message == message
