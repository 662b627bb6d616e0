# SPDX-License-Identifier: Apache-2.0
"""Facts in, lines out: once each, bounded, and how a layout is doubted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tls13_vectors import OFFSETS, RFC8448, VECTORS, WHOLE, Vector

from plaintap.events import SecretLogged, SecretOwner, SecretsSeen
from plaintap.keys.collector import DOUBTFUL_AFTER, Collector

MASTER_KEY = bytes(range(1, 49))


def owner(client_random: bytes = RFC8448.client_random, **changes: Any) -> SecretOwner:
    values: dict[str, Any] = {
        "session": 5,
        "ts_ns": 9,
        "pid": 77,
        "tid": 78,
        "uid": 0,
        "comm": "curl",
        "ssl": 0xABC0,
        "library": 1,
        "socket": None,
        "hello_matched": True,
        "handshake_seen": True,
    } | changes
    return SecretOwner(client_random=client_random, **values)


def seen(vector: Vector = RFC8448, **changes: Any) -> SecretsSeen:
    return SecretsSeen(owner(vector.client_random, **changes), 0x0304, vector.cipher, b"", vector.block())


def seen12(client_random: bytes = b"r" * 32, *, version: int = 0x0303, master_key: bytes = MASTER_KEY) -> SecretsSeen:
    return SecretsSeen(owner(client_random), version, 0xC02F, master_key, b"")


def logged(label: str, secret: bytes, client_random: bytes = b"r" * 32) -> SecretLogged:
    return SecretLogged(owner(client_random), label, secret)


@dataclass
class Watched:
    """A collector that knows the layout of library 1, and what it said."""

    trusted: bool = True
    max_handshakes: int = 1000
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.collector = Collector(self.said.append, max_handshakes=self.max_handshakes)
        self.collector.set_layout(1, "libssl 3.0.22", OFFSETS, trusted=self.trusted)

    def lines(self, fact: SecretsSeen | SecretLogged) -> tuple[tuple[str, bytes], ...]:
        secrets = self.collector.take(fact)
        return secrets.lines if secrets else ()


@pytest.mark.parametrize("vector", VECTORS, ids=["rfc8448", "sha384"])
def test_a_handshake_of_tls_1_3(vector: Vector) -> None:
    watched = Watched()
    secrets = watched.collector.take(seen(vector))
    assert secrets
    assert secrets.lines == vector.lines
    assert (secrets.version, secrets.cipher, secrets.library) == (0x0304, vector.cipher, "libssl 3.0.22")
    assert (secrets.owner.client_random, secrets.missing, secrets.gathered) == (vector.client_random, (), 5)
    assert (watched.collector.handshakes, watched.collector.refused, watched.said) == (1, 0, [])


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302, 0x0303, 0xFEFD])
def test_a_handshake_before_tls_1_3(version: int) -> None:
    secrets = Watched().collector.take(seen12(version=version))
    assert secrets
    assert (secrets.lines, secrets.version, secrets.gathered) == ((("CLIENT_RANDOM", MASTER_KEY),), version, 1)


@pytest.mark.parametrize(
    "fact",
    [
        seen12(master_key=bytes(48)),
        seen12(master_key=MASTER_KEY[:40] + bytes(8)),
        seen12(client_random=bytes(32)),
        seen12(version=0),
        seen12(version=0x0305),
        SecretsSeen(owner(), 0x0304, 0x1301, b"", b""),
        logged("CLIENT_RANDOM", MASTER_KEY[:32]),
        logged("CLIENT_RANDOM", bytes(48)),
        logged("EXPORTER_SECRET", MASTER_KEY[:31]),
        logged("EXPORTER_SECRET", MASTER_KEY[:40]),
        logged("EXPORTER_SECRET", MASTER_KEY[:24] + bytes(8)),
        logged("EXPORTER_SECRET", MASTER_KEY, client_random=bytes(32)),
    ],
)
def test_what_is_not_whole_is_refused_and_counted(fact: SecretsSeen | SecretLogged) -> None:
    collector = Watched().collector
    assert collector.take(fact) is None
    assert (collector.handshakes, collector.refused) == (0, 1)


def test_a_client_random_may_begin_with_zeros() -> None:
    """As in a hello of SSL 2's form, whose challenge is shorter."""
    assert Watched().lines(seen12(bytes(16) + b"r" * 16))


