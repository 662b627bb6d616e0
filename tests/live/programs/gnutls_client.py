# SPDX-License-Identifier: Apache-2.0
"""gnutls_client.py LIBRARY HOST PORT CERTIFICATE blocking|none|same|cork: GnuTLS by its own functions.

Sends and asks as server.py's streams have it. `none` and `same` do not block: a send that has to wait is called again
with nothing, its bytes overwritten meanwhile, or with the same bytes. `cork` hands over several pieces before they go.
Prints "ready", waits for a line, and at the end one JSON object: its socket, count and SHA-256 per direction.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import random
import select
import socket
import sys

CLIENT, NONBLOCK, CERTIFICATE_CREDENTIALS, WAIT = 2, 8, 1, 1
AGAIN, INTERRUPTED = -28, -52
SIZES = [1, 17, 1000, 16384, 16385, 50_000, 300_000]
DOWN = 200_000


class Session:
    """A client's; `waits` counts calls that had to wait."""

    def __init__(self, tls: ctypes.CDLL, connection: socket.socket, certificate: str, *, blocking: bool) -> None:
        self.tls = tls
        self.tls.gnutls_record_send.restype = self.tls.gnutls_record_recv.restype = ctypes.c_ssize_t
        self.connection = connection
        self.waits = 0
        credentials = ctypes.c_void_p()
        self.check(self.tls.gnutls_certificate_allocate_credentials(ctypes.byref(credentials)))
        assert self.tls.gnutls_certificate_set_x509_trust_file(credentials, certificate.encode(), 1) > 0
        self.session = ctypes.c_void_p()
        self.check(self.tls.gnutls_init(ctypes.byref(self.session), CLIENT | (0 if blocking else NONBLOCK)))
        self.check(self.tls.gnutls_priority_set_direct(self.session, b"NORMAL", None))
        self.check(self.tls.gnutls_credentials_set(self.session, CERTIFICATE_CREDENTIALS, credentials))
        self.tls.gnutls_transport_set_int2(self.session, connection.fileno(), connection.fileno())
        while (result := self.tls.gnutls_handshake(self.session)) in (AGAIN, INTERRUPTED):
            self.wait()
        self.check(result)

    @staticmethod
    def check(result: int) -> None:
        assert result >= 0, result

    def wait(self) -> None:
        direction = self.tls.gnutls_record_get_direction(self.session)
        select.select([] if direction else [self.connection], [self.connection] if direction else [], [])

    def send(self, data: bytes, *, again_with_nothing: bool) -> None:
        sent = 0
        while sent < len(data):
            piece = ctypes.create_string_buffer(data[sent:], len(data) - sent)
            done = self.tls.gnutls_record_send(self.session, piece, ctypes.c_size_t(len(piece)))
            while done in (AGAIN, INTERRUPTED):
                self.waits += 1
                self.wait()
                if again_with_nothing:
                    ctypes.memset(piece, 0xFF, len(piece))
                    done = self.tls.gnutls_record_send(self.session, None, ctypes.c_size_t(0))
                else:
                    done = self.tls.gnutls_record_send(self.session, piece, ctypes.c_size_t(len(piece)))
            assert done > 0, done
            sent += done

    def receive(self, size: int) -> bytes:
        received = b""
        room = ctypes.create_string_buffer(7000)
        while len(received) < size:
            done = self.tls.gnutls_record_recv(self.session, room, ctypes.c_size_t(len(room)))
            if done in (AGAIN, INTERRUPTED):
                self.wait()
                continue
            assert done > 0, done
            received += room.raw[:done]
        return received


def told(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()


def main() -> None:
    library, host, port, certificate, kind = sys.argv[1:]
    tls = ctypes.CDLL(library)
    print("ready", flush=True)
    sys.stdin.readline()
    connection = socket.create_connection((host, int(port)))
    blocking = kind in ("blocking", "cork")
    if not blocking:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.setblocking(False)
    session = Session(tls, connection, certificate, blocking=blocking)
    data = random.Random(kind).randbytes(sum(SIZES))  # noqa: S311
    head = f"{len(data):>10} {DOWN:>10}\n".encode()
    session.send(head, again_with_nothing=False)
    if kind == "cork":
        session.tls.gnutls_record_cork(session.session)
    sent = 0
    for size in SIZES:
        session.send(data[sent : sent + size], again_with_nothing=kind == "none")
        sent += size
    if kind == "cork":
        session.check(session.tls.gnutls_record_uncork(session.session, WAIT))
    received = session.receive(DOWN)
    assert blocking or session.waits, "nothing had to wait"
    truth = {"pid": os.getpid(), "local": connection.getsockname()[:2], "remote": connection.getpeername()[:2]}
    session.tls.gnutls_bye(session.session, WAIT)
    session.tls.gnutls_deinit(session.session)
    print(json.dumps({**truth, "read": told(received), "written": told(head + data)}))


if __name__ == "__main__":
    main()
