# SPDX-License-Identifier: Apache-2.0
"""Netlink requests and their answers, as far as interfaces and sockets need them (netlink(7)).

What a message means is its asker's business.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
ERROR, DONE = 2, 3
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
NESTED = 0x8000
READ_BYTES = 1 << 16


class Netlink:
    """One socket; `groups` are multicast groups it listens to, as a bit set."""

    def __init__(self, protocol: int, *, groups: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, groups))
        self._sequence = 0

    def ask(self, kind: int, flags: int, payload: bytes) -> list[bytes]:
        """The payloads of the answers. Raises OSError with the kernel's reason."""
        self._sequence += 1
        head = HEADER.pack(HEADER.size + len(payload), kind, REQUEST | ACK | flags, self._sequence, 0)
        self._socket.send(head + payload)
        answers: list[bytes] = []
        while True:
            for answer_kind, sequence, body in _messages(self._socket.recv(READ_BYTES)):
                if sequence != self._sequence:
                    continue
                if answer_kind == ERROR and (number := -struct.unpack_from("=i", body)[0]):
                    raise OSError(number, os.strerror(number))
                if answer_kind in (ERROR, DONE):
                    return answers
                answers.append(body)

    def has_news(self) -> bool:
        """Whether something came for the groups; it is thrown away."""
        news = False
        while True:
            try:
                self._socket.recv(READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return news
            except OSError:  # more came than the socket holds: news too
                return True
            news = True

    def close(self) -> None:
        self._socket.close()


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    position = 0
    while position + HEADER.size <= len(data):
        length, kind, _, sequence, _ = HEADER.unpack_from(data, position)
        if length < HEADER.size:
            return
        yield kind, sequence, data[position + HEADER.size : position + length]
        position += length + 3 & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    """The values by type; of several the last."""
    found = {}
    position = 0
    while position + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, position)
        if length < ATTRIBUTE.size:
            break
        found[kind & ~NESTED] = data[position + ATTRIBUTE.size : position + length]
        position += length + 3 & ~3
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)
