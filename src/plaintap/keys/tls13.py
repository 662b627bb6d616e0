# SPDX-License-Identifier: Apache-2.0
"""The secrets of one TLS 1.3 handshake, from the block in which a library keeps them.

What can be derived is: OpenSSL keeps the handshake secret and not the traffic secrets that come of it, and after a
KeyUpdate it holds application secret N where number 0 was. Knows no library and remembers nothing of a handshake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from plaintap.keys import labels
from plaintap.keys.derivation import (
    HASH_SIZES,
    early_secret_without_psk,
    expand_labels,
    hash_of_suite,
    label_info,
)

Offsets = Mapping[str, int]
"""Where each secret is in the block, in bytes, by name: those of targets/layouts/model.py."""

_NAMES = (
    "early_secret",
    "handshake_secret",
    "handshake_traffic_hash",
    "master_secret",
    "server_finished_hash",
    "client_traffic_secret",
    "server_traffic_secret",
    "exporter_secret",
    "client_handshake_traffic_secret",
    "server_handshake_traffic_secret",
    "client_early_traffic_secret",
)
_KEPT_HANDSHAKE = slice(8, 10)
_KEPT_EARLY = 10
_EARLY, _HANDSHAKE, _HANDSHAKE_HASH, _MASTER, _FINISHED_HASH, _CLIENT, _SERVER, _EXPORTER = range(_KEPT_HANDSHAKE.start)
# In the order of labels.WHOLE: what comes of the handshake secret, then what comes of the master secret.
_FROM_HANDSHAKE = ("c hs traffic", "s hs traffic")
_FROM_MASTER = ("c ap traffic", "s ap traffic", "exp master")
_APPLICATION = slice(_CLIENT, _EXPORTER + 1)
_NOTHING = slice(0, 0)


class Found(NamedTuple):
    """What there is of a handshake."""

    lines: tuple[tuple[str, bytes], ...] = ()
    """Label and secret of each."""
    missing: tuple[str, ...] = ()
    """Labels that the library does not keep."""
    wrong: str = ""
    """Why there are no lines."""


PROVEN_AFTER = 16
"""Handshakes in which what is derived was what the block has: then its own is believed, where it is number 0."""
CHECKED_EVERY = 64
"""One of so many is derived all the same."""


class Finder:
    """Finds them in the blocks of one library."""

    def __init__(self, offsets: Offsets) -> None:
        self._proofs = 0
        self._client = offsets.get("client_traffic_secret")
        self._by_hash = {algorithm: _Schedule(algorithm, offsets) for algorithm in HASH_SIZES}

    def find(self, block: bytes, cipher: int, *, as_it_ended: bool = False) -> Found:
        """The secrets of a finished handshake; none where what is there contradicts itself.

        With master secret and transcript hash the application secrets and the exporter secret are derived, and one at
        least must be what the block has: a KeyUpdate changes the first two, the exporter secret stays. Where they all
        differ, the block was not read from the right place, or in the middle of another handshake.

        Deriving takes most of the time. What was read `as_it_ended` is number 0 in any case, and a library that was
        right so often keeps it in the right place.
        """
        known = hash_of_suite(cipher)
        if as_it_ended and known and self._proofs >= PROVEN_AFTER:
            schedule = self._by_hash[known]
            parts = schedule.parts(block)
            self._proofs += 1
            if self._proofs % CHECKED_EVERY and all(parts[_APPLICATION]):
                return schedule.found(parts, parts[_APPLICATION])
        algorithms = (known,) if known else self._likely_hashes(block)
        contradicted = False
        for algorithm in algorithms:
            schedule = self._by_hash[algorithm]
            parts = schedule.parts(block)
            client, server, exporter = schedule.application(parts)
            if client and (client == parts[_CLIENT] or server == parts[_SERVER] or exporter == parts[_EXPORTER]):
                self._proofs += exporter == parts[_EXPORTER]
                return schedule.found(parts, (client, server, exporter))
            contradicted |= client != b""
        if contradicted:
            self._proofs = 0
            return Found(wrong="the secrets of a handshake contradict each other")
        schedule = self._by_hash[algorithms[0]]
        parts = schedule.parts(block)
        return schedule.found(parts, parts[_APPLICATION])

    def _likely_hashes(self, block: bytes) -> tuple[str, ...]:
        """Both, the likelier first: a shorter secret leaves the rest of its place zero."""
        start = len(block) if self._client is None else self._client
        short, long = HASH_SIZES.values()
        return ("sha384", "sha256") if any(block[start + short : start + long]) else ("sha256", "sha384")


class _Schedule:
    """What is where in a block, and what is derived of it, with one hash. Made once for all handshakes of a library."""

    def __init__(self, algorithm: str, offsets: Offsets) -> None:
        self._algorithm = algorithm
        self._size = size = HASH_SIZES[algorithm]
        starts = [offsets.get(name) for name in _NAMES]
        self._cut = itemgetter(*(_NOTHING if start is None else slice(start, start + size) for start in starts))
        self._whole_bytes = sum(start is not None for start in starts) * size + len(starts) - 1
        self._from_handshake = [label_info(label, algorithm) for label in _FROM_HANDSHAKE]
        self._from_master = [label_info(label, algorithm) for label in _FROM_MASTER]
        self._no_psk = early_secret_without_psk(algorithm)

    def parts(self, block: bytes) -> Sequence[bytes]:
        """In the order of `_NAMES`, each empty where there is none, or not all of it."""
        size = self._size
        parts: Sequence[bytes] = self._cut(block)
        together = b"\xff".join(parts)
        if len(together) == self._whole_bytes and labels.NOT_SET not in together:
            return parts  # as nearly always
        return [part if len(part) == size and labels.NOT_SET not in part else b"" for part in parts]

    def application(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        """The application secrets number 0 and the exporter secret, as derived; empty where they cannot be."""
        secret, transcript_hash = parts[_MASTER], parts[_FINISHED_HASH]
        if not secret or not transcript_hash:
            return (b"",) * len(_FROM_MASTER)
        return expand_labels(secret, self._from_master, transcript_hash, self._algorithm)

    def _handshake(self, parts: Sequence[bytes]) -> Sequence[bytes]:
        secret, transcript_hash = parts[_HANDSHAKE], parts[_HANDSHAKE_HASH]
        if not secret or not transcript_hash:
            return parts[_KEPT_HANDSHAKE]
        return expand_labels(secret, self._from_handshake, transcript_hash, self._algorithm)

    def found(self, parts: Sequence[bytes], application: Sequence[bytes]) -> Found:
        secrets = (*self._handshake(parts), *application)
        lines = tuple(zip(labels.WHOLE, secrets, strict=True))
        missing: tuple[str, ...] = ()
        if not all(secrets):
            missing = tuple([label for label, secret in lines if not secret])
            lines = tuple([line for line in lines if line[1]])
        if not lines:
            return Found(wrong="the secrets of a handshake are not whole")
        if parts[_KEPT_EARLY]:
            lines = ((labels.CLIENT_EARLY, parts[_KEPT_EARLY]), *lines)
        early = parts[_EARLY]
        if early and early != self._no_psk:
            # A resumed one may have had early data, whose secret needs the hash of the ClientHello, which nobody keeps.
            missing = (labels.CLIENT_EARLY, *missing)
        return Found(lines, missing)
