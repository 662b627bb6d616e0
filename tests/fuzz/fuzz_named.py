# SPDX-License-Identifier: Apache-2.0
"""Named protocols on anything: whatever is recognised, every byte comes out once, raw, at its place, and in no time.

The input is cut into records of two directions at each byte 0xFF, after which one says how.
"""

from __future__ import annotations

import time

from plaintap.messages import Message, Raw
from plaintap.parsing import Outlet, Parser
from plaintap.protocols.base import Fit
from plaintap.protocols.named import NAMED, candidates
from plaintap.protocols.options import ParserOptions
from plaintap.streams.connections import Connections

SEEDS = [
    b"*1\r\n$4\r\nPING\r\n\xff\1+PONG\r\n",
    b"\0\0\0\x13\0\3\0\0user\0me\0\0\xff\1Z\0\0\0\5I",
    b"Q\0\0\0\x0dselect 1\0\xff\1C\0\0\0\4Z\0\0\0\5I",
    b"\x09\0\0\0\x03select 1\xff\1\7\0\0\1\0\0\0\2\0\0\0",
    b"220 a ESMTP\r\n\xff\1EHLO b\r\n\xff\0GET / HTTP/1.1\r\n\r\n",
    b"* OK IMAP4rev1\r\n\xff\1a1 LOGIN a b\r\n",
    b"+OK POP3 ready\r\n\xff\1CAPA\r\n",
    b"\x10\x10\0\4MQTT\4\2\0\x3c\0\4abcd\xff\1\x20\2\0\0",
    b"0\x0c\2\1\1`\7\2\1\3\4\0\x80\0",
    b"AMQP\0\0\x09\1\xff\1\x08\0\0\0\0\0\0\xce",
    b"220 FTP\r\n\xff\1PBSZ 0\r\n\xff\1GET / HTTP/1.1\r\n\r\n",
    b"set a 0 0 1\r\nb\r\n\xff\1STORED\r\n",
    b'INFO {"server_id":"a"}\r\n\xff\1PUB a 1\r\nb\r\n',
]
OPTIONS = ParserOptions()
SLOW_S = 2.0
NAMES = {entry.name for entry in NAMED} | {""}


def _recognise(direction: int, head: bytes, outlet: Outlet) -> Parser | None:
    for entry in candidates(head):
        fit = entry.fit(direction, head)
        assert fit is not Fit.MAYBE
        if fit is Fit.YES:
            return entry.create(direction, head, outlet, OPTIONS)
    return None


def _failed(where: str) -> None:
    raise AssertionError(where)


def one(data: bytes) -> None:
    """Raises when something is wrong."""
    messages: list[Message] = []
    connections = Connections(messages.extend, _recognise, on_failure=_failed)
    said = [bytearray(), bytearray()]
    started = time.process_time()
    for number, part in enumerate(data.split(b"\xff")):
        direction, record = (part[0] & 1, part[1:]) if number and part else (0, part)
        if record:
            connections.feed([(1, direction, len(said[direction]), number, record, 1)])
            said[direction] += record
    connections.close(1 << 40)
    assert time.process_time() - started < SLOW_S
    shown = [bytearray(), bytearray()]
    for message in messages:
        if isinstance(message, Raw):
            assert message.offset == len(shown[message.direction])
            assert message.protocol in NAMES
            shown[message.direction] += message.data
    assert shown == said
