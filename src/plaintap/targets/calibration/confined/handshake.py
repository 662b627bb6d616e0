# SPDX-License-Identifier: Apache-2.0
"""Lets a TLS library shake hands with itself and notes what is known of the result and what memory holds then.

Neither certificate nor key is needed: all handshakes use a pre-shared key (RFC 4279 up to TLS 1.2, RFC 8446 2.2 from
1.3 on), which every OpenSSL since 1.0.2 and BoringSSL (up to 1.2) can. Nothing is freed, so that no heap block is used
twice and what lies beside a struct differs from handshake to handshake.
"""

from __future__ import annotations

import ctypes
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any

from .functions import Functions
from .sharedkey import PSK, Out, SharedKey

if TYPE_CHECKING:
    from .memory import Memory

SSL_BYTES, SESSION_BYTES, SMALL_BYTES, POINTED_BYTES = 8192, 2048, 128, 2048
"""How much of each struct is looked at, at most; the fields of all versions known lie in the first half."""
RANDOM_BYTES = 512
"""Where in what SSL points to the client random may be."""
POINTERS_BYTES = 1024
"""Where in SSL a pointer to the SSL3_STATE may be."""
WIRE_MAX_BYTES = 4096
ROUNDS_MAX = 10

_NO_TLS_1_3, _NO_TLS_1_2 = 0x20000000, 0x08000000
_CTRL_OPTIONS = 32
# BoringSSL has the second of each pair; names a version does not know are passed over.
_AES_128 = b"PSK-AES128-CBC-SHA:ECDHE-PSK-AES128-CBC-SHA"
_AES_256 = b"PSK-AES256-CBC-SHA:ECDHE-PSK-AES256-CBC-SHA"
_SUITES = {b"\x13\x01": b"TLS_AES_128_GCM_SHA256", b"\x13\x02": b"TLS_AES_256_GCM_SHA384"}
_ODD_NUMBERS = (0x5A17, 0x3C2B)
"""File descriptors nobody has, as values to look for in a BIO."""

_ALPN = (b"plaintap calibrates", b"and it calibrates again, at some length")
"""Protocols of different lengths, of which every handshake agrees on the other one."""

_AlpnCallback = ctypes.CFUNCTYPE(
    *(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_ubyte)),
    *(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p),
)
_KeylogCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
Notes = dict[str, Any]
"""What is sent to the parent; its form is ../observation.py's."""


class HandshakeError(Exception):
    """The library does not shake hands with itself."""


def base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


