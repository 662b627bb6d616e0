# SPDX-License-Identifier: Apache-2.0
"""The test inputs of an `httptools` sdist, put through our HTTP/1: those of its own tests and those of http-parser's.

They are fetched, not copied. What httptools' tests expect is what httptools itself says of each input; http-parser's
are a table in C, which says what each is to be read as.
"""

from __future__ import annotations

import importlib.util
import re
import unittest
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import pytest
from harness.fetched import fetched, sdist

from plaintap.events import READ, WRITE
from plaintap.messages import Exchange, Message, Raw, Request, Response
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.registry import Registry
from plaintap.streams.connections import Connections

RELEASE = "httptools==0.9.0"
REQUESTS_AT_LEAST = 40
RESPONSES_AT_LEAST = 20
RUNS_AT_LEAST = 20

Head = Request | Response


@pytest.fixture(scope="module")
def source() -> Path:
    folder = fetched(f"sdist-{RELEASE.replace('==', '-')}", sdist(RELEASE))
    return next(folder.glob("httptools-*"))


def play(direction: int, pieces: list[bytes]) -> list[Message]:
    """A connection on which one side speaks, until it is closed."""
    messages: list[Message] = []
    connections = Connections(messages.extend, Registry(ParserOptions(body_limit=1 << 20)).recognise)
    offset = 0
    for ts_ns, data in enumerate(pieces, start=1):
        connections.feed([(1, direction, offset, ts_ns, data, 1)])
        offset += len(data)
    connections.close(len(pieces) + 1)
    assert connections.parser_failures == 0
    return messages


def heads(messages: list[Message]) -> list[Head]:
    found: list[Head | None] = []
    for message in messages:
        if isinstance(message, Exchange):
            found += [message.request, message.response]
    return [head for head in found if head is not None]


def fields_of(head: Head) -> list[tuple[bytes, bytes]]:
    """Trailers too, and blanks as one: parsers join folded lines in different ways."""
    return [(name, b" ".join(value.split())) for name, value in [*head.headers, *head.trailers]]


# http-parser's table.


@dataclass
class Case:
    name: str
    raw: bytes
    values: dict[str, str]
    headers: list[tuple[bytes, bytes]]
    body: bytes
    upgrade: bool


_STRINGS = r'(?:"(?:[^"\\\n]|\\.)*"\s*(?:/\*[^"]*?\*/\s*)?)+'
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


def _c_string(text: str) -> bytes:
    joined = "".join(_STRING.findall(text))
    return joined.encode().decode("unicode_escape").encode("latin-1")


def _table(text: str, name: str) -> list[Case]:
    start = text.index(f"const struct message {name}[]")
    cases = []
    for entry in re.split(r"\{\s*(?=\.name\s*=)", text[start : text.index("\n};", start)])[1:]:
        strings = {key: _c_string(value) for key, value in re.findall(rf"\.(\w+)\s*=\s*({_STRINGS})", entry)}
        words = dict(re.findall(r"\.(\w+)\s*=\s*(\w+)\s*$", entry, re.MULTILINE))
        words |= {key: value.decode("utf-8", "backslashreplace") for key, value in strings.items() if key != "raw"}
        fields = re.findall(rf"\{{\s*({_STRINGS}),\s*({_STRINGS})\}}", entry)
        cases.append(
            Case(
                name=words["name"],
                raw=strings["raw"],
                values=words,
                headers=[(_c_string(key), b" ".join(_c_string(value).split())) for key, value in fields],
                body=strings.get("body", b""),
                upgrade=bool(re.search(r"\.upgrade\s*=\s*\"", entry)),
            )
        )
    return cases


def _cut(raw: bytes, size: int) -> list[bytes]:
    return [raw[at : at + size] for at in range(0, len(raw), size)]


# By name: what http-parser reads and we read in another way, and why.
OTHERWISE = {
    "http version 0.9": "nobody speaks it in TLS",
    "HTTP 101 response with Upgrade and Content-Length header": "RFC 9110, 15.2: a 1xx has no body",
    "HTTP 101 response with Upgrade and Transfer-Encoding header": "the same",
}

# The same, where the records are cut: httptools refuses a chunk whose record does not hold the message's beginning.
OTHERWISE_IN_BYTES = {"with nonsense after the length": "blanks in a chunk extension"}


