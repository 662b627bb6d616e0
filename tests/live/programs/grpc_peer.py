# SPDX-License-Identifier: Apache-2.0
"""grpc_peer.py server|client HOST PORT CERTIFICATE [KEY]: gRPC by hand over HTTP/2, with protobuf messages by hand.

Prints "ready" and, a server, its port. A client makes the calls that the lines on its standard input name, and answers
each with "done": `unary`, `server_stream`, `client_stream`, `bidirectional`, `compressed`, `error`, `refused`
(trailers only). At the end of its input each prints one JSON object per exchange and one per message.
"""

from __future__ import annotations

import gzip
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from programs.h2_connection import Connection, Stream, accept, connect
from programs.said import Fields, Head, tell_message

SERVICE = "shop.v1.Orders"
MESSAGES = 5
TYPE = ("content-type", "application/grpc+proto")
CODED: Fields = [("grpc-encoding", "gzip")]
ASKED = {
    "unary": ("Unary", 1),
    "server_stream": ("ServerStream", 1),
    "client_stream": ("ClientStream", MESSAGES),
    "bidirectional": ("Bidirectional", MESSAGES),
    "compressed": ("Compressed", MESSAGES),
    "error": ("Error", 1),
    "refused": ("Refused", 1),
}
ANSWERED = {"ServerStream": MESSAGES, "Bidirectional": MESSAGES, "Compressed": MESSAGES, "Error": 0}
FAILED: Fields = [("grpc-status", "5"), ("grpc-message", "no order 1234%3A caf%C3%A9")]
PREFIX_BYTES = 5


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(number: int, text: str) -> bytes:
    """`{1: number, 2: text}`."""
    data = text.encode()
    return b"\x08" + varint(number) + b"\x12" + varint(len(data)) + data


def framed(data: bytes, *, compressed: bool) -> bytes:
    data = gzip.compress(data, mtime=0) if compressed else data
    return bytes([compressed]) + len(data).to_bytes(4, "big") + data


def unframed(body: bytes) -> Iterator[tuple[bool, bytes]]:
    """Every whole message."""
    while len(body) >= PREFIX_BYTES:
        end = PREFIX_BYTES + int.from_bytes(body[1:PREFIX_BYTES], "big")
        if len(body) < end:
            return
        data = body[PREFIX_BYTES:end]
        yield bool(body[0]), gzip.decompress(data) if body[0] else data
        body = body[end:]


def said(method: str, who: str, number: int) -> bytes:
    """Some are longer than a frame of HTTP/2, one is empty."""
    return b"" if number == 3 else message(number * 1000, f"{method} of the {who} " * (2000 if number == 1 else 1))


def make(connection: Connection, name: str, authority: str) -> None:
    method, count = ASKED[name]
    is_coded = method == "Compressed"
    fields: Fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", f"/{SERVICE}/{method}"),
        (":authority", authority),
        TYPE,
        ("te", "trailers"),
        ("grpc-timeout", "10S"),
        *(CODED if is_coded else []),
    ]
    stream = connection.ask(fields, end=False)
    for number in range(count):
        connection.body(stream, framed(said(method, "client", number), compressed=is_coded and number != 2))
        # In turns: the answer to each is there before the next.
        while method == "Bidirectional" and len(list(unframed(stream.response.content))) <= number:
            assert connection.pump()
    connection.body(stream, end=True)
    connection.wait_for(stream)


def respond(connection: Connection, stream: Stream, answered: dict[int, int]) -> None:
    """What can be said by now."""
    method = stream.request[":path"].rpartition("/")[2]
    is_coded = method == "Compressed"
    if method == "Refused":
        if stream.request.complete:
            connection.head(stream, [(":status", "200"), TYPE, *FAILED], end=True)
        return
    if not stream.response.fields:
        connection.head(stream, [(":status", "200"), TYPE, *(CODED if is_coded else [])])
    known = len(list(unframed(stream.request.content)))
    number = answered.setdefault(stream.number, 0)
    wanted = ANSWERED.get(method, 1) if stream.request.complete else known if method == "Bidirectional" else 0
    for each in range(number, wanted):
        connection.body(stream, framed(said(method, "server", each), compressed=is_coded and each != 2))
    answered[stream.number] = max(number, wanted)
    if stream.request.complete and not stream.end:
        connection.body(stream, end=FAILED if method == "Error" else [("grpc-status", "0")])


def serve(connection: Connection) -> None:
    answered: dict[int, int] = {}
    while connection.pump():
        for stream in list(connection.ready):
            respond(connection, stream, answered)
            if stream.end or stream.response.complete:
                connection.ready.remove(stream)


def run_server(host: str, port: int, certificate: str, key: str) -> list[Connection]:
    """One connection."""
    listener = socket.create_server((host, port))
    print("ready", listener.getsockname()[1], flush=True)
    connections: list[Connection] = []

    def run() -> None:
        raw, _ = listener.accept()
        connections.append(accept(raw, certificate, key))
        serve(connections[0])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return connections


def run_client(host: str, port: int, certificate: str) -> list[Connection]:
    print("ready", flush=True)
    connection: Connection | None = None
    for line in sys.stdin:
        connection = connection or connect(host, port, certificate)
        make(connection, line.strip(), f"{host}:{port}")
        print("done", flush=True)
    assert connection is not None
    connection.close()
    return [connection]


def tell(connection: Connection) -> None:
    connection.tell()
    for stream in connection.streams.values():
        method = stream.request[":path"].rpartition("/")[2]
        for head in (stream.request, stream.response):
            tell_messages(connection, stream, head, method)


def tell_messages(connection: Connection, stream: Stream, head: Head, method: str) -> None:
    from_client = head is stream.request
    for number, (compressed, data) in enumerate(unframed(head.content), start=1):
        tell_message(
            connection.who,
            outgoing=from_client == connection.who.is_client,
            data=data,
            stream=stream.number,
            service=SERVICE,
            method=method,
            from_client=from_client,
            number=number,
            compressed=compressed or None,
        )


def main() -> None:
    role, host, port, *files = sys.argv[1:]
    run = run_server if role == "server" else run_client
    for connection in run(host, int(port), *files):
        tell(connection)


if __name__ == "__main__":
    main()
