# SPDX-License-Identifier: Apache-2.0
"""One TLS connection over a connected socket, three ways: Python's ssl, any libssl through ctypes, pyOpenSSL.

What tls_peer.py speaks through. Knows nothing of HTTP or of what is asked for.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import ssl
import sys
from abc import ABC, abstractmethod
from argparse import Namespace
from typing import Any

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
FILETYPE_PEM = 1
UPDATE_REQUESTED = 1
PIECE_BYTES = 16384


class Connection(ABC):
    """Blocking; whatever ends the connection ends `read` with nothing."""

    resumed = False

    @abstractmethod
    def read(self) -> bytes: ...

    @abstractmethod
    def write(self, data: bytes) -> int:
        """How much was taken."""

    @abstractmethod
    def close(self) -> None:
        """Says that nothing more comes; the socket stays open."""

    def session(self) -> Any:
        """To resume by; good once something was read."""
        raise NotImplementedError

    def update_keys(self) -> None:
        raise NotImplementedError


class Library(ABC):
    """A context for one role."""

    @abstractmethod
    def __init__(self, words: Namespace) -> None: ...

    @abstractmethod
    def connection(self, raw: socket.socket, session: Any = None) -> Connection:
        """After the handshake."""


# ---- Python's ssl: the witness, since it says what may be used and writes a key log of its own ----


class PythonConnection(Connection):
    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls
        self.resumed = bool(tls.session_reused)

    def read(self) -> bytes:
        try:
            return self.tls.recv(PIECE_BYTES)
        except OSError:
            return b""

    def write(self, data: bytes) -> int:
        return self.tls.send(data)

    def close(self) -> None:
        # A server forgets a session that was not shut down.
        with contextlib.suppress(OSError, ValueError):
            self.tls.unwrap()
        self.tls.close()

    def session(self) -> Any:
        return self.tls.session


class PythonLibrary(Library):
    def __init__(self, words: Namespace) -> None:
        self.is_server = words.role == "server"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if self.is_server else ssl.PROTOCOL_TLS_CLIENT)
        if self.is_server:
            self.context.load_cert_chain(words.certificate, words.key)
        else:
            self.context.load_verify_locations(words.certificate)
        if words.tls:
            self.context.minimum_version = self.context.maximum_version = VERSIONS[words.tls]
        # Those of TLS 1.3 cannot be set from Python: OPENSSL_CONF does.
        if words.cipher and words.tls == "1.2":
            self.context.set_ciphers(words.cipher)
        if words.no_tickets:
            self.context.options |= ssl.OP_NO_TICKET
        if words.keylog:
            self.context.keylog_filename = words.keylog

    def connection(self, raw: socket.socket, session: Any = None) -> Connection:
        name = None if self.is_server else "localhost"
        wrapped = self.context.wrap_socket(raw, server_side=self.is_server, server_hostname=name, session=session)
        return PythonConnection(wrapped)


# ---- any shared libssl, OpenSSL's or BoringSSL's, by what both export ----


class ForeignConnection(Connection):
    def __init__(self, library: ForeignLibrary, raw: socket.socket, session: Any) -> None:
        self.ssl = library.ssl
        self.raw = raw
        self.pointer = ctypes.c_void_p(self.ssl.SSL_new(library.context))
        self.ssl.SSL_set_fd(self.pointer, raw.fileno())
        if session:
            self.ssl.SSL_set_session(self.pointer, session)
        shake = self.ssl.SSL_accept if library.is_server else self.ssl.SSL_connect
        if (answer := shake(self.pointer)) != 1:
            raise OSError(f"no handshake: {answer}, error {self.ssl.SSL_get_error(self.pointer, answer)}")
        self.resumed = bool(self.ssl.SSL_session_reused(self.pointer))

    def read(self) -> bytes:
        buffer = ctypes.create_string_buffer(PIECE_BYTES)
        size = self.ssl.SSL_read(self.pointer, buffer, PIECE_BYTES)
        return buffer.raw[: max(size, 0)]

    def write(self, data: bytes) -> int:
        size = int(self.ssl.SSL_write(self.pointer, data, len(data)))
        if size <= 0:
            raise OSError("nothing was written")
        return size

    def close(self) -> None:
        if self.pointer.value:
            self.ssl.SSL_shutdown(self.pointer)
            self.ssl.SSL_free(self.pointer)
            self.pointer = ctypes.c_void_p()

    def session(self) -> Any:
        return ctypes.c_void_p(self.ssl.SSL_get1_session(self.pointer))

    def update_keys(self) -> None:
        if self.ssl.SSL_key_update(self.pointer, UPDATE_REQUESTED) != 1:
            raise OSError("no key update")


class ForeignLibrary(Library):
    def __init__(self, words: Namespace) -> None:
        if words.libcrypto:
            # Found by its name when libssl asks for it.
            ctypes.CDLL(words.libcrypto)
        self.ssl = ctypes.CDLL(words.libssl)
        for name in ("TLS_method", "SSL_CTX_new", "SSL_new", "SSL_get1_session"):
            getattr(self.ssl, name).restype = ctypes.c_void_p
        self.is_server = words.role == "server"
        self.context = ctypes.c_void_p(self.ssl.SSL_CTX_new(ctypes.c_void_p(self.ssl.TLS_method())))
        if self.is_server:
            certificate, key = words.certificate.encode(), words.key.encode()
            assert self.ssl.SSL_CTX_use_certificate_chain_file(self.context, certificate) == 1
            assert self.ssl.SSL_CTX_use_PrivateKey_file(self.context, key, FILETYPE_PEM) == 1

    def connection(self, raw: socket.socket, session: Any = None) -> Connection:
        return ForeignConnection(self, raw, session)


# ---- pyOpenSSL, which calls the OpenSSL inside cryptography's extension ----


class PyOpenSslConnection(Connection):
    def __init__(self, library: PyOpenSslLibrary, raw: socket.socket, session: Any) -> None:
        self.errors = library.module.Error
        self.tls = library.module.Connection(library.context, raw)
        if session:
            self.tls.set_session(session)
        if library.is_server:
            self.tls.set_accept_state()
        else:
            self.tls.set_connect_state()
        self.tls.do_handshake()

    def read(self) -> bytes:
        try:
            return bytes(self.tls.recv(PIECE_BYTES))
        except self.errors:
            return b""

    def write(self, data: bytes) -> int:
        return int(self.tls.send(data))

    def close(self) -> None:
        try:
            self.tls.shutdown()
        except self.errors:
            return

    def session(self) -> Any:
        return self.tls.get_session()


class PyOpenSslLibrary(Library):
    def __init__(self, words: Namespace) -> None:
        sys.path.insert(0, words.site)
        # Which of several copies it is, is known only now.
        from OpenSSL import SSL  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

        self.module = SSL
        self.is_server = words.role == "server"
        self.context = SSL.Context(SSL.TLS_METHOD)
        if self.is_server:
            self.context.use_certificate_chain_file(words.certificate)
            self.context.use_privatekey_file(words.key)

    def connection(self, raw: socket.socket, session: Any = None) -> Connection:
        return PyOpenSslConnection(self, raw, session)


LIBRARIES: dict[str, type[Library]] = {
    "python": PythonLibrary,
    "foreign": ForeignLibrary,
    "pyopenssl": PyOpenSslLibrary,
}
