# SPDX-License-Identifier: Apache-2.0
"""The eCaptureQ server: programs connect by WebSocket and are sent the log from the start, then events and heartbeats.

Owns the clients and what waits for each. A client that does not read is let go, never waited for. Who may come in is
ecaptureq_door.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from plaintap.outputs.ecaptureq_door import FORMATS, Door, Refusal
from plaintap.outputs.framing import Framing

CLIENTS_MAX = 64
WAITING_MAX_BYTES = 4 << 20
"""For one client; with the client's socket buffer what it may be behind."""
FIRST_LINES = 128
HEARTBEAT_S = 15.0
_SILENT_S = 10.0
"""How long an opening handshake may take."""
_CLOSE_S = 2.0
_INCOMING_MAX_BYTES = 65536

Message = bytes | str
Encode = Callable[[str], Message]


class Forms:
    """How heartbeats and log lines look in one format."""

    def __init__(self, *, log: Encode, heartbeat: Callable[[int, int], Message]) -> None:
        self.log = log
        self.heartbeat = heartbeat


class _Client:
    """One connection; lives in the loop."""

    def __init__(self, connection: ServerConnection, form: str) -> None:
        self.connection = connection
        self.form = form
        self.waiting: deque[Message] = deque()
        self.waiting_bytes = 0
        self.news = asyncio.Event()

    def give(self, messages: Sequence[Message]) -> bool:
        """False where it is too far behind."""
        self.waiting.extend(messages)
        self.waiting_bytes += sum(map(len, messages))
        self.news.set()
        return self.waiting_bytes <= WAITING_MAX_BYTES


class EcaptureqServer:
    """Its clients are served in a thread of its own."""

    def __init__(
        self,
        listening: socket.socket,
        door: Door,
        forms: dict[str, Forms],
        *,
        say: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`say` is told of clients that were let go, from any thread."""
        self.refused = self.let_go = 0
        self._door = door
        self._forms = forms
        self._say = say
        self._clients: set[_Client] = set()
        self._first_lines: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._server: Server | None = None
        self._ready = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, args=(listening, tls), name="ecaptureq", daemon=True)
        self._thread.start()
        self._ready.wait()

    def has_clients(self, form: str) -> bool:
        """Whether anyone is there for events of this format."""
        return any(client.form == form for client in tuple(self._clients))

    def log(self, text: str) -> None:
        """A line of ours: to all who are there, and of the first ones to all who come."""
        if not self._closed:
            self._loop.call_soon_threadsafe(self._log, text)

    def publish(self, form: str, messages: Sequence[Message]) -> None:
        """Returns when it is with the clients, or waits for them."""
        if self._closed:
            return
        done = threading.Event()

        def give() -> None:
            self._give(form, messages)
            done.set()

        self._loop.call_soon_threadsafe(give)
        done.wait(_CLOSE_S)

    def close(self) -> None:
        """Says goodbye to all; those that do not answer are let go."""
        if self._closed:
            return
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2 * _CLOSE_S)

    def _work(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            self._server = loop.run_until_complete(self._serve(listening, tls))
            self._ready.set()
            loop.run_forever()
            loop.run_until_complete(self._end(self._server))
        finally:
            self._ready.set()
            listening.close()
            loop.close()

    async def _serve(self, listening: socket.socket, tls: ssl.SSLContext | None) -> Server:
        return await serve(
            self._client,
            sock=listening,
            ssl=tls,
            process_request=self._check,
            compression=None,
            max_size=_INCOMING_MAX_BYTES,
            max_queue=4,
            open_timeout=_SILENT_S,
            close_timeout=_CLOSE_S,
            server_header=None,
        )

    async def _end(self, server: Server) -> None:
        """What waits for clients goes out first, as far as they read."""
        deadline_s = time.monotonic() + _CLOSE_S
        while any(client.waiting for client in self._clients) and time.monotonic() < deadline_s:  # noqa: ASYNC110 - once, and soon over
            await asyncio.sleep(0.01)
        for client in tuple(self._clients):
            if client.waiting:
                client.connection.transport.abort()
        server.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), _CLOSE_S)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        headers = request.headers
        hosts, origins = headers.get_all("Host"), headers.get_all("Origin")
        answer: str | Refusal
        if len(self._clients) >= CLIENTS_MAX:
            answer = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{CLIENTS_MAX} clients are connected")
        elif len(hosts) != 1 or len(origins) > 1:
            answer = Refusal(HTTPStatus.BAD_REQUEST, "one Host, and at most one Origin")
        else:
            answer = self._door.check(target=request.path, host=hosts[0], origin=origins[0] if origins else None)
        if isinstance(answer, Refusal):
            self.refused += 1
            return connection.respond(answer.status, f"{answer.why}\n")
        connection.plaintap_format = answer  # type: ignore[attr-defined]
        return None

    async def _client(self, connection: ServerConnection) -> None:
        client = _Client(connection, getattr(connection, "plaintap_format", FORMATS[0]))
        client.give([self._forms[client.form].log(line) for line in self._first_lines])
        self._clients.add(client)
        reading = asyncio.ensure_future(_read(connection))
        try:
            await self._send(client)
        except ConnectionClosed:
            pass
        finally:
            reading.cancel()
            self._clients.discard(client)

    async def _send(self, client: _Client) -> None:
        """What waits, and a heartbeat at once and every so often."""
        beats, next_s = 0, 0.0
        while True:
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + HEARTBEAT_S
                beats += 1
                await client.connection.send(self._forms[client.form].heartbeat(int(time.time()), beats))
            while client.waiting:
                message = client.waiting.popleft()
                client.waiting_bytes -= len(message)
                await client.connection.send(message)
            client.news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.news.wait(), max(0.0, next_s - time.monotonic()))

    def _log(self, text: str) -> None:
        if len(self._first_lines) < FIRST_LINES:
            self._first_lines.append(text)
        for form, look in self._forms.items():
            self._give(form, [look.log(text)])

    def _give(self, form: str, messages: Sequence[Message]) -> None:
        for client in tuple(self._clients):
            if client.form == form and not client.give(messages):
                self._let_go(client)

    def _let_go(self, client: _Client) -> None:
        self.let_go += 1
        self._clients.discard(client)
        client.waiting.clear()
        client.connection.transport.abort()
        who = client.connection.remote_address
        self._say(
            f"eCaptureQ: the client at {':'.join(map(str, who[:2])) if who else '?'} does not read, and was let go"
        )


async def _read(connection: ServerConnection) -> None:
    """What clients say is not heard."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in connection:
            pass


class EcaptureqFeed:
    """A sink: the events of one format, to the clients that want it."""

    dropped_writes = dropped_bytes = 0
    failed = False

    def __init__(self, server: EcaptureqServer, form: str, framing: Framing) -> None:
        self._server = server
        self._form = form
        self._framing = framing
        self._data: list[bytes] = []

    def write(self, data: bytes) -> None:
        """See `outputs.base.Sink`."""
        self._data.append(data)

    def flush(self) -> None:
        """See `outputs.base.Sink`."""
        data, self._data = b"".join(self._data), []
        if data:
            events = self._framing.cut(data, bare=True)[0]
            self._server.publish(self._form, events if self._framing.binary else [each.decode() for each in events])

    def close(self) -> None:
        """See `outputs.base.Sink`; the server is another's."""
        self.flush()
