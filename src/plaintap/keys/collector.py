# SPDX-License-Identifier: Apache-2.0
"""All handshakes of a capture: facts about secrets in, what is new for a key log out.

Owns which lines were already made - both ends of a connection may be on this host, and a library may be read in more
than one way - and how far a library's layout is believed. What a block says is tls13.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from plaintap.events import SecretLogged, SecretOwner, SecretsSeen
from plaintap.keys import labels
from plaintap.keys.tls13 import Finder, Found, Offsets
from plaintap.messages import Secrets

MAX_HANDSHAKES = 65536
"""Whose lines are remembered, at most; half as many are for sure. About 170 bytes each."""
DOUBTFUL_AFTER = 3
"""Handshakes in a row that speak against a layout."""
_BEFORE_TLS1_3 = frozenset({0x0300, 0x0301, 0x0302, 0x0303, 0xFEFF, 0xFEFD, 0x0100})
_NO_LIBRARY = "a library nobody named"


@dataclass(slots=True)
class _Library:
    name: str = _NO_LIBRARY
    finder: Finder = field(default_factory=lambda: Finder({}))
    trusted: bool = True
    against: int = 0
    """Handshakes in a row that speak against the layout."""
    doubted: bool = False
    told_missing: bool = False


class Collector:
    """`say` is told, once per library each, that its keys may be wrong, and what it does not keep."""

    def __init__(self, say: Callable[[str], None], *, max_handshakes: int = MAX_HANDSHAKES) -> None:
        self.handshakes = 0
        """Of which lines were made."""
        self.refused = 0
        """Facts of which no line could be made: not whole, or contradicting themselves."""
        self.repeated = 0
        """Facts that held nothing new."""
        self._say = say
        self._max_handshakes = max_handshakes
        self._libraries: dict[int, _Library] = {}
        # Bits of the labels made, by client random, in two generations: those not looked at for one go with it.
        self._made: dict[bytes, int] = {}
        self._made_before: dict[bytes, int] = {}

    def set_layout(self, library: int, name: str, offsets: Offsets | None, *, trusted: bool = True) -> None:
        """Where a library's TLS 1.3 secrets are in its blocks; one that is not `trusted` is watched."""
        before = self._libraries.get(library)
        known = before if before and before.name == name else _Library()
        self._libraries[library] = _Library(
            name, Finder(offsets or {}), trusted, doubted=known.doubted, told_missing=known.told_missing
        )

    def know(self, label: str, client_random: bytes) -> None:
        """A line that is there already."""
        self._remember(client_random, self._recall(client_random) | labels.BITS.get(label, 0))

    def has_all(self, client_random: bytes) -> bool:
        """Whether all that a library keeps of this handshake was told: the other end has the same."""
        made = self._recall(client_random)
        return bool(made & labels.ALONE_BITS) or made & labels.WHOLE_BITS == labels.WHOLE_BITS

    def take(self, fact: SecretsSeen | SecretLogged) -> Secrets | None:
        """The lines that are new; None when there are none, or the label is none of a key log."""
        if isinstance(fact, SecretLogged) and fact.label not in labels.LENGTHS:
            return None
        owner = fact.owner
        library = self._libraries.get(owner.library)
        if library is None:
            library = self._libraries[owner.library] = _Library()
        before = self._recall(owner.client_random)
        if isinstance(fact, SecretLogged):
            found = _logged(fact)
            version, cipher = labels.TLS1_3 if fact.label != labels.MASTER_KEY else 0, 0
        elif library.trusted and before & labels.WHOLE_BITS == labels.WHOLE_BITS:
            self._remember(owner.client_random, before)
            self.repeated += 1
            return None  # the other end of the connection, on the same host
        else:
            found = _seen(fact, library.finder)
            version, cipher = fact.version, fact.cipher
        if not before or isinstance(fact, SecretsSeen):
            self._judge(library, owner, found)
        if not found.lines or not any(owner.client_random):
            self.refused += 1
            return None
        lines = found.lines
        if before:
            lines = tuple(line for line in lines if not before & labels.BITS[line[0]])
        made = before
        for label, _ in lines:
            made |= labels.BITS[label]
        self._remember(owner.client_random, made)
        if not lines:
            self.repeated += 1
            return None
        self.handshakes += not before
        # A library logs secret by secret, but keeps what it keeps all at once.
        complete = made & labels.ALONE_BITS or made & labels.WHOLE_BITS == labels.WHOLE_BITS
        gathered = made.bit_count() if complete or isinstance(fact, SecretsSeen) else 0
        return Secrets(owner, library.name, version, cipher, lines, found.missing, gathered)

    def _recall(self, client_random: bytes) -> int:
        return self._made.get(client_random) or self._made_before.get(client_random, 0)

    def _remember(self, client_random: bytes, made: int) -> None:
        self._made[client_random] = made
        if len(self._made) >= self._max_handshakes // 2:
            self._made, self._made_before = {}, self._made

    def _judge(self, library: _Library, owner: SecretOwner, found: Found) -> None:
        """Being in a ClientHello proves what was read as the client random; where it never is, there is doubt."""
        against = found.wrong
        if not against and owner.hello_matched:
            library.trusted = True
        elif not against and owner.handshake_seen and not library.trusted:
            against = "its client random was in no ClientHello that was sent"
        library.against = library.against + 1 if against else library.against * (not library.trusted)
        if library.against >= DOUBTFUL_AFTER and not library.doubted:
            library.doubted = True
            self._say(f"{library.name}: its keys are doubtful, they may be read from the wrong place: {against}")
        if not found.missing or library.told_missing:
            return
        lasting = [label for label in found.missing if label != labels.CLIENT_EARLY]
        if lasting:
            library.told_missing = True
            self._say(f"{library.name}: of a finished handshake it keeps no {', '.join(lasting)}")


def _logged(fact: SecretLogged) -> Found:
    if len(fact.secret) in labels.LENGTHS[fact.label] and labels.is_whole(fact.secret):
        return Found(((fact.label, fact.secret),))
    return Found(wrong="a secret it logs is not whole")


def _seen(seen: SecretsSeen, finder: Finder) -> Found:
    if seen.version == labels.TLS1_3:
        return finder.find(seen.block, seen.cipher, as_it_ended=seen.owner.handshake_seen)
    if seen.version not in _BEFORE_TLS1_3:
        return Found(wrong=f"0x{seen.version:04x} is no TLS version")
    if not labels.is_whole(seen.master_key):
        return Found(wrong="the master key of a handshake is not whole")
    return Found(((labels.MASTER_KEY, seen.master_key),))
