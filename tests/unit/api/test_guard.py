# SPDX-License-Identifier: Apache-2.0
"""Nothing is reachable without the token, by another Host, from another origin or with too much, on any route."""

from __future__ import annotations

import pytest
from asgi import ask
from fake_host import FakeHost
from starlette.routing import Route

from plaintap.api.feed import Feed
from plaintap.api.guard import BODY_MAX_BYTES, BURST, Guard
from plaintap.api.routes import Api

TOKEN = "a token of some length"
RIGHT = {"Host": "localhost:28256", "Authorization": f"Bearer {TOKEN}"}


def api() -> Api:
    return Api(FakeHost(), Feed(lambda _messages: b""))


def guarded(now_s: float = 0.0, *, host: str = "localhost") -> Guard:
    return Guard(api().app(), token=TOKEN, host=host, port=28256, now_s=lambda: now_s)


ROUTES = [
    (method, route.path.replace("{module}", "tls"))
    for route in api().app().routes
    if isinstance(route, Route)
    for method in route.methods or ()
    if route.path != "/events"  # never ends; refused before it begins all the same
]


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/events"), ("GET", "/nosuch"), ("DELETE", "/")])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Host": "localhost:28256"}, 401),
        ({**RIGHT, "Authorization": "Bearer wrong"}, 401),
        ({**RIGHT, "Authorization": TOKEN}, 401),
        ({**RIGHT, "Authorization": "Basic YTpi"}, 401),
        ({**RIGHT, "Host": "evil.test:28256"}, 403),
        ({**RIGHT, "Host": "localhost:80"}, 403),
        ({**RIGHT, "Host": "localhost"}, 403),
        ({**RIGHT, "Origin": "http://evil.test"}, 403),
        ({**RIGHT, "Origin": "null"}, 403),
        ({**RIGHT, "Origin": "https://localhost:28256"}, 403),
    ],
)
def test_no_route_is_reached(method: str, path: str, headers: dict[str, str], status: int) -> None:
    answer = ask(guarded(), method, path, headers=headers)
    assert answer.status == status
    assert answer.json["code"] == 1


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/events")])
def test_a_body_is_bounded_everywhere(method: str, path: str) -> None:
    assert ask(guarded(), method, path, headers=RIGHT, body=bytes(BODY_MAX_BYTES + 1)).status == 413
    assert ask(guarded(), method, path, headers=RIGHT, body=[bytes(1 << 19)] * 3).status == 413


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/events")])
def test_a_token_in_the_address_is_refused(method: str, path: str) -> None:
    answer = ask(guarded(), method, path, headers=RIGHT, query=f"token={TOKEN}")
    assert answer.status == 400
    assert "Authorization: Bearer" in answer.json["msg"]


@pytest.mark.parametrize("host", ["localhost:28256", "127.0.0.1:28256", "[::1]:28256", "LOCALHOST:28256"])
def test_the_right_one_is_served(host: str) -> None:
    assert ask(guarded(), "GET", "/", headers={**RIGHT, "Host": host}).status == 200
    assert ask(guarded(), "GET", "/", headers={**RIGHT, "Host": host, "Origin": f"http://{host}"}).status == 200


def test_everywhere_is_every_address_but_no_foreign_name() -> None:
    app = guarded(host="0.0.0.0")
    assert ask(app, "GET", "/", headers={**RIGHT, "Host": "192.0.2.7:28256"}).status == 200
    assert ask(app, "GET", "/", headers={**RIGHT, "Host": "evil.test:28256"}).status == 403


def test_two_hosts_are_none() -> None:
    async def twice(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        scope["headers"].append((b"host", b"evil.test:28256"))
        await guarded()(scope, receive, send)

    assert ask(twice, "GET", "/", headers=RIGHT).status == 403


def test_a_rate() -> None:
    app = guarded()
    seen = [ask(app, "GET", "/", headers=RIGHT).status for _ in range(BURST + 1)]
    assert seen == [200] * BURST + [429]


def test_strangers_use_up_nobodys_rate_but_their_own() -> None:
    app = guarded()
    strangers = [ask(app, "GET", "/", headers={"Host": "localhost:28256"}).status for _ in range(BURST + 1)]
    assert strangers == [401] * BURST + [429]
    assert ask(app, "GET", "/", headers=RIGHT).status == 200


@pytest.mark.parametrize(
    "query", ["access_token=x", "a=1&TOKEN=x", "auth", "api-key=x", "%74oken=x", "q=a+token+of+some+length"]
)
def test_a_token_in_the_address_by_any_name(query: str) -> None:
    assert ask(guarded(), "GET", "/", headers=RIGHT, query=query).status == 400


def test_the_usual_port_need_not_be_said() -> None:
    app = Guard(api().app(), token=TOKEN, host="localhost", port=80)
    assert ask(app, "GET", "/", headers={**RIGHT, "Host": "localhost"}).status == 200


def test_by_the_unix_socket_no_token_is_asked_for_but_bounds_hold() -> None:
    app = Guard(api().app())
    assert ask(app, "GET", "/").status == 200
    assert ask(app, "POST", "/tls", body=bytes(BODY_MAX_BYTES + 1)).status == 413


def test_chunks_are_one_body() -> None:
    host = FakeHost()
    app = Guard(Api(host, Feed(lambda _messages: b"")).app())
    assert ask(app, "POST", "/tls", body=[b'{"pid"', b": 12", b"3}"]).status == 200
    assert host.changes[0][1].pid == (123,)
