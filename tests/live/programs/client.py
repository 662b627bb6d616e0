# SPDX-License-Identifier: Apache-2.0
"""client.py HOST PORT CERTIFICATE PATH...: asks for each path over one connection, as Python programs do.

A path with a "+" behind it is posted to, with as many bytes as the path asks for. Python's ssl imports only the `_ex`
forms of SSL_read and SSL_write. Prints "ready", waits for a line, and at the end one JSON object: the socket it had,
and count and SHA-256 of what the socket's methods took and gave.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import ssl
import sys
from typing import Any


class TellingSocket(ssl.SSLSocket):
    """Everything http.client does with a socket ends in these two methods."""

    sent = b""
    received = b""

    def send(self, data: Any, flags: int = 0) -> int:
        done = super().send(data, flags)
        self.sent += bytes(data[:done])
        return done

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        done = super().recv_into(buffer, nbytes, flags)
        self.received += bytes(buffer[:done])
        return done


def told(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()


def main() -> None:
    host, port, certificate, *paths = sys.argv[1:]
    context = ssl.create_default_context(cafile=certificate)
    context.sslsocket_class = TellingSocket
    connection = http.client.HTTPSConnection(host, int(port), context=context)
    print("ready", flush=True)
    sys.stdin.readline()
    connection.connect()
    tls = connection.sock
    assert isinstance(tls, TellingSocket)
    truth = {"pid": os.getpid(), "local": tls.getsockname()[:2], "remote": tls.getpeername()[:2]}
    for path in paths:
        target = path.rstrip("+")
        body = os.urandom(int(target.rpartition("/")[2])) if path.endswith("+") else None
        connection.request("POST" if body is not None else "GET", target, body=body)
        connection.getresponse().read()
    truth["read"], truth["written"] = told(tls.received), told(tls.sent)
    connection.close()
    print(json.dumps(truth))


if __name__ == "__main__":
    main()
