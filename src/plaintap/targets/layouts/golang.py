# SPDX-License-Identifier: Apache-2.0
"""Where the fields of Go's `crypto/tls.Conn` and of its connections lie, by version; 64-bit architectures alike.

Measured with reflection in the versions named; 1.16 to 1.18 lie between two that agree, 1.20 is from its source: what
1.21 has without the pointer `quic`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

UNKNOWN: Final = 0xFFFF
"""Of an offset."""


class GoLayout(NamedTuple):
    """Offsets in bytes; addresses as in the file."""

    version: str = ""
    """Of Go; empty when the file does not say."""
    conn: int = 0
    """tls.Conn: the interface net.Conn, two pointers."""
    type_tcp: int = 0
    """The address of the description of *net.TCPConn; 0 unknown."""
    type_unix: int = 0
    """The same of *net.UnixConn."""
    tcp_fd: int = 0
    """net.TCPConn and net.UnixConn: pointer to the netFD."""
    sysfd: int = 16
    """net.netFD: the file descriptor, 64 bits."""
    vers: int = UNKNOWN
    """tls.Conn: the version of TLS as on the wire, 16 bits; 0 before the handshake."""
    cipher_suite: int = UNKNOWN
    """tls.Conn: the number of the suite, 16 bits."""
    client_protocol: int = UNKNOWN
    """tls.Conn: the string agreed on (ALPN): pointer and length."""
    server_name: int = UNKNOWN
    """tls.Conn: the string the client named, at the server's end."""
    g_tls_offset: int = -8
    """Stack ABI on amd64: where the goroutine is, from the thread's pointer on."""


class _Row(NamedTuple):
    first: tuple[int, int]
    layout: GoLayout


def _row(minor: int, *, vers: int, cipher_suite: int, server_name: int, client_protocol: int) -> _Row:
    layout = GoLayout(
        vers=vers,
        cipher_suite=cipher_suite,
        server_name=server_name,
        client_protocol=client_protocol,
    )
    return _Row((1, minor), layout)


_ROWS: Final = (
    _row(15, vers=64, cipher_suite=90, server_name=192, client_protocol=328),  # 1.15.15, 1.19.8
    _row(20, vers=64, cipher_suite=90, server_name=216, client_protocol=352),
    _row(21, vers=72, cipher_suite=98, server_name=224, client_protocol=360),  # 1.21.13, 1.22.10
    _row(23, vers=72, cipher_suite=100, server_name=224, client_protocol=368),  # 1.23.6, 1.24.11
    _row(25, vers=72, cipher_suite=100, server_name=208, client_protocol=352),  # 1.25.5, 1.26.8
    _row(27, vers=72, cipher_suite=100, server_name=232, client_protocol=376),  # 1.27.3
)
NEWEST: Final = (1, 27)
"""The newest minor version that somebody has looked at."""


def layout_of(version: tuple[int, ...]) -> GoLayout:
    """The table's layout for a version, the newest for a newer one; only `conn` for one before the first."""
    known = [row.layout for row in _ROWS if row.first <= version[:2]]
    return known[-1] if known else GoLayout()
