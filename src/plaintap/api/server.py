# SPDX-License-Identifier: Apache-2.0
"""Where the API listens: the address asked for, and a Unix socket that only its owner opens; a thread serves both.

Both are bound at once, so that a mistake is one before anything is attached.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import secrets
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn

from plaintap.api.connections import SILENT_S, Acceptor
from plaintap.api.guard import Guard
from plaintap.api.routes import Api
from plaintap.config import CommonConfig
from plaintap.errors import OutputError, UsageError, reason
from plaintap.trusted import open_trusted

BACKLOG = 128
SHUTDOWN_S = 2.0
"""For answers that are on their way when it ends."""
HEAD_MAX_BYTES = 16 << 10
SOCKETS = Path("/run/plaintap")
TOKEN_BYTES = 24
TOKEN_MIN, TOKEN_MAX = 16, 4096


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
        self._context = _context(common)
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
        self._end: Callable[[], object] = lambda: None
        self._ended = False
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
        guarded = Guard(app, token=self.token, host=self._address.host, port=self.port)
        acceptors = (
            Acceptor(_config(guarded), self._tcp, self._context),
            Acceptor(_config(Guard(app)), self._unix, None),
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(acceptors)), name="api", daemon=True)
        self._thread.start()

    async def _serve(self, acceptors: Sequence[Acceptor]) -> None:
        loop = asyncio.get_running_loop()
        # What clients do wrong is theirs to know, and what they send is for no log.
        loop.set_exception_handler(lambda _loop, _context: None)
        ending = asyncio.Event()
        self._end = partial(loop.call_soon_threadsafe, ending.set)
        tasks = [loop.create_task(acceptor.run()) for acceptor in acceptors]
        if self._ended:
            ending.set()
        await ending.wait()
        if requests := [request for acceptor in acceptors for request in acceptor.requests]:
            await asyncio.wait(requests, timeout=SHUTDOWN_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """A second call does nothing."""
        if self._api:
            self._api.ending = True
        self._ended = True
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            self._end()
        if self._thread:
            self._thread.join(2 * SHUTDOWN_S + 1)
            self._thread = None
        self._tcp.close()
        self._unix.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def _config(app: Guard) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_MAX_BYTES,
        timeout_keep_alive=int(SILENT_S),
    )
    config.load()
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    return config


def _context(common: CommonConfig) -> ssl.SSLContext | None:
    """Raises UsageError for files that are no certificate and its key."""
    if not common.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(common.tls_cert, common.tls_key, password=lambda: "")
    except (OSError, ValueError) as error:
        said = reason(error) if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"--tls-cert and --tls-key: {common.tls_cert} and {common.tls_key} cannot be used: {said}",
            hint="a certificate chain and its key in PEM, the key without a password",
        ) from error
    return context


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
        listening.listen(BACKLOG)
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
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise OutputError(f"cannot listen at {path}: {reason(error)}", hint=f"rm -r {path.parent}") from error
    return listening
