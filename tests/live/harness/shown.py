# SPDX-License-Identifier: Apache-2.0
"""JSON lines of a run, and what message peers say of themselves, in one shape to be compared. Starts nothing.

programs/said.py prints that shape.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable
from typing import Any

from harness.truth import Digest

Line = dict[str, Any]
_Key = tuple[int, tuple[str, int], tuple[str, int], int]


def lines_of(text: str) -> list[Line]:
    """The last may be half written while the tool runs."""
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def data_of(part: Line, name: str = "data") -> bytes:
    """The bytes of a body or a message."""
    text: str = part[name]
    return base64.b64decode(text) if part[f"{name}_encoding"] == "base64" else text.encode()


def digest_of(part: Line, name: str = "data") -> list[object]:
    digest = Digest.of(data_of(part, name))
    return [digest.count, digest.sha256]


def reported(output: bytes, kind: str) -> list[Line]:
    """What a peer printed: its `exchange`s or its `message`s."""
    found = [json.loads(line) for line in output.splitlines() if line.startswith(f'{{"{kind}"'.encode())]
    return [line[kind] for line in found]


def other_end(said: Line, pid: int, **instead: object) -> Line:
    """What the process at the other end must have had, if it is `pid`."""
    turned = {"pid": pid, "local": said["remote"], "remote": said["local"], "outgoing": not said["outgoing"]}
    return {**said, **turned, **instead}


class Shown:
    """The lines of a run."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.lines = list(lines)

    @classmethod
    def of(cls, text: str) -> Shown:
        return cls(lines_of(text))

    def of_processes(self, pids: Collection[int]) -> Shown:
        """Without what others said at the same time."""
        return Shown(line for line in self.lines if line["type"] == "summary" or line["process"]["pid"] in pids)

    def type(self, name: str, pid: int | None = None) -> list[Line]:
        return [line for line in self.lines if line["type"] == name and (pid is None or line["process"]["pid"] == pid)]

    @property
    def exchanges(self) -> list[Line]:
        """In the shape of said.py."""
        return [_exchange(line) for line in self.type("exchange")]

    def check_whole(self) -> None:
        """Asserts that every byte found its parser, that no message lacks anything, and that nothing is odd."""
        assert not self.type("raw"), self.type("raw")[:3]
        assert not self.type("lost")
        for line in self.lines:
            assert not line.get("notes"), line
            parts = [line[name] for name in ("request", "response") if line["type"] == "exchange"]
            for part in filter(None, parts):
                assert (part["complete"], part["missing_bytes"], part.get("body_note")) == (True, 0, None), part
        (summary,) = self.type("summary")
        assert (summary["losses"], summary["lost_bytes"]) == ({}, 0), summary

    def check_exchanges(self, said: Iterable[Line]) -> None:
        """Asserts that these and no others are shown, of each connection and stream what its process says."""
        expected, shown = list(said), self.exchanges
        assert expected, "the peers had no exchange"
        assert sorted(map(_key, shown)) == sorted(map(_key, expected))
        by_key: dict[_Key, list[Line]] = {}
        for line in shown:
            by_key.setdefault(_key(line), []).append(line)
        for exchange in expected:
            # HTTP/1 has no numbers; there the order counts.
            found = by_key[_key(exchange)].pop(0)
            differs = {name: (found[name], value) for name, value in exchange.items() if found[name] != value}
            assert not differs, f"{exchange['method']} {exchange['url']} shown, and said: {differs}"


def parties(line: Line) -> Line:
    """Who and over which socket, as said.py has it."""
    ends = {name: line["connection"][name] for name in ("local", "remote")}
    addresses = {name: end and [end["address"], end["port"]] for name, end in ends.items()}
    return {"pid": line["process"]["pid"], **addresses}


def message_of(line: Line, *names: str) -> Line:
    """Of a `websocket` or `grpc` line what said.tell_message has, and these fields."""
    more = {name: line.get(name) for name in names}
    return {**parties(line), "outgoing": line["direction"] == "out", "data": digest_of(line), **more}


def _exchange(line: Line) -> Line:
    request, response = line["request"] or {}, line["response"] or {}
    return {
        **parties(line),
        "outgoing": line["direction"] == "out",
        "stream": line.get("stream", 0),
        "method": request.get("method"),
        "url": request.get("url"),
        "request": _part(request),
        "interim": line.get("interim", []),
        "status": response.get("status"),
        "response": _part(response),
    }


def _part(part: Line) -> Line | None:
    if not part:
        return None
    return {"headers": part["headers"], "body": digest_of(part, "body"), "trailers": part.get("trailers", [])}


def _key(exchange: Line) -> _Key:
    return (exchange["pid"], tuple(exchange["local"]), tuple(exchange["remote"]), exchange["stream"])
