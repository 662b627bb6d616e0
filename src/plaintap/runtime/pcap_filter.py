# SPDX-License-Identifier: Apache-2.0
"""Packet filters in the words of pcap-filter(7), compiled by the host's libpcap.

Only what is asked of libpcap and what it says; the kernel's side of a filter is classic_bpf.py's.
"""

from __future__ import annotations

import ctypes
from functools import cache

from plaintap.errors import KernelError, UsageError
from plaintap.runtime.classic_bpf import Classic

_LIBRARIES = ("libpcap.so.0.8", "libpcap.so.1", "libpcap.so")
_NETMASK_UNKNOWN = 0xFFFFFFFF
_HINT = "pcap-filter(7) has the language, `tcpdump -d EXPRESSION` tries it"


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Compiled(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction)))


@cache
def _libpcap() -> ctypes.CDLL:
    """Loaded when a filter is given, since captures without one need none. Raises KernelError."""
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.pcap_open_dead.restype = ctypes.c_void_p
        library.pcap_compile.argtypes = (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_uint32,
        )
        library.pcap_geterr.restype = ctypes.c_char_p
        library.pcap_geterr.argtypes = (ctypes.c_void_p,)
        library.pcap_freecode.argtypes = (ctypes.c_void_p,)
        library.pcap_close.argtypes = (ctypes.c_void_p,)
        return library
    raise KernelError("packet filters need libpcap, which this host lacks", hint="install it: apt install libpcap0.8")


def compile_filter(expression: str, *, link_type: int, snaplen: int) -> list[Classic]:
    """For packets of the link type. Raises UsageError with libpcap's words and the place where they begin to apply."""
    try:
        return _compile(expression, link_type, snaplen)
    except ValueError as error:
        place = _place(expression, str(error), link_type, snaplen)
        raise UsageError(f"packet filter: {error}, {place}", hint=_HINT) from None


def _compile(expression: str, link_type: int, snaplen: int) -> list[Classic]:
    library = _libpcap()
    handle = library.pcap_open_dead(link_type, snaplen)
    compiled = _Compiled()
    try:
        if library.pcap_compile(handle, ctypes.byref(compiled), expression.encode(), 1, _NETMASK_UNKNOWN):
            raise ValueError(library.pcap_geterr(handle).decode(errors="replace").removesuffix("\n"))
        found = compiled.instructions[: compiled.length]
        instructions = [Classic(one.code, one.jt, one.jf, one.k) for one in found]
        library.pcap_freecode(ctypes.byref(compiled))
        return instructions
    finally:
        library.pcap_close(handle)


def _place(expression: str, said: str, link_type: int, snaplen: int) -> str:
    """libpcap does not tell where: what it quotes, else what follows the longest beginning that it takes."""
    words = expression.split(" ")
    position = 0
    good = 0
    for word in words:
        if word and f"'{word}'" in said:
            return f"at character {position + 1}: {word!r}"
        position += len(word) + 1
        try:
            if position <= len(expression):
                _compile(expression[: position - 1], link_type, snaplen)
                good = position
        except ValueError:
            continue
    return f"at character {good + 1}: {expression[good:]!r}"