@pytest.mark.parametrize(
    ("label", "size"),
    [
        *((label, size) for label in WHOLE for size in (32, 48)),
        ("CLIENT_EARLY_TRAFFIC_SECRET", 32),
        ("EARLY_EXPORTER_SECRET", 48),
        ("ECH_SECRET", 64),
        ("CLIENT_RANDOM", 48),
    ],
)
def test_what_a_library_logs(label: str, size: int) -> None:
    secret = bytes(range(1, size + 1))
    assert Watched().lines(logged(label, secret)) == ((label, secret),)


@pytest.mark.parametrize("label", ["", "CLIENT_TRAFFIC_SECRET_1", "CLIENT_TRAFFIC_SECRET_N", "RSA", "x\nCLIENT_RANDOM"])
def test_labels_that_are_none_are_passed_over(label: str) -> None:
    collector = Watched().collector
    assert collector.take(logged(label, MASTER_KEY)) is None
    assert collector.refused == 0


def test_a_logged_handshake_is_one_and_is_complete_with_its_last_line() -> None:
    collector = Watched().collector
    gathered = []
    for label, secret in RFC8448.lines:
        secrets = collector.take(logged(label, secret))
        assert secrets
        assert (secrets.lines, secrets.version) == (((label, secret),), 0x0304)
        gathered.append(secrets.gathered)
    assert gathered == [0, 0, 0, 0, 5]
    assert collector.handshakes == 1
    before = collector.take(logged("CLIENT_RANDOM", MASTER_KEY, b"q" * 32))
    assert before
    assert (before.version, before.gathered) == (0, 1)


def test_both_ends_of_a_connection_give_one_set() -> None:
    watched = Watched()
    assert watched.lines(seen())
    assert watched.collector.take(seen(session=6, pid=78)) is None
    assert watched.collector.take(logged(*RFC8448.lines[0], RFC8448.client_random)) is None
    assert watched.lines(seen12())
    assert watched.collector.take(seen12()) is None
    assert (watched.collector.handshakes, watched.collector.refused) == (2, 0)


def test_what_the_other_way_had_not_is_added() -> None:
    collector = Watched().collector
    collector.take(logged(*RFC8448.lines[0], RFC8448.client_random))
    secrets = collector.take(seen())
    assert secrets
    assert (secrets.lines, secrets.gathered, collector.handshakes) == (RFC8448.lines[1:], 5, 1)


def test_what_was_there_before_is_not_made_again() -> None:
    collector = Watched().collector
    for label in (*WHOLE, "SOME_LATER_LABEL"):
        collector.know(label, RFC8448.client_random)
    assert collector.take(seen()) is None
    collector.know("CLIENT_RANDOM", b"r" * 32)
    assert collector.take(seen12()) is None
    assert collector.handshakes == 0


def test_memory_is_bounded_and_what_is_looked_at_stays() -> None:
    watched = Watched(max_handshakes=100)
    kept = b"k" * 32
    assert watched.lines(seen12(kept))
    for number in range(1, 1000):
        assert watched.lines(seen12(number.to_bytes(32, "big")))
        assert not watched.lines(seen12(kept))
        made = watched.collector
        assert len(made._made) + len(made._made_before) <= 100
    assert watched.lines(seen12((1).to_bytes(32, "big")))


@given(st.lists(st.integers(0, 40), max_size=200))
def test_the_last_handshakes_are_never_made_twice(numbers: list[int]) -> None:
    watched = Watched(max_handshakes=100)
    made = [number for number in numbers if watched.lines(seen12(bytes([number + 1]) * 32))]
    assert sorted(made) == sorted(set(numbers))


def strange(number: int, **changes: Any) -> SecretsSeen:
    """A handshake of an application without TLS, or read from the wrong place."""
    changes = {"hello_matched": False} | changes
    return SecretsSeen(owner(bytes([number + 1]) * 32, **changes), 0x0303, 0, MASTER_KEY, b"")


def test_a_layout_nobody_vouches_for_is_doubted_once() -> None:
    watched = Watched(trusted=False)
    for number in range(3 * DOUBTFUL_AFTER):
        assert bool(watched.said) == (number >= DOUBTFUL_AFTER)
        assert watched.lines(strange(number))
    (said,) = watched.said
    assert said == (
        "libssl 3.0.22: its keys are doubtful, they may be read from the wrong place: "
        "its client random was in no ClientHello that was sent"
    )


