# SPDX-License-Identifier: Apache-2.0
"""The functions of a TLS library that calibration calls: their prototypes, and binding them to a loaded library.

One table serves OpenSSL 1.0.2 to 4.0 and BoringSSL; which of them a version lacks is the callers' business.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

_P, _I, _U, _L, _S, _B = (
    *(ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_long, ctypes.c_size_t, ctypes.c_char_p),
)

# The result first. None stands for void.
PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "BIO_new": (_P, _P),
    "BIO_new_socket": (_P, _I, _I),
    "BIO_read": (_I, _P, _P, _I),
    "BIO_s_mem": (_P,),
    "BIO_s_socket": (_P,),
    "BIO_write": (_I, _P, _B, _I),
    "ERR_error_string_n": (None, ctypes.c_ulong, _P, _S),
    "ERR_get_error": (ctypes.c_ulong,),
    "OSSL_QUIC_client_method": (_P,),
    "SSL_CIPHER_find": (_P, _P, _B),
    "SSL_CIPHER_get_id": (ctypes.c_uint32, _P),
    "SSL_CTX_ctrl": (_L, _P, _I, _L, _P),
    "SSL_CTX_new": (_P, _P),
    "SSL_CTX_set_alpn_protos": (_I, _P, _B, _U),
    "SSL_CTX_set_alpn_select_cb": (None, _P, _P, _P),
    "SSL_CTX_set_cipher_list": (_I, _P, _B),
    "SSL_CTX_set_ciphersuites": (_I, _P, _B),
    "SSL_CTX_set_keylog_callback": (None, _P, _P),
    "SSL_CTX_set_options": (ctypes.c_uint64, _P, ctypes.c_uint64),
    "SSL_CTX_set_psk_client_callback": (None, _P, _P),
    "SSL_CTX_set_psk_find_session_callback": (None, _P, _P),
    "SSL_CTX_set_psk_server_callback": (None, _P, _P),
    "SSL_CTX_set_psk_use_session_callback": (None, _P, _P),
    "SSL_CTX_set_security_level": (None, _P, _I),
    "SSL_SESSION_get_master_key": (_S, _P, _P, _S),
    "SSL_SESSION_new": (_P,),
    "SSL_SESSION_set1_master_key": (_I, _P, _B, _S),
    "SSL_SESSION_set_cipher": (_I, _P, _P),
    "SSL_SESSION_set_protocol_version": (_I, _P, _I),
    "SSL_do_handshake": (_I, _P),
    "SSL_free": (None, _P),
    "SSL_get0_alpn_selected": (None, _P, _P, _P),
    "SSL_get_current_cipher": (_P, _P),
    "SSL_get_session": (_P, _P),
    "SSL_library_init": (_I,),
    "SSL_new": (_P, _P),
    "SSL_set_accept_state": (None, _P),
    "SSL_set_bio": (None, _P, _P, _P),
    "SSL_set_connect_state": (None, _P),
    "SSL_up_ref": (_I, _P),
    "SSL_version": (_I, _P),
    "SSLv23_method": (_P,),
    "TLS_method": (_P,),
    "i2d_SSL_SESSION": (_I, _P, _P),
}

_RTLD_LAZY, _RTLD_DEEPBIND = 1, 8
_RTLD_DI_LINKMAP = 2

Function = Callable[..., Any]


class LoadError(Exception):
    """The loader did not take a library, or it is not what it was taken for."""


class Loader:
    """Loads libraries by the loader's own means, lazily: functions that nobody calls need not be there."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        self._dlopen, self._dlsym, self._dlinfo, self._dlerror = libc.dlopen, libc.dlsym, libc.dlinfo, libc.dlerror
        self._dlopen.restype = self._dlsym.restype = _P
        self._dlsym.argtypes = (_P, _B)
        self._dlinfo.argtypes = (_P, _I, _P)
        self._dlerror.restype = _B

    def open(self, path: str) -> int:
        """The handle. Its own symbols go before those of this interpreter, which may contain an OpenSSL as well."""
        handle: int | None = self._dlopen(path.encode(), _RTLD_LAZY | _RTLD_DEEPBIND)
        if not handle:
            raise LoadError((self._dlerror() or b"the loader does not say why").decode(errors="replace"))
        return handle

    def base(self, handle: int) -> int:
        """Where the library was put: what its addresses count from (`struct link_map`, whose first field it is)."""
        link_map = ctypes.c_void_p()
        if self._dlinfo(handle, _RTLD_DI_LINKMAP, ctypes.byref(link_map)) or not link_map.value:
            raise LoadError("the loader does not say where it put the library")
        return ctypes.c_size_t.from_address(link_map.value).value

    def symbol(self, handle: int, name: str) -> int:
        """0 when neither the library nor one it needs exports it."""
        return self._dlsym(handle, name.encode()) or 0


class Functions:
    """`functions["SSL_new"](context)`, and `"SSL_new" in functions`."""

    def __init__(self, addresses: dict[str, int]) -> None:
        self._functions: dict[str, Function] = {
            name: ctypes.CFUNCTYPE(*PROTOTYPES[name])(address) for name, address in addresses.items()
        }

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def __getitem__(self, name: str) -> Function:
        try:
            return self._functions[name]
        except KeyError:
            raise LoadError(f"it has no {name}") from None
