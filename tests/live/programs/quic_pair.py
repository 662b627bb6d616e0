# SPDX-License-Identifier: Apache-2.0
"""quic_pair.py LIBSSL CERTIFICATE KEY KEYLOG: both ends of a QUIC connection, with OpenSSL 3.5's own QUIC.

Prints "ready", waits for a line, says something each way over the default stream, and prints one JSON object: how
many bytes each way. KEYLOG gets what the library's key log callback is told.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

FILETYPE_PEM = 1
TLSEXT_ERR_OK = 0
ALPN = b"\x04test"
QUESTION, ANSWER = b"GET /quic HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nquic"
POINTER = ctypes.c_void_p
KEYLOG_CALLBACK = ctypes.CFUNCTYPE(None, POINTER, ctypes.c_char_p)
ALPN_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, POINTER, ctypes.POINTER(POINTER), ctypes.POINTER(ctypes.c_ubyte), POINTER, ctypes.c_uint, POINTER
)


class Quic:
    """Two contexts and what they need to stay alive."""

    def __init__(self, libssl: str, certificate: str, key: str, keylog: str) -> None:
        self.ssl = ctypes.CDLL(libssl)
        names = "OSSL_QUIC_server_method OSSL_QUIC_client_method SSL_CTX_new SSL_new SSL_new_listener BIO_ADDR_new"
        for name in [*names.split(), "SSL_accept_connection"]:
            getattr(self.ssl, name).restype = POINTER
        self.ssl.SSL_accept_connection.argtypes = [POINTER, ctypes.c_uint64]
        self.ssl.SSL_new_listener.argtypes = [POINTER, ctypes.c_uint64]
        self.ssl.SSL_get_error.argtypes = [POINTER, ctypes.c_int]
        self.keylog = Path(keylog)
        self._log = KEYLOG_CALLBACK(self.log)
        self._choose = ALPN_CALLBACK(self.choose)
        self.name = ctypes.create_string_buffer(ALPN[1:])
        self.server = self.context("OSSL_QUIC_server_method")
        self.client = self.context("OSSL_QUIC_client_method")
        assert self.ssl.SSL_CTX_use_certificate_chain_file(self.server, certificate.encode()) == 1
        assert self.ssl.SSL_CTX_use_PrivateKey_file(self.server, key.encode(), FILETYPE_PEM) == 1
        self.ssl.SSL_CTX_set_alpn_select_cb(self.server, self._choose, None)

    def context(self, method: str) -> Any:
        context = POINTER(self.ssl.SSL_CTX_new(POINTER(getattr(self.ssl, method)())))
        self.ssl.SSL_CTX_set_keylog_callback(context, self._log)
        return context

    def log(self, _: object, line: bytes) -> None:
        with self.keylog.open("a") as file:
            file.write(line.decode() + "\n")

    def choose(self, _: object, out: Any, size: Any, *rest: object) -> int:
        del rest
        out[0] = ctypes.cast(self.name, POINTER)
        size[0] = len(ALPN) - 1
        return TLSEXT_ERR_OK

    def read(self, connection: Any, size: int) -> int:
        buffer = ctypes.create_string_buffer(size)
        done = int(self.ssl.SSL_read(connection, buffer, size))
        assert done > 0, self.ssl.SSL_get_error(connection, done)
        return done

    def write(self, connection: Any, data: bytes) -> int:
        done = int(self.ssl.SSL_write(connection, data, len(data)))
        assert done == len(data), self.ssl.SSL_get_error(connection, done)
        return done

    def serve(self, listener: Any) -> None:
        connection = POINTER(self.ssl.SSL_accept_connection(listener, 0))
        assert connection.value, "nobody came"
        self.read(connection, len(QUESTION))
        self.write(connection, ANSWER)
        # The client has all of it once it says that it ends.
        buffer = ctypes.create_string_buffer(1)
        self.ssl.SSL_read(connection, buffer, 1)


def main() -> None:
    quic = Quic(*sys.argv[1:])
    ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for each in (ours, theirs):
        each.bind(("127.0.0.1", 0))
        # The library waits by itself.
        each.setblocking(False)
    listener = POINTER(quic.ssl.SSL_new_listener(quic.server, 0))
    assert quic.ssl.SSL_set_fd(listener, theirs.fileno()) == 1
    assert quic.ssl.SSL_listen(listener) == 1
    print("ready", flush=True)
    sys.stdin.readline()
    serving = threading.Thread(target=quic.serve, args=(listener,))
    serving.start()
    client = POINTER(quic.ssl.SSL_new(quic.client))
    assert quic.ssl.SSL_set_fd(client, ours.fileno()) == 1
    address = POINTER(quic.ssl.BIO_ADDR_new())
    host, port = theirs.getsockname()
    packed = socket.inet_aton(host)
    quic.ssl.BIO_ADDR_rawmake(address, socket.AF_INET, packed, len(packed), ctypes.c_ushort(socket.htons(port)))
    assert quic.ssl.SSL_set1_initial_peer_addr(client, address) == 1
    assert quic.ssl.SSL_set_alpn_protos(client, ALPN, len(ALPN)) == 0
    assert quic.ssl.SSL_connect(client) == 1
    written = quic.write(client, QUESTION)
    read = quic.read(client, len(ANSWER))
    quic.ssl.SSL_shutdown(client)
    serving.join()
    print(json.dumps({"quic": os.getpid(), "read": read, "written": written}))


if __name__ == "__main__":
    main()
