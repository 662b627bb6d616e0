# SPDX-License-Identifier: Apache-2.0
"""A key log as a value: its secrets, each line looked at, and those that several programs agree on."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

TLS12 = frozenset({"CLIENT_RANDOM"})
TLS13 = frozenset(
    {
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
    }
)
HANDSHAKE = frozenset({"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"})
UPDATES = frozenset({"CLIENT_TRAFFIC_SECRET_N", "SERVER_TRAFFIC_SECRET_N"})
LABELS = TLS12 | TLS13 | UPDATES | {"CLIENT_EARLY_TRAFFIC_SECRET", "EARLY_EXPORTER_SECRET"}
LINE = re.compile(r"([A-Z_0-9]+) ([0-9a-f]{64}) ([0-9a-f]+)")
SIZES_BYTES = {32, 48}


@dataclass(frozen=True, slots=True, order=True)
class Secret:
    """A line."""

    label: str
    client_random: str
    secret: str


def parse_line(line: str) -> Secret:
    """Asserts that the line is whole, and its secret one that a suite can have and that was set."""
    found = LINE.fullmatch(line)
    assert found, f"not a line of a key log: {line!r}"
    secret = Secret(*found.groups())
    assert secret.label in LABELS, line
    size_bytes = len(secret.secret) // 2
    assert size_bytes == 48 if secret.label in TLS12 else size_bytes in SIZES_BYTES, line
    assert set(secret.secret) != {"0"}, line
    assert set(secret.client_random) != {"0"}, line
    return secret


@dataclass(frozen=True, slots=True)
class KeyLog:
    """The lines of a file in order, comments left out."""

    secrets: tuple[Secret, ...]

    @classmethod
    def parse(cls, text: str) -> KeyLog:
        assert not text or text.endswith("\n"), f"ends within a line: {text[-200:]!r}"
        return cls(tuple(parse_line(line) for line in text.splitlines() if line and not line.startswith("#")))

    @classmethod
    def read(cls, path: Path) -> KeyLog:
        return cls.parse(path.read_text())

    def without(self, labels: AbstractSet[str]) -> KeyLog:
        return KeyLog(tuple(secret for secret in self.secrets if secret.label not in labels))

    @property
    def without_updates(self) -> KeyLog:
        """What a handshake gives: OpenSSL itself also logs what each key update makes of it."""
        return self.without(UPDATES)

    @property
    def sets(self) -> dict[str, set[str]]:
        """Labels by client random."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for secret in self.secrets:
            found[secret.client_random].add(secret.label)
        return dict(found)

    def check_no_duplicates(self) -> None:
        twice = [secret for secret, count in Counter(self.secrets).items() if count > 1]
        assert twice == []
        names = Counter((secret.label, secret.client_random) for secret in self.secrets)
        assert [name for name, count in names.items() if count > 1] == [], "two secrets under one name"

    def check_complete(self, *, connections: int) -> None:
        """Asserts that so many connections have all that their version has, and no line comes twice."""
        self.check_no_duplicates()
        assert len(self.sets) == connections
        for client_random, labels in self.sets.items():
            assert labels in ({*TLS12}, {*TLS13}), (client_random, labels)

    def check_same(self, other: KeyLog) -> None:
        """Asserts the same secrets, in whatever order, none twice."""
        self.check_no_duplicates()
        assert set(self.secrets) == set(other.secrets)
