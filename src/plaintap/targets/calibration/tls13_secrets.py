# SPDX-License-Identifier: Apache-2.0
"""Where the secrets of TLS 1.3 lie in copies of a library's SSL: by their values, or by what follows from them.

Pure, as search.py is, which looks for everything else; the arithmetic is keyschedule.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from plaintap.errors import TargetError
from plaintap.targets.calibration import keyschedule
from plaintap.targets.calibration.observation import End
from plaintap.targets.calibration.places import INT_BYTES, agree, check_few, places_of


class _Schedule(NamedTuple):
    """What an end of a TLS 1.3 handshake is known to have computed."""

    image: bytes
    digest: str
    logged: dict[str, bytes]
    early_secret: bytes
    handshake_hash: bytes


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


def find_secrets(seen: Sequence[End]) -> dict[str, int]:
    """Of these ends, all of TLS 1.3: offsets by field. Raises TargetError for one that is at no place, or at several.

    Secrets that the library logs are looked for as they are, the others by what follows from them.
    """
    ends = [_schedule(end) for end in seen]
    found = {
        "client_traffic_secret": _find_logged("CLIENT_TRAFFIC_SECRET_0", ends),
        "server_traffic_secret": _find_logged("SERVER_TRAFFIC_SECRET_0", ends),
        "exporter_secret": _find_logged("EXPORTER_SECRET", ends),
        "early_secret": agree("early_secret", (places_of(end.image, end.early_secret) for end in ends)),
        "handshake_traffic_hash": agree(
            "handshake_traffic_hash", (places_of(end.image, end.handshake_hash) for end in ends)
        ),
    }

    def leads_to_logged(end: _Schedule, value: bytes) -> bool:
        secret = keyschedule.expand_label(value, "c hs traffic", end.handshake_hash, end.digest)
        return secret == end.logged.get("CLIENT_HANDSHAKE_TRAFFIC_SECRET")

    found["handshake_secret"] = _find_by_trial("handshake_secret", ends, leads_to_logged)
    masters = {id(end): keyschedule.master_secret(_slot(end, found["handshake_secret"]), end.digest) for end in ends}
    found["master_secret"] = agree("master_secret", (places_of(end.image, masters[id(end)]) for end in ends))

    def finishes(end: _Schedule, value: bytes) -> bool:
        secret = keyschedule.expand_label(masters[id(end)], "c ap traffic", value, end.digest)
        return secret == end.logged["CLIENT_TRAFFIC_SECRET_0"]

    found["server_finished_hash"] = _find_by_trial("server_finished_hash", ends, finishes)
    return found


def _find_logged(label: str, ends: Sequence[_Schedule]) -> int:
    if any(label not in end.logged for end in ends):
        raise TargetError(f"it logs no {label}")
    return agree(label, (places_of(end.image, end.logged[label]) for end in ends))


def _slot(end: _Schedule, offset: int) -> bytes:
    return end.image[offset : offset + keyschedule.digest_bytes(end.digest)]


def _find_by_trial(field: str, ends: Sequence[_Schedule], fits: Callable[[_Schedule, bytes], bool]) -> int:
    """Tries every place of the first image, and those that fit there in the others."""
    candidates = set(range(0, len(ends[0].image), INT_BYTES))
    for end in ends:
        candidates = {offset for offset in candidates if fits(end, _slot(end, offset))}
        check_few(candidates)
    return agree(field, [candidates])
