# SPDX-License-Identifier: Apache-2.0
"""Turns what a child saw of a library into a layout: looks where the known values lie in the copies of its structs.

A value may lie at several places of one copy: fields repeat each other, and behind a struct lies whatever the heap
holds. So each field is looked for in every copy that has it - client and server, TLS 1.2 and 1.3 (or 1.1), different
suites, SHA-256 and SHA-384, always different secrets - and must be at the same place in all of them, and at one only.
Pure: images in, offsets out; no library is touched here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from msgspec import structs

from plaintap.errors import TargetError
from plaintap.targets.calibration import keyschedule
from plaintap.targets.calibration.observation import Bio, End, Observation
from plaintap.targets.layouts.model import Family, Layout

_TLS_1_3 = 0x0304
_POINTER_BYTES, _INT_BYTES = 8, 4
_CLIENT_RANDOM = slice(11, 43)
"""In the client's first flight: behind the headers of record and message and the version (RFC 8446 4.1.2)."""
_MASTER_KEY_BYTES = 48
_DER_SEQUENCE, _DER_OCTET_STRING = 0x30, 4
_DER_MASTER_KEY = 2
"""The master secret among a session's octet strings, behind suite and session id (OpenSSL's ssl_asn1.c)."""
_REFERENCES = (1, 2, 3, 2, 1)
_PLACES_MAX = 64
"""More of one value is no chance: somebody wants the search to take long."""


class _Schedule(NamedTuple):
    """What an end of a TLS 1.3 handshake is known to have computed."""

    image: bytes
    digest: str
    logged: dict[str, bytes]
    early_secret: bytes
    handshake_hash: bytes


