# SPDX-License-Identifier: Apache-2.0
"""curl's exchange at each sink, decoded by other programs: jq, protoc, a WebSocket server, an eCaptureQ client."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from harness.require import require_command
from harness.tap import Taps
from harness.target import Targets
from test_curl import curl_command, local_port
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

PROTO = Path(__file__).resolve().parents[2] / "proto"
WAIT_S = 30


class Keeper:
    """A TCP peer, such as `nc -l`."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self.data = b""
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        with self._listening:
            connection, _ = self._listening.accept()
        with connection:
            while data := connection.recv(65536):
                self.data += data

    def join(self) -> bytes:
        self._thread.join(WAIT_S)
        return self.data


def entries(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            length |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        found.append(data[at : at + length])
        at += length
    return found


def decode(entry: bytes) -> str:
    command = [require_command("protoc"), f"-I{PROTO}", "--decode=event.LogEntry", "event.proto"]
    return subprocess.run(command, input=entry, capture_output=True, check=True).stdout.decode()


def check_events(texts: list[str], *, pid: int, port: int, server_port: int) -> None:
    events = [text for text in texts if "LOG_TYPE_EVENT" in text]
    assert len(events) == 2
    request, response = events
    for text in events:
        for words in (
            f"pid: {pid}\n",
            'pname: "curl"',
            "timestamp: 1",
            'src_ip: "127.0.0.1"',
            f'uuid: "{pid}_{pid}_curl_',
        ):
            assert words in text
    assert f"src_port: {port}\n" in request
    assert f"dst_port: {server_port}\n" in request
    assert f"src_port: {server_port}\n" in response
    assert "type: 1\n" in request
    assert "type: 3\n" in response
    assert "seq" in request or "100: 1" in request
    assert "GET /small/12 HTTP/1.1\\r\\n" in request
    assert "HTTP/1.1 200 " in response


def test_json_at_file_tcp_and_websocket(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    got: list[str | bytes] = []

    def keep(connection: ServerConnection) -> None:
        got.extend(connection)

    tcp, file = Keeper(), tmp_path / "events.jsonl"
    with serve(keep, "127.0.0.1", 0) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        address = f"ws://127.0.0.1:{web.socket.getsockname()[1]}/"
        server = targets.server("http")
        tap = taps.ready("--comm", "curl", "--format", "json", "--eventaddr", f"{file},{tcp.address},{address}")
        curl = targets.start(curl_command(targets, server, "/small/12"))
        port = local_port(curl)
        server.finish()
        assert tap.stop_clean().out == ""
        web.shutdown()
        thread.join(WAIT_S)
    jq = [
        require_command("jq"),
        "-c",
        'select(.type == "exchange") | [.request.target, .connection.local.port, .seq > 0]',
    ]
    by_socket = tcp.join()
    by_web = "".join(f"{text!s}\n" for text in got).encode()
    for data in (file.read_bytes(), by_socket, by_web):
        shown = subprocess.run(jq, input=data, capture_output=True, check=True).stdout
        assert json.loads(shown) == ["/small/12", port, True]
        assert b'"type":"log"' in data
        assert b'"type":"summary"' in data


def test_protobuf_at_file_and_tcp(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    tcp, file = Keeper(), tmp_path / "events.bin"
    server = targets.server("http")
    tap = taps.ready("--comm", "curl", "--format", "protobuf", "--eventaddr", f"{file},{tcp.address}")
    curl = targets.start(curl_command(targets, server, "/small/12"))
    port = local_port(curl)
    server.finish()
    tap.stop_clean()
    for data in (file.read_bytes(), tcp.join()):
        texts = [decode(entry) for entry in entries(data)]
        check_events(texts, pid=curl.pid, port=port, server_port=server.port)
        assert any("LOG_TYPE_PROCESS_LOG" in text for text in texts)


@pytest.mark.parametrize(
    ("query", "listen"), [("", ()), ("?format=json", ()), ("", ("--listen", "localhost:0"))], ids=["", "json", "listen"]
)
def test_an_ecaptureq_client(targets: Targets, taps: Taps, query: str, listen: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listening = free.getsockname()[1]
    server = targets.server("http")
    tap = taps.ready("--comm", "curl", "--format", "none", "--ecaptureq", f"ws://127.0.0.1:{listening}/", *listen)
    got: list[str | bytes] = []
    with connect(f"ws://127.0.0.1:{listening}/{query}") as client:
        got.append(client.recv(WAIT_S))
        curl = targets.start(curl_command(targets, server, "/small/12"))
        port = local_port(curl)
        server.finish()
        tap.stop().check_clean()
        got.extend(client)
    if query:
        lines = [json.loads(message) for message in got]
        assert lines[0]["type"] == "heartbeat"
        (exchange,) = [line for line in lines if line["type"] == "exchange"]
        assert exchange["connection"]["local"]["port"] == port
        return
    texts = [decode(message) for message in got if isinstance(message, bytes)]
    assert 'message: "heartbeat:1"' in texts[0]
    assert "LOG_TYPE_PROCESS_LOG" in texts[1]
    check_events(texts, pid=curl.pid, port=port, server_port=server.port)
