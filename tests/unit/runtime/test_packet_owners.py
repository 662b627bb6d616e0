# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import struct

import pytest

from plaintap.runtime import packet_owners
from plaintap.runtime.packet_owners import FLOW, MAPPED, diag_socket, open_sockets

V4 = bytes([10, 0, 0, 1]) + bytes(12), bytes([10, 0, 0, 2]) + bytes(12)
V6 = bytes([0x20, 1]) + bytes(13) + b"\1", bytes([0x20, 1]) + bytes(13) + b"\2"
ESTABLISHED, LISTEN = 1, 10


def answer(family: int, state: int, local: bytes, remote: bytes, *, remote_port: int) -> bytes:
    """struct inet_diag_msg."""
    ports = struct.pack("!HH", 8443, remote_port)
    sockid = ports + local + remote + struct.pack("=I", 2) + struct.pack("=II", 5, 1)
    return bytes([family, state, 0, 0]) + sockid + struct.pack("=IIIII", 0, 0, 0, 33, 777)


@pytest.mark.parametrize(
    ("family", "state", "ends", "remote_port", "flow"),
    [
        (socket.AF_INET, ESTABLISHED, V4, 443, (MAPPED + V4[0][:4], MAPPED + V4[1][:4], 8443, 443, 6)),
        (socket.AF_INET6, ESTABLISHED, V6, 443, (*V6, 8443, 443, 6)),
        (socket.AF_INET, LISTEN, V4, 0, (bytes(16), bytes(16), 8443, 0, 6)),
    ],
)
def test_sockets(
    family: int, state: int, ends: tuple[bytes, bytes], remote_port: int, flow: tuple[object, ...]
) -> None:
    told = diag_socket(answer(family, state, *ends, remote_port=remote_port), 6)
    assert told == (1 << 32 | 5, FLOW.pack(*flow), 777)


class NothingToAsk:
    """A kernel without tcp_diag and udp_diag."""

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol

    def ask(self, *_: object) -> list[bytes]:
        raise FileNotFoundError(2, "No such file or directory")

    def close(self) -> None:
        pass


def test_no_one_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_owners, "Netlink", NothingToAsk)
    assert list(open_sockets()) == []
