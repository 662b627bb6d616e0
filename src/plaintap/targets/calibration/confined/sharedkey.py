# SPDX-License-Identifier: Apache-2.0
"""The key both ends share instead of a certificate, and the callbacks that hand it out.

Up to TLS 1.2 the bare key (RFC 4279), from 1.3 on a session that carries it, which says which hash it goes with.
"""

from __future__ import annotations

import ctypes
from typing import Any

from .functions import Functions

PSK = bytes(range(1, 33))
_IDENTITY = b"plaintap"
_TLS_1_3 = 0x0304

_Client = ctypes.CFUNCTYPE(
    *(ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
    *(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_uint),
)
_Server = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint)
_UseSession = ctypes.CFUNCTYPE(
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
    *(ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_void_p)),
)
_FindSession = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)
)

Out = Any
"""A pointer to what a callback is to fill in; ctypes has no type for it that mypy can use."""


class SharedKey:
    """Made before the sandbox is closed, since a callback takes memory that is executable."""

    def __init__(self) -> None:
        self._functions = Functions({})
        self._suite = b""
        self._identity = ctypes.create_string_buffer(_IDENTITY)
        self._callbacks = {
            "SSL_CTX_set_psk_client_callback": _Client(self._on_client),
            "SSL_CTX_set_psk_server_callback": _Server(self._on_server),
        }
        self._session_callbacks = {
            "SSL_CTX_set_psk_use_session_callback": _UseSession(self._on_use_session),
            "SSL_CTX_set_psk_find_session_callback": _FindSession(self._on_find_session),
        }

    def give(self, context: int, functions: Functions, suite: bytes) -> None:
        """Lets connections of this SSL_CTX use the key; `suite` is the one of TLS 1.3 or none."""
        self._functions, self._suite = functions, suite
        for name, callback in (self._callbacks | (self._session_callbacks if suite else {})).items():
            functions[name](context, callback)

    def _on_client(self, ssl: int, hint: int, identity: int, size: int, psk: int, psk_size: int) -> int:
        ctypes.memmove(identity, _IDENTITY + b"\0", len(_IDENTITY) + 1)
        ctypes.memmove(psk, PSK, len(PSK))
        return len(PSK)

    def _on_server(self, ssl: int, identity: int, psk: int, psk_size: int) -> int:
        ctypes.memmove(psk, PSK, len(PSK))
        return len(PSK)

    def _on_use_session(self, ssl: int, digest: int, identity: Out, size: Out, session: Out) -> int:
        identity[0] = ctypes.addressof(self._identity)
        size[0] = len(_IDENTITY)
        session[0] = self._session(ssl)
        return 1

    def _on_find_session(self, ssl: int, identity: int, size: int, session: Out) -> int:
        session[0] = self._session(ssl)
        return 1

    def _session(self, ssl: int) -> int | None:
        """A session that carries the key (SSL_CTX_set_psk_use_session_callback(3)); the library frees it."""
        functions = self._functions
        session: int | None = functions["SSL_SESSION_new"]()
        cipher = functions["SSL_CIPHER_find"](ssl, self._suite)
        functions["SSL_SESSION_set1_master_key"](session, PSK, len(PSK))
        functions["SSL_SESSION_set_cipher"](session, cipher)
        functions["SSL_SESSION_set_protocol_version"](session, _TLS_1_3)
        return session
