# SPDX-License-Identifier: Apache-2.0
"""Every frame that the tests of a `websockets` sdist put through its parser, put through ours: whole and in bytes.

The tests are fetched, not copied. Releases after this one leave them out of their sdists, and all leave out those of
permessage-deflate, for which tests/unit/protocols/test_websocket.py has the package itself as a witness.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness.fetched import FETCH_TIMEOUT_S, fetched

from plaintap.events import READ
from plaintap.messages import Connection, Message, Raw, Request, Response, WebSocketMessage
from plaintap.parsing import Parser
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.websocket import WebSocket

RELEASE = "websockets==16.0"
COLLECTOR = Path(__file__).parent / "programs" / "websockets_cases.py"
CASES_AT_LEAST = 100
KINDS = {0: "unknown", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


def _sdist(requirement: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:")
        subprocess.run(
            [*pip, "--dest", scratch, requirement], check=True, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S
        )
        with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    folder = fetched(f"sdist-{RELEASE.replace('==', '-')}", partial(_sdist, RELEASE))
    command = [sys.executable, str(COLLECTOR), str(next(folder.glob("websockets-*")))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["failed"] == []
    # Anything but these is what a test made the parser raise.
    outcomes = (None, "EOFError", "PayloadTooBig", "ProtocolError")
    return [case for case in found["cases"] if case.get("error") in outcomes]


class Outlet:
    """Keeps what the parser says."""

    def __init__(self) -> None:
        self.connection = Connection(1, 2, 3, 0, "x")
        self.messages: list[Message] = []
        self.emit: Callable[[Message], None] = self.messages.append
        self.receive: Callable[[int, int, bytes], None] = self._receive
        self.unclaimed_bytes = b""

    def _receive(self, direction: int, ts_ns: int, data: bytes) -> None:
        raise AssertionError

    def unclaimed(self, direction: int, ts_ns: int, data: bytes, /, protocol: str = "") -> None:
        self.unclaimed_bytes += data

    def become(self, parser: Parser | None, /) -> None:
        assert parser is None


def _play(case: dict[str, Any], records: list[bytes]) -> Outlet:
    outlet = Outlet()
    extensions = ", ".join(case["extensions"]).encode()
    headers = [(b"Sec-WebSocket-Extensions", extensions)] if extensions else []
    parser = WebSocket(
        outlet.connection,
        outlet.emit,
        outgoing=not case["mask"],
        request=Request(),
        response=Response(status=101, headers=headers),
        options=ParserOptions(body_limit=1 << 20),
        outlet=outlet,
    )
    for record in records:
        parser.receive(READ, 1, record)
    parser.close(2)
    return outlet


def _check(case: dict[str, Any], outlet: Outlet) -> None:
    messages = [message for message in outlet.messages if isinstance(message, WebSocketMessage)]
    assert not [message for message in outlet.messages if isinstance(message, Raw)]
    if "error" in case:
        # Shown as it came, or as a message of which is said what is wrong with it; too large is only the test's limit.
        assert outlet.unclaimed_bytes or messages
        assert all(message.note or not message.complete for message in messages) or case["error"] == "PayloadTooBig"
        return
    (message,) = messages
    data = bytes.fromhex(case["data"])
    assert outlet.unclaimed_bytes == b""
    assert (message.kind, message.size_bytes, message.complete) == (KINDS[case["opcode"]], len(data), case["fin"])
    if message.kind == "close" and len(data) >= 2:
        assert (message.close_code, message.data) == (int.from_bytes(data[:2], "big"), data[2:])
    elif not case["extensions"]:  # what one that nobody knows makes of data stays as it is
        assert message.data == data


def test_there_are_cases(cases: list[dict[str, Any]]) -> None:
    assert len(cases) >= CASES_AT_LEAST
    assert {case["opcode"] for case in cases if "opcode" in case} == set(KINDS)
    assert [case for case in cases if "error" in case]


@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_frames_are_the_same(cases: list[dict[str, Any]], cut: str) -> None:
    for case in cases:
        data = bytes.fromhex(case["bytes"])
        records = [data] if cut == "whole" else [data[at : at + 1] for at in range(len(data))]
        _check(case, _play(case, records))
