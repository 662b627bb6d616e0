# SPDX-License-Identifier: Apache-2.0
"""Sinks at peers that are right, wrong or not there for long, fed by a replay: nothing is torn, every loss is told."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.tap import Ended, Taps
from harness.target import Targets
from record_bytes import Speaker, ipv4_socket, recording
from test_sinks import decode
from websockets.sync.server import Server, ServerConnection, serve

from plaintap.events import READ, WRITE

WAIT_S = 60
MANY = 20_000
REQUEST = b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
BLANK = struct.pack("ii", 1, 0)
"""SO_LINGER: a close is a reset."""


def recorded(path: Path, exchanges: int) -> Path:
    """So many of one connection."""
    speaker = Speaker(socket=ipv4_socket(local_port=40000, remote_port=443))
    records = []
    for number in range(exchanges):
        records += [speaker.data(WRITE, REQUEST % number), speaker.data(READ, RESPONSE)]
    path.write_bytes(recording(*records, speaker.end()))
    return path


def targets_of(lines: list[str | bytes]) -> list[str]:
    """Of the exchanges among JSON lines, each whole."""
    told = [json.loads(line) for line in lines]
    return [line["request"]["target"] for line in told if line["type"] == "exchange"]


@contextlib.contextmanager
def websocket(tls: ssl.SSLContext | None = None) -> Iterator[tuple[Server, list[str | bytes], threading.Event]]:
    """A server, the messages of its connection, and that this has ended."""
    got: list[str | bytes] = []
    ended = threading.Event()

    def keep(connection: ServerConnection) -> None:
        got.extend(connection)
        ended.set()

    with serve(keep, "127.0.0.1", 0, ssl=tls) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server, got, ended
        finally:
            server.shutdown()
            thread.join(WAIT_S)


def port_of(server: Server) -> int:
    port: int = server.socket.getsockname()[1]
    return port


def as_text(taps: Taps, file: Path, form: str, *more: object) -> Ended:
    return taps.run("replay", file, "--format", form, "--color", "never", *more)


@pytest.mark.parametrize("trust", ["ca", "insecure", "none"])
def test_wss(targets: Targets, taps: Taps, tmp_path: Path, trust: str) -> None:
    """A certificate that nobody vouches for is refused; the system's own are not those of a test."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(targets.certificate, targets.key)
    flags = {"ca": ("--sink-ca", targets.certificate), "insecure": ("--sink-insecure",), "none": ()}[trust]
    file = recorded(tmp_path / "a.ptap", 10)
    with websocket(tls) as (server, got, ended):
        address = f"wss://localhost:{port_of(server)}/"
        run = as_text(taps, file, "json", "--eventaddr", address, "--flush-timeout", "1s", *flags)
        if trust != "none":
            assert ended.wait(WAIT_S)
    if trust == "none":
        assert "its certificate is not right" in run.err
        assert run.code == 1
        assert not got
    else:
        assert run.code == 0, run.err
        assert targets_of(got) == [f"/{number}" for number in range(10)]


def test_protobuf_over_a_websocket_is_binary(taps: Taps, tmp_path: Path) -> None:
    file = recorded(tmp_path / "a.ptap", 3)
    with websocket() as (server, got, ended):
        run = as_text(taps, file, "protobuf", "--eventaddr", f"ws://127.0.0.1:{port_of(server)}/")
        assert ended.wait(WAIT_S)
    assert run.code == 0, run.err
    assert all(isinstance(message, bytes) for message in got)
    texts = [decode(message) for message in got if isinstance(message, bytes)]
    assert sum("LOG_TYPE_EVENT" in text for text in texts) == 6
    assert any("GET /2 HTTP/1.1" in text for text in texts)


@pytest.mark.parametrize("form", ["text", "json", "hex", "ecapture"])
def test_any_form_at_tcp_is_that_of_standard_output(taps: Taps, tmp_path: Path, form: str) -> None:
    file = recorded(tmp_path / "a.ptap", 20)
    printed = as_text(taps, file, form).out
    received = b""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def read() -> None:
            nonlocal received
            connection, _ = listening.accept()
            with connection:
                while data := connection.recv(65536):
                    received += data

        thread = threading.Thread(target=read)
        thread.start()
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        run = as_text(taps, file, form, "--eventaddr", address, "--logaddr", tmp_path / "log")
        thread.join(WAIT_S)
    assert run.code == 0, run.err
    assert received.decode() == printed


def test_a_peer_killed_ten_times_gets_no_torn_line(taps: Taps, tmp_path: Path) -> None:
    """What a reset takes with it nobody can count, but it is what buffers between hold, and never half a line."""
    file = recorded(tmp_path / "a.ptap", MANY)
    parts: list[bytes] = []
    buffers: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

        def work() -> None:
            for life in range(11):
                connection, _ = listening.accept()
                part = b""
                with connection:
                    while (life == 10 or len(part) < 100_000) and (data := connection.recv(65536)):
                        part += data
                    if life < 10:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BLANK)
                        buffers.append(connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
                parts.append(part)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        run = as_text(taps, file, "json", "--eventaddr", address, "--flush-timeout", "30s")
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert len(parts) == 11
    whole = [line for part in parts for line in part[: part.rfind(b"\n") + 1].splitlines()]
    numbers = [json.loads(line)["seq"] for line in whole if b'"type":"exchange"' in line]
    assert numbers == sorted(numbers)
    line_bytes = max(map(len, whole))
    missing_bytes = (MANY - len(set(numbers))) * line_bytes
    # Loopback holds as much at the sender's side.
    assert missing_bytes <= 10 * (max(buffers) + (8 << 20)), run.err
    assert run.err.count("connecting again") == 10
    for part in parts[1:]:
        assert part.startswith(b"{"), part[:50]


@pytest.mark.parametrize("flags", [("--event-rotate-size", "500k"), ("--event-rotate-time", "10ms")])
def test_rotated_under_load_nothing_is_lost_or_cut(taps: Taps, tmp_path: Path, flags: tuple[str, str]) -> None:
    file = recorded(tmp_path / "a.ptap", MANY)
    folder = tmp_path / "events"
    folder.mkdir()
    run = as_text(taps, file, "json", "--eventaddr", folder / "e.jsonl", "--logaddr", tmp_path / "log", *flags)
    assert run.code == 0, run.err
    files = sorted(folder.iterdir(), key=lambda path: (path.name == "e.jsonl", path.name))
    assert len(files) > (20 if "size" in flags[0] else 3), files
    numbers = []
    for path in files:
        data = path.read_bytes()
        assert data.endswith(b"\n") or not data
        assert path.stat().st_mode & 0o777 == 0o600
        numbers += [json.loads(line)["seq"] for line in data.splitlines() if b'"type":"exchange"' in line]
    assert len(numbers) == MANY
    assert numbers == sorted(numbers)
