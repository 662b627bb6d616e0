# SPDX-License-Identifier: Apache-2.0
"""`--ecaptureq`: its port, its token, and the outputs that feed it."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from plaintap.config import CommonConfig
from plaintap.errors import OutputError, UsageError, reason
from plaintap.messages import Message
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.ecaptureq_door import FORMATS, Door
from plaintap.outputs.opened import Output
from plaintap.outputs.registry import FormatChoice
from plaintap.outputs.sinks.address import Peer, parse_peer
from plaintap.outputs.sinks.queued import QueuedSink
from plaintap.protocols.bodies import decode_body
from plaintap.runtime.listeners import who_listens
from plaintap.runtime.recording import clock_offset_ns

if TYPE_CHECKING:
    from plaintap.outputs.sinks.ecaptureq import EcaptureqServer

_BACKLOG = 64
BODY_MAX_BYTES = 64 << 20
"""Of one body."""


class Ecaptureq:
    """The server and its two outputs."""

    def __init__(self, common: CommonConfig, options: FormatOptions, *, notice: Callable[[str], None]) -> None:
        """Raises UsageError for an address that is none or is too open, OutputError where it is taken."""
        assert common.ecaptureq is not None
        address = parse_peer(common.ecaptureq, label="--ecaptureq", schemes=("ws", "wss"))
        door = Door(address)
        tls = _tls(common) if address.scheme == "wss" else None
        # 100 ms that only this server should cost.
        from plaintap.outputs.json_lines import JsonFormatter  # noqa: PLC0415
        from plaintap.outputs.protobuf import heartbeat, process_log  # noqa: PLC0415
        from plaintap.outputs.sinks.ecaptureq import EcaptureqFeed, EcaptureqServer, Forms  # noqa: PLC0415

        self._news: deque[str] = deque()
        lines = JsonFormatter.of(replace(options, numbered=False))
        forms = {
            "protobuf": Forms(
                log=process_log, heartbeat=lambda seconds, count: heartbeat(seconds=seconds, count=count)
            ),
            "json": Forms(
                log=lambda text: lines.log(text, ts_ns=time.monotonic_ns()).decode().rstrip("\n"),
                heartbeat=lambda seconds, count: f'{{"type":"heartbeat","v":1,"seconds":{seconds},"count":{count}}}',
            ),
        }
        self._server: EcaptureqServer = EcaptureqServer(_listen(address), door, forms, say=self._news.append, tls=tls)
        self.outputs = [
            Output(
                choice,
                options,
                QueuedSink(EcaptureqFeed(self._server, name, choice.form.framing), name=f"eCaptureQ ({name})"),
                wanted=partial(self._server.has_clients, name),
            )
            for name in FORMATS
            for choice in (FormatChoice(name, f"eCaptureQ ({name})"),)
        ]
        self.log = self._server.log
        self.close = self._server.close
        _announce(address, door, notice)

    def take_news(self) -> list[str]:
        """What became of clients since the last call."""
        return [self._news.popleft() for _ in range(len(self._news))]


class SharedEcaptureq:
    """The same for all captures of a process, which show their messages from threads of their own."""

    def __init__(self, common: CommonConfig, *, notice: Callable[[str], None]) -> None:
        """See `Ecaptureq`."""
        decode = partial(decode_body, limit_bytes=BODY_MAX_BYTES)
        options = FormatOptions(
            clock_offset_ns=clock_offset_ns(), body_limit=0, decode_body=decode, decode_whole=decode, numbered=True
        )
        self._showing = threading.Lock()
        self._notice = notice
        self._one = Ecaptureq(common, options, notice=notice)
        self.log = self._one.log

    def show(self, messages: Sequence[Message]) -> None:
        """To every client; nobody is waited for."""
        with self._showing:
            for output in self._one.outputs:
                output.show(messages)
                output.sink.flush()
            for news in self._one.take_news():
                self._notice(news)

    def close(self) -> None:
        """What clients have not read within the flush timeout they do not get."""
        with self._showing:
            for output in self._one.outputs:
                output.sink.close()
            self._one.close()


def _announce(address: Peer, door: Door, notice: Callable[[str], None]) -> None:
    notice(f"eCaptureQ clients connect to {address.scheme}://{address.authority}/")
    if door.token_is_ours:
        notice(f"the path they need, told only here: /{door.token}")
    if door.open_to_others and address.scheme == "ws":
        notice("whoever is on the way to eCaptureQ clients reads it all; wss:// with --tls-cert and --tls-key hides it")


def _tls(common: CommonConfig) -> ssl.SSLContext:
    if not (common.tls_cert and common.tls_key):
        raise UsageError("--ecaptureq: wss:// needs --tls-cert and --tls-key", hint="or ws://")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(common.tls_cert, common.tls_key)
    except OSError as error:
        raise UsageError(f"--tls-cert, --tls-key: {reason(error)}", hint="both PEM, of each other") from error
    return context


def _listen(address: Peer) -> socket.socket:
    where = f"cannot listen at {address.authority}"
    try:
        family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise OutputError(f"{where}: {reason(error)}", hint="--ecaptureq ws://127.0.0.1:28257/") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        who = who_listens(address.port) if error.errno == errno.EADDRINUSE else ""
        why = f"{reason(error)} by {who}" if who else reason(error)
        raise OutputError(f"{where}: {why}", hint="another port in --ecaptureq") from error
    return listening
