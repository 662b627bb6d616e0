# SPDX-License-Identifier: Apache-2.0
"""What the child says of a library: the form of its answer, checked here; its meaning is search.py's.

The answer may be made up by the library: sizes, ranges and text are bounded before anything looks at them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from plaintap.errors import TargetError

ANSWER_MAX_BYTES = 4 << 20

Address = Annotated[int, Meta(ge=0)]
Image = Annotated[bytes, Meta(max_length=8192)]
"""A copy of memory; base64 on the wire."""
Flight = Annotated[bytes, Meta(min_length=43, max_length=8192)]
"""At least up to the end of the hello's random."""
Value = Annotated[bytes, Meta(max_length=512)]
Text = Annotated[str, Meta(max_length=512)]


class Object(Struct, frozen=True, kw_only=True):
    """A struct of the library: where it is, and the bytes there and behind it."""

    address: Address
    data: Image


class Pointed(Struct, frozen=True, kw_only=True):
    """What the pointer at this offset of SSL points to."""

    offset: Annotated[int, Meta(ge=0, lt=1024)]
    data: Annotated[bytes, Meta(max_length=2048)]


class Alpn(Struct, frozen=True, kw_only=True):
    """The protocol agreed on: where the library keeps its name, and how long that is."""

    address: Address
    size: Annotated[int, Meta(ge=1, le=255)]


class End(Struct, frozen=True, kw_only=True):
    """One end of a finished handshake."""

    server: bool
    version: Annotated[int, Meta(ge=0, lt=1 << 16)]
    cipher_id: Annotated[int, Meta(ge=0, lt=1 << 32)]
    psk: Value
    wires: Annotated[list[Flight], Meta(min_length=2, max_length=2)]
    """The first flight of the client and of the server, as TLS records."""
    keylog: Annotated[dict[Text, Text], Meta(max_length=32)]
    """By label, in hexadecimal."""
    master_key: Value
    session_der: Annotated[bytes, Meta(max_length=1 << 15)]
    """Only where the library has no other way to tell the master secret."""
    alpn: Alpn | None
    rbio: Address
    wbio: Address
    ssl: Object
    session: Object
    cipher: Object
    pointed: Annotated[list[Pointed], Meta(max_length=128)]


class Bio(Struct, frozen=True, kw_only=True):
    """A BIO, its method's address and, for a socket BIO, its file descriptor."""

    method: Address
    number: Annotated[int, Meta(ge=0, lt=1 << 31)] | None
    data: Image


class Observation(Struct, frozen=True, kw_only=True):
    """Everything of one library."""

    ends: Annotated[list[End], Meta(min_length=4, max_length=16)]
    bios: Annotated[list[Bio], Meta(min_length=2, max_length=16)]
    fresh_version: Annotated[int, Meta(ge=0, lt=1 << 31)]
    """What the library says the version of an SSL is before any handshake."""
    roles: Annotated[list[Image], Meta(min_length=3, max_length=3)]
    """Such an SSL made a client, a server, and a client again."""
    references: Annotated[list[Image], Meta(max_length=8)]
    """The first end's SSL with 1, 2, 3, 2 and 1 references; empty where they cannot be taken."""
    quic_type: Annotated[int, Meta(ge=0, lt=1 << 32)] | None


class Failure(Struct, frozen=True, kw_only=True):
    """Why the child has nothing to say."""

    error: Annotated[str, Meta(max_length=4096)]


def decode(answer: bytes) -> Observation:
    """Raises TargetError with the child's reason, or because the answer is none."""
    try:
        return msgspec.json.decode(answer, type=Observation)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        failure = msgspec.json.decode(answer, type=Failure)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise TargetError("its answer makes no sense") from None
    raise TargetError(printable(failure.error))


def printable(text: str, *, most: int = 200) -> str:
    """What a stranger says, for a terminal: one line of printable characters."""
    shown = "".join(character if character.isprintable() else "?" for character in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[:most]}…"
