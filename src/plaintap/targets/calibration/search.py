# SPDX-License-Identifier: Apache-2.0
"""Turns what a child saw of a library into a layout: looks where the known values lie in the copies of its structs.

A value may lie at several places of one copy: fields repeat each other, and behind a struct lies whatever the heap
holds. So each field is looked for in every copy that has it - client and server, TLS 1.2 and 1.3 (or 1.1), different
suites, SHA-256 and SHA-384, always different secrets - and must be at the same place in all of them, and at one only.
Pure: images in, offsets out; no library is touched here. The secrets of TLS 1.3 are tls13_secrets.py's.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from plaintap.errors import TargetError
from plaintap.targets.calibration.confined.handshake import RANDOM_BYTES
from plaintap.targets.calibration.observation import Bio, End, Observation
from plaintap.targets.calibration.places import INT_BYTES, POINTER_BYTES, agree, check_few, ints, places_of, pointers
from plaintap.targets.calibration.tls13_secrets import find_secrets
from plaintap.targets.layouts.model import Family, Layout

_TLS_1_3 = 0x0304
_CLIENT_RANDOM = slice(11, 43)
"""In the client's first flight: behind the headers of record and message and the version (RFC 8446 4.1.2)."""
_MASTER_KEY_BYTES = 48
_DER_SEQUENCE, _DER_OCTET_STRING = 0x30, 4
_DER_MASTER_KEY = 2
"""The master secret among a session's octet strings, behind suite and session id (OpenSSL's ssl_asn1.c)."""
_REFERENCES = (1, 2, 3, 2, 1)


def find_layout(seen: Observation, family: Family) -> Layout:
    """Raises TargetError naming the field that is at no place, or at several."""
    client_random, s3 = _find_client_random(seen.ends)
    version = _find_version(seen, family)
    common = Layout(
        family=family,
        version=version,
        s3=s3,
        client_random=client_random,
        rbio=agree("rbio", (pointers(end.ssl.data, end.rbio) for end in seen.ends)),
        wbio=agree("wbio", (pointers(end.ssl.data, end.wbio) for end in seen.ends)),
        bio_method=agree("bio_method", (pointers(bio.data, bio.method) for bio in seen.bios)),
        bio_num=agree("bio_num", _number_places(seen.bios)),
        alpn=_find_alpn(seen.ends, s3),
    )
    if family is Family.BORINGSSL:
        # Its functions hand out the keylog lines; it moves sessions about between structs of its own.
        return common
    layout = structs.replace(
        common,
        has_type=_has_type(seen, version),
        server=_find_server(seen),
        references=_find_references(seen.references),
    )
    layout = structs.replace(layout, **_find_session(seen.ends))
    newer = [end for end in seen.ends if end.version == _TLS_1_3]
    return structs.replace(layout, **find_secrets(newer)) if newer else layout


def _find_client_random(ends: Sequence[End]) -> tuple[int, int | None]:
    """`(client_random, s3)`: in SSL itself, or else in what the same pointer of SSL points to."""
    randoms = [end.wires[0][_CLIENT_RANDOM] for end in ends]
    direct = [places_of(end.ssl.data, random) for end, random in zip(ends, randoms, strict=True)]
    if set.intersection(*direct):
        return agree("client_random", direct), None
    pairs = (_pointed_places(end, random) for end, random in zip(ends, randoms, strict=True))
    common = set.intersection(*pairs)
    client_random = agree("client_random", [{at for _, at in common}])
    return client_random, agree("s3", [{pointer for pointer, _ in common}])


def _pointed_places(end: End, value: bytes) -> set[tuple[int, int]]:
    """Offsets of pointers, and where behind them the value is."""
    found: set[tuple[int, int]] = set()
    for pointed in end.pointed:
        found |= {(pointed.offset, at) for at in places_of(pointed.data[:RANDOM_BYTES], value)}
        check_few(found)
    return found


