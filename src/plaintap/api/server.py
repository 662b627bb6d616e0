# SPDX-License-Identifier: Apache-2.0
"""Where the API listens: the address asked for, and a Unix socket that only its owner opens; a thread serves both.

Both are bound at once, so that a mistake is one before anything is attached.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import secrets
import socket
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from plaintap.api.guard import Guard
from plaintap.api.routes import Api
from plaintap.config import CommonConfig
from plaintap.errors import OutputError, UsageError, reason
from plaintap.trusted import open_trusted

CONNECTIONS_MAX = 200
ACCEPTED_AT_ONCE = 32
HEAD_S = 10.0
"""A connection that has not asked anything by then is closed."""
SHUTDOWN_S = 2
SOCKETS = Path("/run/plaintap")
TOKEN_BYTES = 24
TOKEN_MIN, TOKEN_MAX = 16, 4096


class Bounded(H11Protocol):
    """Of silent connections there are not many, nor for long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self.loop.call_later(HEAD_S, self._end_if_silent)

    def _end_if_silent(self) -> None:
        asked_once: object = self.cycle
        if asked_once is None and not self.transport.is_closing():
            self.transport.abort()


@dataclass(frozen=True, slots=True)
class Address:
    """What `--listen` says."""

    host: str
    port: int
    name: str

    @classmethod
    def of(cls, listen: str) -> Address:
        host, _, port = listen.rpartition(":")
        return cls(host.strip("[]"), int(port), listen)

    @property
    def is_loopback(self) -> bool:
        """Whether only this host reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Server:
    """`start` serves; `close` ends it, whatever clients do."""

    def __init__(self, common: CommonConfig) -> None:
        """Binds and reads the token. Raises UsageError, OutputError."""
        assert common.listen is not None
        self._common = common
        self._address = Address.of(common.listen)
        _refuse_open_address(self._address, common)
        self.token_is_ours = common.token_file is None
        self.token = read_token(common.token_file) if common.token_file else secrets.token_urlsafe(TOKEN_BYTES)
        self._tcp = _bind(self._address)
        self.port: int = self._tcp.getsockname()[1]
        try:
            self.path = SOCKETS / f"{os.getpid()}.sock"
            self._unix = _bind_unix(self.path)
        except BaseException:
            self._tcp.close()
            raise
        self._servers: list[uvicorn.Server] = []
        self._thread: threading.Thread | None = None
        self._api: Api | None = None

    @property
    def url(self) -> str:
        """For people."""
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"{'https' if self._common.tls_cert else 'http'}://{host}:{self.port}"

    def start(self, api: Api) -> None:
        """Serves from a thread of its own."""
        self._api = api
        app = api.app()
        tls: dict[str, Any] = {}
        if self._common.tls_cert:
            tls = {"ssl_certfile": self._common.tls_cert, "ssl_keyfile": self._common.tls_key}
        guarded = Guard(app, token=self.token, host=self._address.host, port=self.port)
        self._servers = [_server(guarded, **tls), _server(Guard(app))]
        self._thread = threading.Thread(target=self._serve, name="api", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        async def both() -> None:
            sockets = (self._tcp, self._unix)
            await asyncio.gather(
                *(server.serve(sockets=[listening]) for server, listening in zip(self._servers, sockets, strict=True))
            )

        asyncio.run(both())

    def close(self) -> None:
        """A second call does nothing."""
        if self._api:
            self._api.ending = True
        for server in self._servers:
            server.should_exit = True
        if self._thread:
            self._thread.join(2 * SHUTDOWN_S + 1)
            self._thread = None
        self._tcp.close()
        self._unix.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def _server(app: Guard, **tls: Any) -> uvicorn.Server:  # noqa: ANN401 - as uvicorn names them
    config = uvicorn.Config(
        app,
        http=Bounded,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        backlog=ACCEPTED_AT_ONCE,
        server_header=False,
        timeout_keep_alive=int(HEAD_S),
        timeout_graceful_shutdown=SHUTDOWN_S,
        **tls,
    )
    return uvicorn.Server(config)


def _refuse_open_address(address: Address, common: CommonConfig) -> None:
    if bool(common.tls_cert) != bool(common.tls_key):
        raise UsageError("--tls-cert and --tls-key go together", hint="give both, in PEM")
    for flag, path in (("--tls-cert", common.tls_cert), ("--tls-key", common.tls_key)):
        if path and not os.access(path, os.R_OK):
            raise UsageError(f"{flag}: cannot read {path}", hint="give a file in PEM")
    if not (address.is_loopback or common.tls_cert or common.listen_insecure):
        hint = "--tls-cert FILE --tls-key FILE, or listen at localhost; --listen-insecure does without, in clear"
        raise UsageError(f"--listen {address.name} is beyond this host: it wants TLS", hint=hint)


def read_token(path: str) -> str:
    """The first line of a file that others cannot read. Raises UsageError."""
    hint = "for example: (umask 077; openssl rand -hex 24 > token)"
    try:
        fd = open_trusted(path, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"--token-file: cannot read {path}: {reason(error)}", hint=hint) from error
    with os.fdopen(fd, "rb") as file:
        if stat.S_IMODE(os.fstat(fd).st_mode) & 0o077:
            raise UsageError(f"--token-file: others may read {path}", hint=f"chmod 600 {path}")
        token = file.read(TOKEN_MAX + 1).split(b"\n", 1)[0].strip()
    if not (TOKEN_MIN <= len(token) < TOKEN_MAX and token.isascii() and token.decode().isprintable()):
        raise UsageError(f"--token-file: {path} has no token of {TOKEN_MIN} characters or more", hint=hint)
    return token.decode()


def _bind(address: Address) -> socket.socket:
    try:
        (family, kind, protocol, _, where), *_ = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise UsageError(f"--listen {address.name}: {reason(error)}", hint="--listen on is localhost") from error
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(where)
        listening.listen(CONNECTIONS_MAX)
    except OSError as error:
        listening.close()
        raise OutputError(f"cannot listen at {address.name}: {reason(error)}", hint=_who_has(address.port)) from error
    return listening


def _who_has(port: int) -> str:
    from plaintap.runtime.listeners import who_listens  # noqa: PLC0415 - only a mistake needs it

    owner = who_listens(port)
    return f"{owner} has it" if owner else "`ss -ltnp` shows who has it"


def _bind_unix(path: Path) -> socket.socket:
    """In a folder of the owner's alone, so that nobody else can connect whatever a socket's mode means."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        status = path.parent.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionError(1, f"{path.parent} is not this user's alone")
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(CONNECTIONS_MAX)
    except OSError as error:
        listening.close()
        raise OutputError(f"cannot listen at {path}: {reason(error)}", hint=f"rm -r {path.parent}") from error
    return listening