def _reads_as(case: Case, head: Head) -> dict[str, tuple[object, object]]:
    """What differs: expected against got."""
    pairs: dict[str, tuple[object, object]] = {
        "headers": (case.headers, fields_of(head)),
        "body": (case.body, b"".join(head.body)),
    }
    if "body_size" in case.values:
        pairs["body"] = (int(case.values["body_size"]), head.body_bytes)
    if isinstance(head, Request):
        method = case.values["method"].removeprefix("HTTP_").replace("MSEARCH", "M-SEARCH")
        pairs["method"] = (method, head.method)
        pairs["target"] = (case.values["request_url"], head.target)
    else:
        pairs["status"] = (int(case.values["status_code"]), head.status)
        pairs["reason"] = (case.values.get("response_status", ""), head.reason)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@pytest.mark.parametrize("size", [1 << 20, 1, 7])
@pytest.mark.parametrize(
    ("table", "direction", "at_least"),
    [("requests", WRITE, REQUESTS_AT_LEAST), ("responses", READ, RESPONSES_AT_LEAST)],
)
def test_http_parser_table(source: Path, table: str, direction: int, at_least: int, size: int) -> None:
    cases = _table((source / "vendor" / "http-parser" / "test.c").read_text(), table)
    assert len(cases) >= at_least
    wrong = {}
    for case in cases:
        found = heads(play(direction, _cut(case.raw, size)))
        differs: object = _reads_as(case, found[0]) if found else "no message"
        if differs and case.name not in OTHERWISE and not (size == 1 and case.name in OTHERWISE_IN_BYTES):
            wrong[case.name] = differs
    assert wrong == {}, "\n".join(f"{name}: {why}" for name, why in wrong.items())


# httptools' own tests.


@dataclass
class Log:
    """What httptools says of one parser's input."""

    asks: bool
    pieces: list[bytes] = field(default_factory=list)
    first: list[bytes] = field(default_factory=list)
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    messages: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = field(default_factory=list)
    failed: bool = False

    def on_url(self, url: bytes) -> None:
        self.first.append(url)

    def on_status(self, reason: bytes) -> None:
        self.first.append(reason)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, b" ".join(value.split())))

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.messages.append((b"".join(self.first), self.fields, b"".join(self.body)))
        self.first, self.fields, self.body = [], [], []


def _recorder(kind: Any, logs: list[Log]) -> type:
    class Recorder:
        """The parser that the test asked for, and another one beside it that writes down what it says."""

        def __init__(self, protocol: object) -> None:
            self.log = Log(asks=kind is httptools.HttpRequestParser)
            logs.append(self.log)
            self.witness = kind(self.log)
            self.real = kind(protocol)

        def feed_data(self, data: Any) -> None:
            self.log.pieces.append(bytes(data))
            try:
                self.witness.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                self.log.failed = True
                assert error.args  # noqa: PT017 - the real one raises it to the test
            self.real.feed_data(data)

        def set_dangerous_leniencies(self, **leniencies: bool) -> None:
            self.witness.set_dangerous_leniencies(**leniencies)
            self.real.set_dangerous_leniencies(**leniencies)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    return Recorder


def test_httptools_own_tests(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs: list[Log] = []
    requests, responses = httptools.HttpRequestParser, httptools.HttpResponseParser
    spec = importlib.util.spec_from_file_location("httptools_tests", source / "tests" / "test_parser.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    recorders = _recorder(requests, logs), _recorder(responses, logs)
    with monkeypatch.context() as patch:
        patch.setattr(httptools, "HttpRequestParser", recorders[0])
        patch.setattr(httptools, "HttpResponseParser", recorders[1])
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
    assert result.testsRun >= RUNS_AT_LEAST
    read = 0
    for log in logs:
        pieces = [piece for piece in log.pieces if piece]
        messages = play(WRITE if log.asks else READ, pieces)
        if log.failed or not log.messages:
            continue
        found = [
            ((head.target if isinstance(head, Request) else head.reason).encode(), fields_of(head), b"".join(head.body))
            for head in heads(messages)
            if head.complete
        ]
        assert found == log.messages, pieces
        assert not any(isinstance(message, Raw) for message in messages)
        read += 1
    assert read >= RUNS_AT_LEAST // 2