def _find_alpn(ends: Sequence[End], s3: int | None) -> int | None:
    """The pointer to the protocol's name, its length behind it; nothing else depends on it, so it may be nowhere."""
    common: set[int] | None = None
    for end in ends:
        if end.alpn is None:
            return None
        size = end.alpn.size
        holders = [end.ssl.data] if s3 is None else [each.data for each in end.pointed if each.offset == s3]
        places = {
            at
            for holder in holders
            for at in pointers(holder, end.alpn.address)
            if at + POINTER_BYTES in ints(holder, size)
        }
        common = places if common is None else common & places
    return common.pop() if common and len(common) == 1 else None


def _find_version(seen: Observation, family: Family) -> int | None:
    """An int in OpenSSL, half of one in BoringSSL. The versions of records, in SSL as well, are not there at first."""
    if family is Family.BORINGSSL:
        places = [places_of(end.ssl.data, end.version.to_bytes(2, "little"), 2) for end in seen.ends]
        # It moved out of SSL in 2025, and nothing depends on it.
        return agree("version", places) if set.intersection(*places) else None
    fresh = [ints(seen.roles[0], seen.fresh_version)] if seen.fresh_version else []
    return agree("version", [ints(end.ssl.data, end.version) for end in seen.ends] + fresh)


def _number_places(bios: Sequence[Bio]) -> list[set[int]]:
    """Of socket BIOs with descriptors that nobody has."""
    return [ints(bio.data, bio.number) for bio in bios if bio.number is not None]


def _find_server(seen: Observation) -> int:
    """The int that is 1 at servers' ends and 0 at clients', and follows when one is made the other."""
    images = [(end.ssl.data, int(end.server)) for end in seen.ends] + list(zip(seen.roles, (0, 1, 0), strict=True))
    return agree("server", (ints(image, number) for image, number in images))


def _has_type(seen: Observation, version: int | None) -> bool:
    """Since OpenSSL 3.2 SSL begins with its type, 0 for a connection; before, with the version.

    Where the library makes QUIC objects as well, theirs must be another.
    """
    if version == 0 or any(any(end.ssl.data[:INT_BYTES]) for end in seen.ends):
        return False
    if seen.quic_type == 0:
        raise TargetError("the type of a QUIC object is that of a connection")
    return True


def _find_references(images: Sequence[bytes]) -> int | None:
    """The int that counts along while references are taken and given back; None where that cannot be (1.0.2)."""
    if not images:
        return None
    if len(images) != len(_REFERENCES):
        raise TargetError(f"SSL was copied {len(images)} times while it was counted, expected {len(_REFERENCES)}")
    return agree("references", map(ints, images, _REFERENCES))


def _find_session(ends: Sequence[End]) -> dict[str, int]:
    """The way to the TLS 1.2 master secret and to the suite; every handshake has another suite."""
    old = [end for end in ends if end.version < _TLS_1_3]
    return {
        "session": agree("session", (pointers(end.ssl.data, end.session.address) for end in ends)),
        "master_key": agree("master_key", (places_of(end.session.data, _master_key(end)) for end in old)),
        "session_cipher": agree("session_cipher", (pointers(end.session.data, end.cipher.address) for end in ends)),
        "cipher_id": agree("cipher_id", (ints(end.cipher.data, end.cipher_id) for end in ends)),
    }


def _master_key(end: End) -> bytes:
    key = end.master_key or _master_key_of_der(end.session_der)
    if len(key) != _MASTER_KEY_BYTES:
        raise TargetError(f"its master secret has {len(key)} bytes, expected {_MASTER_KEY_BYTES}")
    return key


def _master_key_of_der(der: bytes) -> bytes:
    at = 0
    octet_strings = 0
    while at + 2 <= len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & 0x80:  # the long form: that many bytes of length
            size, at = int.from_bytes(der[at : at + (size & 0x7F)], "big"), at + (size & 0x7F)
        if tag == _DER_SEQUENCE and not octet_strings:
            continue  # the session is one; go into it
        if tag == _DER_OCTET_STRING:
            if octet_strings == _DER_MASTER_KEY:
                return der[at : at + size]
            octet_strings += 1
        at += size
    return b""