class Handshaker:
    """Made before the sandbox is closed, since a callback takes memory that is executable."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._functions = Functions({})
        self._suite = b""
        self._boringssl = False
        self._block_bytes = ctypes.CDLL(None).malloc_usable_size
        self._block_bytes.argtypes, self._block_bytes.restype = (ctypes.c_void_p,), ctypes.c_size_t
        self._keylog: dict[int, dict[str, str]] = {}
        self._key = SharedKey()
        self._on_keylog = _KeylogCallback(self._note_secret)
        self._alpn = _ALPN[0]
        self._alpn_chosen = ctypes.create_string_buffer(max(map(len, _ALPN)))
        self._on_alpn = _AlpnCallback(self._choose_alpn)

    def run(self, functions: Functions, *, boringssl: bool) -> Notes:
        """All handshakes; versions and suites differ, so that a field is at the one place right in all of them."""
        self._functions, self._boringssl = functions, boringssl
        if "SSL_library_init" in functions:
            functions["SSL_library_init"]()
        ends = self._shake(_AES_128, _NO_TLS_1_3) + self._shake(_AES_256, _NO_TLS_1_3)
        if "SSL_CTX_set_psk_use_session_callback" in functions and not boringssl:
            ends += [end for suite in _SUITES for end in self._shake(_AES_128, 0, suite=suite)]
        else:
            ends += self._shake(_AES_128, _NO_TLS_1_3 | _NO_TLS_1_2)
        return {
            "ends": [note for note, _ in ends],
            "bios": self._look_at_bios(),
            **self._look_at_fresh(),
            "references": self._look_at_references(ends[0][1]),
            "quic_type": self._look_at_quic(),
        }

    def _shake(self, ciphers: bytes, forbidden: int, *, suite: bytes = b"") -> list[tuple[Notes, int]]:
        """One handshake; both ends with their SSL."""
        self._suite = suite
        self._alpn = _ALPN[self._alpn == _ALPN[0]]
        # Only the server is told which version: SSL has fields for such orders as well, and they would look the same.
        client = self._connection(self._context(ciphers, 0), "SSL_set_connect_state")
        server = self._connection(self._context(ciphers, forbidden), "SSL_set_accept_state")
        wires = [b"", b""]
        done = [False, False]
        for _ in range(ROUNDS_MAX):
            for index, (end, peer) in enumerate(((client, server), (server, client))):
                done[index] = self._functions["SSL_do_handshake"](end[0]) == 1
                sent = self._drain(end[2])
                wires[index] = wires[index] or sent[:WIRE_MAX_BYTES]
                if sent:
                    self._functions["BIO_write"](peer[1], sent, len(sent))
            if all(done):
                return [(self._look_at_end(*end, wires, server=end is server), end[0]) for end in (client, server)]
        raise HandshakeError(f"it does not shake hands with itself: {self._last_error()}")

    def _context(self, ciphers: bytes, forbidden: int) -> int:
        functions = self._functions
        method = functions["TLS_method" if "TLS_method" in functions else "SSLv23_method"]()
        context = self._made(functions["SSL_CTX_new"](method), "SSL_CTX_new")
        if "SSL_CTX_set_security_level" in functions:
            functions["SSL_CTX_set_security_level"](context, 0)
        if "SSL_CTX_set_options" in functions:
            functions["SSL_CTX_set_options"](context, forbidden)
        else:
            functions["SSL_CTX_ctrl"](context, _CTRL_OPTIONS, forbidden, None)
        if functions["SSL_CTX_set_cipher_list"](context, ciphers) != 1:
            raise HandshakeError(f"it has no cipher suite with a pre-shared key: {self._last_error()}")
        if self._suite:
            functions["SSL_CTX_set_ciphersuites"](context, _SUITES[self._suite])
        if "SSL_CTX_set_keylog_callback" in functions:
            functions["SSL_CTX_set_keylog_callback"](context, self._on_keylog)
        if "SSL_CTX_set_alpn_protos" in functions and "SSL_CTX_set_alpn_select_cb" in functions:
            offered = bytes([len(self._alpn)]) + self._alpn
            functions["SSL_CTX_set_alpn_protos"](context, offered, len(offered))
            functions["SSL_CTX_set_alpn_select_cb"](context, self._on_alpn, None)
        self._key.give(context, functions, self._suite)
        return context

    def _connection(self, context: int, set_state: str) -> tuple[int, int, int]:
        """SSL and its two memory BIOs: read, write."""
        functions = self._functions
        ssl = self._made(functions["SSL_new"](context), "SSL_new")
        rbio, wbio = (self._made(functions["BIO_new"](functions["BIO_s_mem"]()), "BIO_new") for _ in range(2))
        functions["SSL_set_bio"](ssl, rbio, wbio)
        functions[set_state](ssl)
        return ssl, rbio, wbio

    def _made(self, address: int | None, what: str) -> int:
        if not address:
            raise HandshakeError(f"{what} fails: {self._last_error()}")
        return address

    def _drain(self, bio: int) -> bytes:
        buffer = ctypes.create_string_buffer(1 << 15)
        size = self._functions["BIO_read"](bio, buffer, len(buffer))
        return buffer.raw[:size] if size > 0 else b""

    def _look_at_end(self, ssl: int, rbio: int, wbio: int, wires: list[bytes], *, server: bool) -> Notes:
        functions, memory = self._functions, self._memory
        session = self._made(functions["SSL_get_session"](ssl), "SSL_get_session")
        cipher = self._made(functions["SSL_get_current_cipher"](ssl), "SSL_get_current_cipher")
        return {
            "server": server,
            "version": functions["SSL_version"](ssl),
            "cipher_id": functions["SSL_CIPHER_get_id"](cipher),
            "psk": base64(PSK),
            "wires": [base64(wire) for wire in wires],
            "keylog": self._keylog.get(ssl, {}),
            "master_key": base64(self._master_key(session)),
            "session_der": base64(self._session_der(session)),
            "alpn": self._alpn_of(ssl),
            "rbio": rbio,
            "wbio": wbio,
            "ssl": {"address": ssl, "data": base64(self._struct(ssl, SSL_BYTES))},
            "session": {"address": session, "data": base64(self._struct(session, SESSION_BYTES))},
            "cipher": {"address": cipher, "data": base64(memory.read(cipher, SMALL_BYTES))},
            "pointed": self._pointed(ssl, wires[0][11:43]),
        }

    def _struct(self, address: int, most_bytes: int) -> bytes:
        """The bytes of a struct, which ends where its heap block does.

        BoringSSL's blocks begin with their size, so that the heap does not know them by the address it gives out.
        """
        size = 0 if self._boringssl else self._block_bytes(address)
        return self._memory.read(address, size if SMALL_BYTES <= size <= most_bytes else most_bytes)

    def _pointed(self, ssl: int, client_random: bytes) -> list[Notes]:
        """What SSL points to, where the client random is in it."""
        found = []
        for offset in range(0, POINTERS_BYTES, 8):
            address = self._memory.pointer(ssl + offset)
            data = self._memory.read(address, POINTED_BYTES) if address else b""
            if client_random in data[:RANDOM_BYTES]:
                found.append({"offset": offset, "data": base64(data)})
        return found

    def _alpn_of(self, ssl: int) -> Notes | None:
        """Where the library keeps the protocol agreed on, and how long it is."""
        if "SSL_get0_alpn_selected" not in self._functions:
            return None
        address, size = ctypes.c_void_p(), ctypes.c_uint()
        self._functions["SSL_get0_alpn_selected"](ssl, ctypes.byref(address), ctypes.byref(size))
        return {"address": address.value, "size": size.value} if address.value else None

    def _choose_alpn(self, _ssl: int, out: Out, out_size: Out, *_: object) -> int:
        ctypes.memmove(self._alpn_chosen, self._alpn, len(self._alpn))
        out[0], out_size[0] = ctypes.addressof(self._alpn_chosen), len(self._alpn)
        return 0  # SSL_TLSEXT_ERR_OK

    def _master_key(self, session: int) -> bytes:
        if "SSL_SESSION_get_master_key" not in self._functions:
            return b""
        buffer = ctypes.create_string_buffer(256)
        size = self._functions["SSL_SESSION_get_master_key"](session, buffer, len(buffer))
        return buffer.raw[: min(size, len(buffer))]

    def _session_der(self, session: int) -> bytes:
        """The session as OpenSSL 1.0.2 lets it out, which has no other way to tell the master secret."""
        if "SSL_SESSION_get_master_key" in self._functions:
            return b""
        size = self._functions["i2d_SSL_SESSION"](session, None)
        if not 0 < size <= 1 << 15:
            return b""
        buffer = ctypes.create_string_buffer(size)
        end = ctypes.c_void_p(ctypes.addressof(buffer))
        self._functions["i2d_SSL_SESSION"](session, ctypes.byref(end))
        return buffer.raw

    def _look_at_bios(self) -> list[Notes]:
        functions = self._functions
        method = functions["BIO_s_mem"]()
        bios: list[tuple[int | None, int | None, int | None]] = [(functions["BIO_new"](method), method, None)]
        method = functions["BIO_s_socket"]()
        bios += [(functions["BIO_new_socket"](number, 0), method, number) for number in _ODD_NUMBERS]
        return [
            {"method": method or 0, "number": number, "data": base64(self._memory.read(bio or 0, SMALL_BYTES))}
            for bio, method, number in bios
        ]

    def _look_at_fresh(self) -> Notes:
        """SSL before any handshake as a client, as a server, and as a client again."""
        ssl, _, _ = self._connection(self._context(_AES_128, 0), "SSL_set_connect_state")
        images = [self._struct(ssl, SSL_BYTES)]
        for name in ("SSL_set_accept_state", "SSL_set_connect_state"):
            self._functions[name](ssl)
            images.append(self._struct(ssl, SSL_BYTES))
        version = self._functions["SSL_version"](ssl)
        return {"fresh_version": version, "roles": [base64(image) for image in images]}

    def _look_at_references(self, ssl: int) -> list[str]:
        """SSL with one, two, three and again two and one references."""
        if "SSL_up_ref" not in self._functions:
            return []
        images = [self._struct(ssl, SSL_BYTES)]
        for name in ("SSL_up_ref", "SSL_up_ref", "SSL_free", "SSL_free"):
            self._functions[name](ssl)
            images.append(self._struct(ssl, SSL_BYTES))
        return [base64(image) for image in images]

    def _look_at_quic(self) -> int | None:
        """The first int of a QUIC object's SSL; None where the library makes no such objects."""
        functions = self._functions
        if "OSSL_QUIC_client_method" not in functions:
            return None
        context = functions["SSL_CTX_new"](functions["OSSL_QUIC_client_method"]())
        ssl = functions["SSL_new"](context) if context else None
        return int.from_bytes(self._memory.read(ssl, 4), "little") if ssl else None

    def _last_error(self) -> str:
        if "ERR_get_error" not in self._functions or "ERR_error_string_n" not in self._functions:
            return "it does not say why"
        buffer = ctypes.create_string_buffer(160)
        self._functions["ERR_error_string_n"](self._functions["ERR_get_error"](), buffer, len(buffer))
        return buffer.value.decode(errors="replace")

    def _note_secret(self, ssl: int, line: bytes) -> None:
        label, _, secret = line.decode("ascii", "replace").split(" ")[:3]
        self._keylog.setdefault(ssl, {})[label] = secret
