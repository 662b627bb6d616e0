# SPDX-License-Identifier: Apache-2.0
"""Every route's answer: codes and statuses as eCapture's clients know them, fields by its names and ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgi import Answer, ask
from fake_host import FakeHost

from plaintap.api.feed import Feed
from plaintap.api.routes import Api
from plaintap.config import CommonConfig, GoTlsConfig, TlsConfig
from plaintap.errors import KernelError, UsageError


class Bench:
    def __init__(self, common: CommonConfig | None = None) -> None:
        self.host = FakeHost(common)
        self.app = Api(self.host, Feed(lambda _messages: b"")).app()

    def post(self, path: str, body: object = None) -> Answer:
        return ask(self.app, "POST", path, body=b"" if body is None else json.dumps(body).encode())

    def get(self, path: str) -> Answer:
        return ask(self.app, "GET", path)


@pytest.mark.parametrize("route", ["tls", "openssl", "boringssl"])
def test_ecaptures_configuration(route: str) -> None:
    bench = Bench()
    given = {
        "pid": 0,
        "uid": 0,
        "debug": False,
        "is_hex": True,
        "btf_mode": 0,
        "per_cpu_map_size": 2048,
        "truncate_size": 100,
        "logger_addr": "",
        "event_collector_addr": "",
        "ecapture_q": "",
        "listen": "localhost:28256",
        "cgroup_path": "",
        "opensslpath": "/opt/libssl.so.3",
        "capturemode": "keylog",
        "keylogfile": "/tmp/keys",
        "pcapfile": "",
        "ifname": "",
        "pcapfilter": "",
        "sslversion": "",
        "isboringssl": False,
    }
    answer = bench.post(f"/{route}", given)
    assert answer.status == 200, answer
    assert (answer.json["code"], answer.json["module_type"], answer.json["msg"]) == (0, route, "success")
    ((name, common, module),) = bench.host.changes
    assert name == "tls"
    assert (common.pid, common.uid, common.cgroup_path) == ((), None, None)
    assert (common.hex, common.mapsize, common.body_limit, common.keylogfile) == (True, 2048, 100, "/tmp/keys")
    assert common.wants_keylog
    assert not common.wants_text
    assert module == TlsConfig(libssl="/opt/libssl.so.3")


def test_our_names_begin_from_the_command_line_but_whom_to_capture() -> None:
    bench = Bench(CommonConfig(comm="nginx", pid=(7,), cgroup_path="/sys/fs/cgroup/a", mapsize=512, verbose=1))
    assert bench.post("/gotls", {"uid": 0, "pid": None, "mapsize": None, "elfpath": "/srv/app"}).status == 200
    ((_, common, module),) = bench.host.changes
    assert (common.uid, common.comm, common.pid, common.cgroup_path) == (0, None, (), None)
    assert (common.mapsize, common.verbose) == (512, 1)
    assert module == GoTlsConfig(elfpath="/srv/app")


@pytest.mark.parametrize(
    "given", [{"pid": 0, "uid": 0}, {"pid": 0, "uid": 0, "opensslpath": ""}, {"truncate_size": 0, "uid": 0}]
)
def test_zero_is_everybody_to_ecaptures_clients(given: dict[str, object]) -> None:
    bench = Bench(CommonConfig(pid=(7,), uid=7))
    assert bench.post("/tls", given).status == 200
    ((_, common, _),) = bench.host.changes
    assert (common.uid, common.pid) == (None, ())


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "words"),
    [
        ("/tls", {"pdi": 1}, 400, 5, "unknown field 'pdi'; did you mean pid?"),
        ("/tls", {"pid": "many"}, 400, 5, "pid: expected process ids"),
        ("/tls", {"pid": {"a": 1}}, 400, 5, "pid"),
        ("/tls", {"listen": "x", "elfpath": "/a"}, 400, 5, "unknown field 'elfpath'"),
        ("/tls", {"ecapture_q": "ws://192.0.2.1:1/"}, 400, 5, "ecapture_q"),
        ("/tls", {"token_file": "/etc/passwd"}, 400, 5, "token_file: is of the whole process"),
        ("/tls", {"record": "/tmp/x"}, 400, 5, "record: is of the whole process"),
        ("/tls", {"format": "text,har:/tmp/x"}, 400, 5, "format: har is one document"),
        ("/tls", {"comm": "a\0b"}, 400, 5, "comm: a NUL byte"),
        ("/tls", {"proto": ["a", "\0"]}, 400, 5, "proto: a NUL byte"),
        ("/tls", {"pid": True}, 400, 5, "pid: expected process ids"),
        ("/tls", {"hex": "yes"}, 400, 5, "hex: expected true or false"),
        ("/tls", {"keylogfile": "-", "model": "keylog"}, 400, 5, "keylogfile: standard output"),
        ("/tls", {"model": ["keylog", "pcap"], "keylogfile": "x", "pcapfile": "x"}, 400, 5, "are the same file, x"),
        ("/gotls", {"pcap_file": "-", "capture_mode": "pcap"}, 400, 5, "pcap_file: standard output"),
        ("/tls", [1], 400, 4, "no JSON object"),
        ("/gnutls2", {}, 400, 3, "did you mean gnutls?"),
        ("/close/tls", None, 400, 3, "tls is not running"),
    ],
)
def test_refused(path: str, body: Any, status: int, code: int, words: str) -> None:
    bench = Bench()
    answer = bench.post(path, body)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert words in answer.json["msg"]
    assert not bench.host.changes


@pytest.mark.parametrize("body", [b"{", b'{"pid":', b"\xff", b"[" * 100_000, b'{"a":1}{"b":2}'])
def test_no_json(body: bytes) -> None:
    bench = Bench()
    answer = ask(bench.app, "POST", "/tls", body=body)
    assert (answer.status, answer.json["code"]) == (400, 4)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(UsageError("cannot open cgroup", hint="give another"), 400, 5), (KernelError("no room"), 500, 2)],
)
def test_what_cannot_be_applied(error: Any, status: int, code: int) -> None:
    bench = Bench()
    bench.host.refuses = error
    answer = bench.post("/tls", {})
    assert (answer.status, answer.json["code"]) == (status, code)
    assert error.message in answer.json["msg"]


def test_what_can_be_looked_at() -> None:
    bench = Bench()
    assert bench.get("/config/tls").json["code"] == 3
    bench.post("/tls", {"pid": [1, 2]})
    assert bench.get("/config/openssl").json["data"]["pid"] == [1, 2]
    assert bench.get("/").json["modules"][0]["exchanges"] == 3
    text = bench.get("/metrics").body.decode()
    assert 'plaintap_exchanges_total{module="tls"} 3\n' in text
    assert 'plaintap_lost_total{module="tls",where="ring_full_bytes"} 5\n' in text
    assert "plaintap_events_dropped_total 0\n" in text
    assert bench.get("/").json["events"] == {"readers": 0, "dropped": 0, "failures": 0}
    paths = bench.get("/openapi.json").json["paths"]
    assert {"/", "/metrics", "/events", "/openssl", "/config/gotls", "/close/tls"} <= paths.keys()
    assert bench.post("/close/openssl").json["msg"] == "closed"


def test_an_answer_does_not_say_all_that_was_sent() -> None:
    assert len(Bench().post("/tls", {"model": "x" * 100_000}).body) < 2000


def test_nothing_there() -> None:
    bench = Bench()
    assert (bench.get("/nosuch/thing").status, bench.get("/nosuch/thing").json["code"]) == (404, 3)
    assert ask(bench.app, "PUT", "/").status == 405
