# SPDX-License-Identifier: Apache-2.0
"""The secrets of one TLS 1.3 handshake, from the block in which a library keeps them.

What can be derived is: OpenSSL keeps the handshake secret and not the traffic secrets that come of it, and after a
KeyUpdate it holds application secret N where number 0 was. Knows no library and remembers nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from plaintap.keys import labels
from plaintap.keys.derivation import HASH_SIZES, early_secret_without_psk, expand_labels, hash_of_suite

Offsets = Mapping[str, int]
"""Where each secret is in the block, in bytes, by name: those of targets/layouts/model.py."""

_OWN = {
    labels.CLIENT_TRAFFIC: "client_traffic_secret",
    labels.SERVER_TRAFFIC: "server_traffic_secret",
    labels.EXPORTER: "exporter_secret",
}
_FROM_HANDSHAKE = {labels.CLIENT_HANDSHAKE: "c hs traffic", labels.SERVER_HANDSHAKE: "s hs traffic"}
_FROM_MASTER = {
    labels.CLIENT_TRAFFIC: "c ap traffic",
    labels.SERVER_TRAFFIC: "s ap traffic",
    labels.EXPORTER: "exp master",
}


class Found(NamedTuple):
    """What there is of a handshake."""

    lines: tuple[tuple[str, bytes], ...] = ()
    """Label and secret of each."""
    missing: tuple[str, ...] = ()
    """Labels that the library does not keep."""
    wrong: str = ""
    """Why there are no lines."""


def find_secrets(block: bytes, offsets: Offsets, cipher: int) -> Found:
    """The secrets of a finished handshake; none where what is there contradicts itself.

    With master secret and transcript hash the application secrets and the exporter secret are derived, and one at least
    must be what the block has: a KeyUpdate changes the first two, the exporter secret stays. Where they all differ, the
    block was not read from the right place, or in the middle of another handshake.
    """
    known = hash_of_suite(cipher)
    algorithms = [known] if known else _likely_hashes(block, offsets)
    contradicted = False
    for algorithm in algorithms:
        derived = _derive(block, offsets, ("master_secret", "server_finished_hash"), _FROM_MASTER, algorithm)
        own = _own(block, offsets, algorithm)
        if any(own[label] == secret for label, secret in derived.items()):
            return _found(block, offsets, derived, algorithm)
        contradicted |= bool(derived)
    if contradicted:
        return Found(wrong="the secrets of a handshake contradict each other")
    return _found(block, offsets, _own(block, offsets, algorithms[0]), algorithms[0])


def _own(block: bytes, offsets: Offsets, algorithm: str) -> dict[str, bytes]:
    size = HASH_SIZES[algorithm]
    return {label: _part(block, offsets, name, size) for label, name in _OWN.items()}


def _likely_hashes(block: bytes, offsets: Offsets) -> list[str]:
    """Both, the likelier first: a shorter secret leaves the rest of its place zero."""
    start = offsets.get("client_traffic_secret", len(block))
    short, long = HASH_SIZES.values()
    return ["sha384", "sha256"] if any(block[start + short : start + long]) else ["sha256", "sha384"]


def _part(block: bytes, offsets: Offsets, name: str, size: int) -> bytes:
    """Empty where there is none, or not all of it."""
    start = offsets.get(name)
    if start is None:
        return b""
    part = block[start : start + size]
    return part if len(part) == size and labels.NOT_SET not in part else b""


def _derive(
    block: bytes, offsets: Offsets, sources: tuple[str, str], wanted: Mapping[str, str], algorithm: str
) -> dict[str, bytes]:
    size = HASH_SIZES[algorithm]
    secret, transcript_hash = _part(block, offsets, sources[0], size), _part(block, offsets, sources[1], size)
    if not secret or not transcript_hash:
        return {}
    return dict(zip(wanted, expand_labels(secret, wanted.values(), transcript_hash, algorithm), strict=True))


def _found(block: bytes, offsets: Offsets, application: Mapping[str, bytes], algorithm: str) -> Found:
    sources = ("handshake_secret", "handshake_traffic_hash")
    found = {**_derive(block, offsets, sources, _FROM_HANDSHAKE, algorithm), **application}
    lines = tuple([(label, secret) for label in labels.WHOLE if (secret := found.get(label))])
    if not lines:
        return Found(wrong="the secrets of a handshake are not whole")
    missing = [label for label in labels.WHOLE if not found.get(label)] if len(lines) < len(labels.WHOLE) else []
    early = _part(block, offsets, "early_secret", HASH_SIZES[algorithm])
    if early and early != early_secret_without_psk(algorithm):
        # A resumed one may have had early data, whose secret needs the hash of the ClientHello, which nobody keeps.
        missing.insert(0, labels.CLIENT_EARLY)
    return Found(lines, tuple(missing))