def find_layout(seen: Observation, family: Family) -> Layout:
    """Raises TargetError naming the field that is at no place, or at several."""
    client_random, s3 = _find_client_random(seen.ends)
    version = _find_version(seen, family)
    common = Layout(
        family=family,
        version=version,
        s3=s3,
        client_random=client_random,
        rbio=_agree("rbio", (_pointers(end.ssl.data, end.rbio) for end in seen.ends)),
        wbio=_agree("wbio", (_pointers(end.ssl.data, end.wbio) for end in seen.ends)),
        bio_method=_agree("bio_method", (_pointers(bio.data, bio.method) for bio in seen.bios)),
        bio_num=_agree("bio_num", _number_places(seen.bios)),
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
    schedules = [_schedule(end) for end in seen.ends if end.version == _TLS_1_3]
    return structs.replace(layout, **_find_secrets(schedules)) if schedules else layout


def _agree(field: str, places: Iterable[set[int]]) -> int:
    """The one offset that is in all the sets."""
    common: set[int] | None = None
    for found in places:
        common = found if common is None else common & found
    if not common:
        raise TargetError(f"{field} is at no place that all handshakes agree on")
    if len(common) > 1:
        several = ", ".join(f"{offset:#x}" for offset in sorted(common)[:4])
        raise TargetError(f"{field} is at several places, cannot tell which: {several}")
    return common.pop()


def _places(image: bytes, value: bytes, align: int = 1) -> set[int]:
    if not any(value):  # zeros are everywhere
        return set()
    found, at = set(), image.find(value)
    while at >= 0:
        if at % align == 0:
            found.add(at)
            _check_few(found)
        at = image.find(value, at + 1)
    return found


def _check_few(places: Collection[object]) -> None:
    if len(places) > _PLACES_MAX:
        raise TargetError(f"a value is at more than {_PLACES_MAX} places at once")


def _pointers(image: bytes, address: int) -> set[int]:
    return _places(image, (address & (1 << 64) - 1).to_bytes(_POINTER_BYTES, "little"), _POINTER_BYTES)


def _ints(image: bytes, number: int) -> set[int]:
    value = number.to_bytes(_INT_BYTES, "little")
    return {at for at in range(0, len(image), _INT_BYTES) if image.startswith(value, at)}


def _find_client_random(ends: Sequence[End]) -> tuple[int, int | None]:
    """`(client_random, s3)`: in SSL itself, or else in what the same pointer of SSL points to."""
    randoms = [end.wires[0][_CLIENT_RANDOM] for end in ends]
    direct = [_places(end.ssl.data, random) for end, random in zip(ends, randoms, strict=True)]
    if set.intersection(*direct):
        return _agree("client_random", direct), None
    pairs = (_pointed_places(end, random) for end, random in zip(ends, randoms, strict=True))
    common = set.intersection(*pairs)
    client_random = _agree("client_random", [{at for _, at in common}])
    return client_random, _agree("s3", [{pointer for pointer, _ in common}])


def _pointed_places(end: End, value: bytes) -> set[tuple[int, int]]:
    """Offsets of pointers, and where behind them the value is."""
    found: set[tuple[int, int]] = set()
    for pointed in end.pointed:
        found |= {(pointed.offset, at) for at in _places(pointed.data, value)}
        _check_few(found)
    return found


def _find_version(seen: Observation, family: Family) -> int | None:
    """An int in OpenSSL, half of one in BoringSSL. The versions of records, in SSL as well, are not there at first."""
    if family is Family.BORINGSSL:
        places = [_places(end.ssl.data, end.version.to_bytes(2, "little"), 2) for end in seen.ends]
        # It moved out of SSL in 2025, and nothing depends on it.
        return _agree("version", places) if set.intersection(*places) else None
    fresh = [_ints(seen.roles[0], seen.fresh_version)] if seen.fresh_version else []
    return _agree("version", [_ints(end.ssl.data, end.version) for end in seen.ends] + fresh)


def _number_places(bios: Sequence[Bio]) -> list[set[int]]:
    """Of socket BIOs with descriptors that nobody has."""
    return [_ints(bio.data, bio.number) for bio in bios if bio.number is not None]


def _find_server(seen: Observation) -> int:
    """The int that is 1 at servers' ends and 0 at clients', and follows when one is made the other."""
    images = [(end.ssl.data, int(end.server)) for end in seen.ends] + list(zip(seen.roles, (0, 1, 0), strict=True))
    return _agree("server", (_ints(image, number) for image, number in images))


def _has_type(seen: Observation, version: int | None) -> bool:
    """Since OpenSSL 3.2 SSL begins with its type, 0 for a connection; before, with the version.

    Where the library makes QUIC objects as well, theirs must be another.
    """
    if version == 0 or any(any(end.ssl.data[:_INT_BYTES]) for end in seen.ends):
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
    return _agree("references", map(_ints, images, _REFERENCES))


def _find_session(ends: Sequence[End]) -> dict[str, int]:
    """The way to the TLS 1.2 master secret and to the suite; every handshake has another suite."""
    old = [end for end in ends if end.version < _TLS_1_3]
    return {
        "session": _agree("session", (_pointers(end.ssl.data, end.session.address) for end in ends)),
        "master_key": _agree("master_key", (_places(end.session.data, _master_key(end)) for end in old)),
        "session_cipher": _agree("session_cipher", (_pointers(end.session.data, end.cipher.address) for end in ends)),
        "cipher_id": _agree("cipher_id", (_ints(end.cipher.data, end.cipher_id) for end in ends)),
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


def _schedule(end: End) -> _Schedule:
    digest = keyschedule.SUITE_DIGESTS.get(end.cipher_id & 0xFFFF)
    if digest is None:
        raise TargetError(f"it agreed with itself on suite {end.cipher_id:#x}, which is none of TLS 1.3")
    client_wire, server_wire = end.wires
    secrets = {label: secret for label, secret in end.keylog.items() if re.fullmatch(r"([0-9a-fA-F]{2})+", secret)}
    return _Schedule(
        image=end.ssl.data,
        digest=digest,
        logged={label: bytes.fromhex(secret) for label, secret in secrets.items()},
        early_secret=keyschedule.extract(b"", end.psk, digest),
        handshake_hash=keyschedule.hello_hash(client_wire, server_wire, digest),
    )


def _find_secrets(ends: Sequence[_Schedule]) -> dict[str, int]:
    """Secrets that the library logs are looked for as they are, the others by what follows from them."""
    found = {
        "client_traffic_secret": _find_logged("CLIENT_TRAFFIC_SECRET_0", ends),
        "server_traffic_secret": _find_logged("SERVER_TRAFFIC_SECRET_0", ends),
        "exporter_secret": _find_logged("EXPORTER_SECRET", ends),
        "early_secret": _agree("early_secret", (_places(end.image, end.early_secret) for end in ends)),
        "handshake_traffic_hash": _agree(
            "handshake_traffic_hash", (_places(end.image, end.handshake_hash) for end in ends)
        ),
    }

    def leads_to_logged(end: _Schedule, value: bytes) -> bool:
        secret = keyschedule.expand_label(value, "c hs traffic", end.handshake_hash, end.digest)
        return secret == end.logged.get("CLIENT_HANDSHAKE_TRAFFIC_SECRET")

    found["handshake_secret"] = _find_by_trial("handshake_secret", ends, leads_to_logged)
    masters = {id(end): keyschedule.master_secret(_slot(end, found["handshake_secret"]), end.digest) for end in ends}
    found["master_secret"] = _agree("master_secret", (_places(end.image, masters[id(end)]) for end in ends))

    def finishes(end: _Schedule, value: bytes) -> bool:
        secret = keyschedule.expand_label(masters[id(end)], "c ap traffic", value, end.digest)
        return secret == end.logged["CLIENT_TRAFFIC_SECRET_0"]

    found["server_finished_hash"] = _find_by_trial("server_finished_hash", ends, finishes)
    return found


def _find_logged(label: str, ends: Sequence[_Schedule]) -> int:
    if any(label not in end.logged for end in ends):
        raise TargetError(f"it logs no {label}")
    return _agree(label, (_places(end.image, end.logged[label]) for end in ends))


def _slot(end: _Schedule, offset: int) -> bytes:
    return end.image[offset : offset + keyschedule.digest_bytes(end.digest)]


def _find_by_trial(field: str, ends: Sequence[_Schedule], fits: Callable[[_Schedule, bytes], bool]) -> int:
    """Tries every place of the first image, and those that fit there in the others."""
    candidates = set(range(0, len(ends[0].image), _INT_BYTES))
    for end in ends:
        candidates = {offset for offset in candidates if fits(end, _slot(end, offset))}
        _check_few(candidates)
    return _agree(field, [candidates])
