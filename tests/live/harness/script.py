# SPDX-License-Identifier: Apache-2.0
"""A conversation written down: what two peers say over TLS to the byte, and which HTTP/1 exchanges that is.

programs/script_peer.py plays both ends. Looks at no capture.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path

from harness.shown import Line, other_end
from harness.target import Target, Targets
from harness.truth import Digest, Truth

HOST = "example.test"
CRLF = "\r\n"
Fields = list[tuple[str, str]]


def head(first: str, fields: Fields) -> bytes:
    return CRLF.join([first, *(f"{name}: {value}" for name, value in fields), "", ""]).encode("latin-1")


def chunked(*chunks: bytes, trailers: Fields = [], extension: str = "") -> bytes:  # noqa: B006 - never changed
    """The last chunk behind them, and trailers."""
    pieces = [f"{len(chunk):x}{extension}{CRLF}".encode() + chunk + CRLF.encode() for chunk in chunks]
    return b"".join(pieces) + b"0\r\n" + CRLF.join([*(f"{name}: {value}" for name, value in trailers), "", ""]).encode()


@dataclass(slots=True)
class Part:
    """A request or a response: what is sent, and what it means."""

    first: str
    fields: Fields
    content: bytes = b""
    """As it is meant, without any coding; of `times` times that."""
    wire: bytes | None = None
    """The body as it is sent, where that is not the content."""
    trailers: Fields = field(default_factory=list)
    times: int = 1

    @property
    def body(self) -> bytes:
        return self.content if self.wire is None else self.wire

    def meant(self) -> Line:
        digest = Digest.of(self.content * self.times)
        fields = {"headers": self.fields, "trailers": self.trailers}
        return {**{name: [list(each) for each in value] for name, value in fields.items()}, "body": [*vars_of(digest)]}


def vars_of(digest: Digest) -> tuple[int, str]:
    return digest.count, digest.sha256


def request(method: str, target: str, fields: Fields | None = None, **more: object) -> Part:
    return Part(f"{method} {target} HTTP/1.1", [("Host", HOST), *(fields or [])], **more)  # type: ignore[arg-type]


def response(status: int, fields: Fields | None = None, **more: object) -> Part:
    return Part(f"HTTP/1.1 {status} Because", list(fields or []), **more)  # type: ignore[arg-type]


class Script:
    """Steps and the exchanges they are."""

    def __init__(self) -> None:
        self.steps: list[list[str | int]] = []
        self.exchanges: list[Line] = []

    def say(self, who: str, data: bytes, times: int = 1) -> None:
        if data and times:
            self.steps.append([who, "say", base64.b64encode(data).decode(), times])

    def pause(self, who: str, name: str) -> None:
        """There `who` waits until it is told to go on."""
        self.steps.append([who, "pause", name])

    def send(self, who: str, part: Part, *, is_head: bool = False) -> None:
        self.say(who, head(part.first, part.fields))
        if not is_head:
            self.say(who, part.body, part.times)

    def meant(self, asked: Part, answered: Part, interim: tuple[int, ...] = ()) -> None:
        """An exchange there is, in the order in which they end."""
        method, target, _ = asked.first.split()
        exchange = {
            "stream": 0,
            "method": method,
            "url": f"https://{HOST}{target}",
            "request": asked.meant(),
            "interim": list(interim),
            "status": int(answered.first.split()[1]),
            "response": answered.meant(),
        }
        self.exchanges.append(exchange)

    def exchange(self, asked: Part, answered: Part) -> None:
        """One request and then its response."""
        self.send("client", asked)
        self.send("server", answered, is_head=asked.first.startswith("HEAD "))
        self.meant(asked, answered)


@dataclass(slots=True)
class Played:
    """Both ends of a conversation."""

    script: Script
    server: Target
    client: Target
    comm: str
    """Of both."""
    said: Truth | None = None

    @property
    def pids(self) -> str:
        return f"{self.client.pid},{self.server.pid}"

    def at(self, who: str, name: str) -> Target:
        """It has come to this pause."""
        target = self.server if who == "server" else self.client
        assert target.expect("at") == [name]
        return target

    def finish(self) -> Truth:
        """Both must have said and heard every byte; of the client."""
        (said,) = self.client.finish()
        (served,) = self.server.finish()
        assert served == said.other_end(self.server.pid)
        self.said = said
        return said

    @property
    def exchanges(self) -> list[Line]:
        """Of both ends, those of the client first."""
        assert self.said is not None
        assert self.said.local is not None
        assert self.said.remote is not None
        who = {"pid": self.client.pid, "local": [*self.said.local], "remote": [*self.said.remote], "outgoing": True}
        asked = [{**who, **exchange} for exchange in self.script.exchanges]
        return [*asked, *(other_end(exchange, self.server.pid) for exchange in asked)]


def play(targets: Targets, folder: Path, script: Script) -> Played:
    """Both ends, ready; the client connects when it is told to."""
    path = folder / "script.json"
    path.write_text(json.dumps(script.steps))
    files = (targets.certificate, targets.key, path)
    server = targets.start(targets.command("script_peer.py", "server", "127.0.0.1", 0, *files))
    (port,) = server.expect("ready")
    client = targets.ready("script_peer.py", "client", "127.0.0.1", port, *files)
    return Played(script, server, client, client.comm)