def test_what_was_said_of_a_library_is_not_said_again_when_its_layout_is_told_again() -> None:
    watched = Watched(trusted=False)
    for again in range(2):
        for number in range(3 * DOUBTFUL_AFTER):
            watched.lines(strange(number + again * 3 * DOUBTFUL_AFTER))
        watched.collector.set_layout(1, "libssl 3.0.22", OFFSETS, trusted=False)
    assert len(watched.said) == 1


@pytest.mark.parametrize("version", [0x0303, 0x0304])
def test_a_client_random_that_is_always_the_same_is_none(version: int) -> None:
    """What is at the wrong place may be a constant; each handshake but the first then looks like one seen before."""
    watched = Watched(trusted=False)
    for _ in range(DOUBTFUL_AFTER):
        assert watched.said == []
        there = owner(hello_matched=False)
        watched.lines(SecretsSeen(there, version, 0x1301, MASTER_KEY, RFC8448.block() if version == 0x0304 else b""))
    assert len(watched.said) == 1


def test_one_client_hello_is_proof() -> None:
    watched = Watched(trusted=False)
    for number in range(3 * DOUBTFUL_AFTER):
        watched.lines(strange(number, hello_matched=number == 1))
    assert watched.said == []


@pytest.mark.parametrize("changes", [{"handshake_seen": False}, {"hello_matched": True}])
def test_connections_older_than_the_capture_speak_against_nothing(changes: dict[str, bool]) -> None:
    watched = Watched(trusted=False)
    for number in range(3 * DOUBTFUL_AFTER):
        watched.lines(strange(number, **changes))
    assert watched.said == []


def test_a_trusted_layout_needs_no_proof() -> None:
    watched = Watched()
    for number in range(3 * DOUBTFUL_AFTER):
        watched.lines(strange(number))
    assert watched.said == []


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (
            [
                SecretsSeen(owner(bytes([number]) * 32), 0x0304, 0x1301, b"", RFC8448.block(master_secret=b"m" * 32))
                for number in range(1, 9)
            ],
            "the secrets of a handshake contradict each other",
        ),
        ([seen12(bytes([number]) * 32, version=0x1234) for number in range(1, 9)], "0x1234 is no TLS version"),
        (
            [seen12(bytes([number]) * 32, master_key=bytes(48)) for number in range(1, 9)],
            "the master key of a handshake is not whole",
        ),
    ],
)
def test_contradictions_speak_against_any_layout(facts: list[SecretsSeen], why: str) -> None:
    watched = Watched()
    for fact in facts:
        watched.lines(fact)
    (said,) = watched.said
    assert said.endswith(f"may be read from the wrong place: {why}")


def test_a_right_one_in_between_speaks_for_it() -> None:
    watched = Watched()
    for number in range(3 * DOUBTFUL_AFTER):
        watched.lines(seen12(bytes([number + 1]) * 32, version=0x0303 if number % 2 else 0))
    assert watched.said == []


def test_a_new_layout_begins_anew() -> None:
    watched = Watched(trusted=False)
    for number in range(2 * DOUBTFUL_AFTER):
        watched.lines(strange(number))
        watched.collector.set_layout(1, "libssl 3.0.99", OFFSETS, trusted=number < DOUBTFUL_AFTER - 1)
    assert watched.said == []


def test_what_a_library_does_not_keep_is_said_once() -> None:
    watched = Watched()
    own = {name: OFFSETS[name] for name in ("client_traffic_secret", "server_traffic_secret", "exporter_secret")}
    watched.collector.set_layout(2, "BoringSSL in node", own)
    for vector in VECTORS:
        secrets = watched.collector.take(seen(vector, library=2))
        assert secrets
        assert (secrets.missing, secrets.gathered) == (WHOLE[:2], 3)
    assert watched.said == [f"BoringSSL in node: of a finished handshake it keeps no {WHOLE[0]}, {WHOLE[1]}"]


def test_a_library_nobody_named() -> None:
    collector = Watched().collector
    assert collector.take(seen(library=9)) is None
    secrets = collector.take(SecretsSeen(owner(b"r" * 32, library=9), 0x0303, 0, MASTER_KEY, b""))
    assert secrets
    assert secrets.library == "a library nobody named"
