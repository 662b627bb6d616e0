# SPDX-License-Identifier: Apache-2.0
"""Accepts connections, and sees that nobody keeps one for nothing: those that ask nothing are few, and not for long.

Owns the connections of one listening socket. What is said there is uvicorn's business and the application's.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import OrderedDict

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

CONNECTIONS_MAX = 128
SILENT_MAX = 64
"""That have not asked yet; for one more the oldest of them goes."""
SILENT_S = 10.0
"""In which a connection asks, each time anew, and its peer takes something of an answer."""
TLS_HANDSHAKE_S = 5.0
ACCEPT_PAUSE_S = 0.1
"""Where a connection could not be accepted: descriptors may have run out."""


class Connection(H11Protocol):
    """`asked` is set once a whole head has come, both once nothing will come any more."""

    def __init__(self, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self.asked = asyncio.Event()
        self.gone = asyncio.Event()

    def handle_events(self) -> None:
        """See H11Protocol."""
        super().handle_events()
        request: object = self.cycle
        if request is not None:
            self.asked.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """See H11Protocol."""
        super().connection_lost(exc)
        self.asked.set()
        self.gone.set()

    @property
    def stands_still(self) -> tuple[int, int]:
        """What is the same as SILENT_S ago where nobody asks, or takes the answer; (0, 0) while one is made."""
        unsent_bytes = self.transport.get_write_buffer_size()
        request: object = self.cycle
        waits = request is None or self.cycle.response_complete
        return (id(self.cycle), unsent_bytes) if waits or unsent_bytes else (0, 0)


class Acceptor:
    """One listening socket."""

    def __init__(self, config: Config, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        self._config = config
        self._listener = listener
        self._context = context
        self._state = ServerState()
        self._silent: OrderedDict[asyncio.Task[None], None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> set[asyncio.Task[None]]:
        """That are being answered."""
        return set(self._state.tasks)

    async def run(self) -> None:
        """Until cancelled; then all connections go."""
        loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        try:
            while True:
                try:
                    accepted, _ = await loop.sock_accept(self._listener)
                except OSError:
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                    continue
                self._take(accepted)
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, accepted: socket.socket) -> None:
        if len(self._tasks) - len(self._silent) >= CONNECTIONS_MAX:
            accepted.close()
            return
        if len(self._silent) >= SILENT_MAX:
            self._silent.popitem(last=False)[0].cancel()
        task = asyncio.get_running_loop().create_task(self._serve(accepted))
        self._tasks.add(task)
        self._silent[task] = None
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._silent.pop(task, None)

    async def _serve(self, accepted: socket.socket) -> None:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(SILENT_S):
                connection = await self._connected(accepted)
                await connection.asked.wait()
            task = asyncio.current_task()
            assert task is not None
            self._silent.pop(task, None)
            await _until_still(connection)
        except (OSError, TimeoutError):  # it asked nothing, or not in TLS
            return
        finally:
            if connection is None:
                accepted.close()
            else:
                connection.transport.abort()

    async def _connected(self, accepted: socket.socket) -> Connection:
        _, connection = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Connection(self._config, self._state),
            accepted,
            ssl=self._context,
            ssl_handshake_timeout=TLS_HANDSHAKE_S if self._context else None,
        )
        return connection


async def _until_still(connection: Connection) -> None:
    """Until it has gone, or nothing has moved for as long as it may be silent."""
    before: tuple[int, int] | None = None
    while not connection.gone.is_set():
        now = connection.stands_still
        if now == before and any(now):
            return
        before = now
        try:
            async with asyncio.timeout(SILENT_S):
                await connection.gone.wait()
        except TimeoutError:
            continue
