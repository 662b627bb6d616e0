# SPDX-License-Identifier: Apache-2.0
"""golang/web.go at both ends: net/http, told what to ask, and what it says of its exchanges."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.golang import Build
from harness.packets import Conversation, Packets
from harness.peers import Client
from harness.shown import Line, Shown, reported
from harness.streams import Direction, Stream, Streams
from harness.target import Target, Targets
from harness.truth import Address

Told = tuple[int, str, str, int, tuple[int, str], tuple[int, str]]


class Web:
    """A server and a client, up; their own key logs together."""

    def __init__(
        self,
        targets: Targets,
        folder: Path,
        build: Build,
        *flags: str,
        server_flags: tuple[str, ...] = (),
        program: Path | None = None,
    ) -> None:
        self.keylog = folder / "witness.keylog"
        self._files = ("--certificate", targets.certificate, "--key", targets.key, "--keylog", self.keylog)
        program = program or build.program("web", targets.folder)
        self.server = Target([*map(str, (program, "server", "127.0.0.1", 0, *self._files, *flags, *server_flags))])
        targets.started.append(self.server)
        (port,) = self.server.expect("ready")
        self.port = int(port)
        self.client = Client([*map(str, (program, "client", "127.0.0.1", port, *self._files, *flags))])
        targets.started.append(self.client)
        self.client.expect("ready")

    @property
    def pids(self) -> str:
        return f"{self.client.pid},{self.server.pid}"

    def ask(self, line: str) -> int:
        """One command; how many exchanges it was."""
        self.client.say(line)
        (count,) = self.client.expect("done")
        return int(count)

    def finish(self) -> list[Line]:
        """The exchanges of both ends."""
        told = []
        for target in (self.client, self.server):
            assert target.wait() == 0, target.errors.decode(errors="replace")[-2000:]
            told += reported(target.output, "exchange")
        return told


def told(exchanges: Iterable[Line]) -> list[Told]:
    """What the programs say, to be compared with what was shown."""
    return sorted(
        (each["pid"], each["method"], each["url"], each["status"], (*each["request"],), (*each["response"],))
        for each in exchanges
    )


def shown(lines: Shown) -> list[Told]:
    """What of the exchanges is whole."""
    return sorted(
        (
            each["pid"],
            each["method"],
            each["url"],
            each["status"],
            (*each["request"]["body"],),
            (*each["response"]["body"],),
        )
        for each in lines.exchanges
        if each["method"] and each["status"] and each["request"] and each["response"]
    )


LAST_WORDS_BYTES = 64


def check_decrypted(
    streams: Streams, packets: Packets, keylog: Path, *, late: bool = False, only_captured: bool = False
) -> list[Conversation]:
    """Asserts that every connection was captured at both ends as tshark decrypts it; `late`: from some byte on.

    `only_captured`: an end that is another program's has no stream, the last that was sent may never be read, and of a
    program that ends while it says goodbye the call does not return.
    """
    conversations = [each for each in packets.conversations(keylog) if each.sent]
    assert conversations, "tshark decrypted nothing"
    for each in conversations:
        client, server = (_of(streams, *ends) for ends in ((each.client, each.server), (each.server, each.client)))
        if client and server and not late:
            assert client.read.bytes == server.written.bytes, (client, server)
            assert server.read.bytes.startswith(client.written.bytes), (client, server)
            unseen = len(server.read.bytes) - len(client.written.bytes)
            assert not unseen or (only_captured and unseen < LAST_WORDS_BYTES), (client, server)
            continue  # of many segments at once tshark leaves some out, or shows two in the wrong order
        assert only_captured or (client and server), (each, streams.all)
        assert client or server, each
        for stream, read, written in ((client, each.received, each.sent), (server, each.sent, each.received)):
            if stream is None:
                continue
            if only_captured:
                read = read[: len(stream.read.bytes)]  # noqa: PLW2901 - what it was given
            _check_direction(stream, stream.read, read, late=late)
            _check_direction(stream, stream.written, written, late=late)
    return conversations


def _of(streams: Streams, local: Address, remote: Address) -> Stream | None:
    found = [stream for stream in streams.all if (stream.local, stream.remote) == (local, remote)]
    assert len(found) <= 1, found
    return found[0] if found else None


def _check_direction(stream: Stream, direction: Direction, expected: bytes, *, late: bool) -> None:
    assert direction.gaps == [], stream
    assert direction.bytes, stream
    if late:
        assert expected.endswith(direction.bytes), stream
    else:
        assert direction.bytes == expected, stream
