# SPDX-License-Identifier: Apache-2.0
"""What is told of libraries, and that a layout in force is only exchanged for another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import msgspec

from plaintap.events import Meta
from plaintap.modules.attacher import Attacher, Library
from plaintap.modules.probes import secret_places
from plaintap.session.layouts import Layouts, Settled
from plaintap.session.libraries import Libraries
from plaintap.session.pipeline import Pipeline
from plaintap.session.recording import Recording
from plaintap.targets.layouts.lookup import find_layout
from plaintap.targets.layouts.model import KnownLayout, Layout, Origin


def table() -> KnownLayout:
    known = find_layout("3.0.13")
    assert known is not None
    return known


TABLE = table()
SAME = KnownLayout(layout=TABLE.layout, origin=Origin.CALIBRATION, label="calibrated")
OTHER = KnownLayout(
    layout=msgspec.structs.replace(TABLE.layout, session=0x7F0), origin=Origin.CALIBRATION, label="calibrated"
)
LIBRARY = Library(1, "OpenSSL 3.0.13", "/lib/libssl.so.3", tells_ends=True, layout=TABLE)
SECRETS = secret_places(TABLE)


@dataclass
class FakeEnds:
    """In place of pipeline, recording, attacher and calibration."""

    libraries: list[Library] = field(default_factory=list)
    added: list[tuple[int, Mapping[str, int] | None, bool]] = field(default_factory=list)
    metas: list[Meta] = field(default_factory=list)
    relaid: list[KnownLayout] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    debug: list[str] = field(default_factory=list)

    def add_library(
        self, number: int, name: str, *, tells_ends: bool, secrets: Mapping[str, int] | None, trusted: bool
    ) -> None:
        assert (name, tells_ends) == (LIBRARY.name, True)
        self.added.append((number, secrets, trusted))

    def meta(self, meta: Meta) -> None:
        self.metas.append(meta)

    def relayout(self, number: int, layout: KnownLayout) -> Library:
        self.relaid.append(layout)
        self.libraries[number - 1] = replace(self.libraries[number - 1], layout=layout)
        return self.libraries[number - 1]


@dataclass
class Bench:
    """Libraries and all they talk to."""

    ends: FakeEnds
    layouts: Layouts
    libraries: Libraries

    def settle(self, *settled: Settled) -> None:
        for each in settled:
            self.layouts.put_back(each)
        self.libraries.settle(cast("Attacher", self.ends))


def bench(*attached: Library, sees_hellos: bool = True) -> Bench:
    ends = FakeEnds([*attached])
    layouts = Layouts(ssl_version=None, keys=True, notice=ends.said.append)
    libraries = Libraries(
        layouts,
        cast("Pipeline", ends),
        cast("Recording", ends),
        sees_hellos=sees_hellos,
        problem=ends.said.append,
        debug=ends.debug.append,
    )
    return Bench(ends, layouts, libraries)


def meta_of(library: Library, *, trusted: bool) -> Meta:
    secrets = secret_places(library.layout)
    return Meta(library=1, name=library.name, path=library.path, layout=secrets, trusted=trusted)


def test_a_layout_of_the_tables_is_watched_where_that_is_possible() -> None:
    for sees_hellos in (True, False):
        made = bench(sees_hellos=sees_hellos)
        made.libraries.attached(LIBRARY)
        assert made.ends.added == [(1, SECRETS, not sees_hellos)]
        assert made.ends.metas == [meta_of(LIBRARY, trusted=not sees_hellos)]


def test_without_secrets_there_is_nothing_to_trust() -> None:
    made = bench()
    made.libraries.attached(replace(LIBRARY, layout=None))
    assert made.ends.metas == [Meta(library=1, name=LIBRARY.name, path=LIBRARY.path)]


def test_a_layout_that_was_right_is_trusted_and_stays() -> None:
    """What the ring holds was made with it."""
    made = bench(LIBRARY)
    made.settle(Settled(LIBRARY, SAME))
    assert made.ends.added == [(1, SECRETS, True)]
    assert made.ends.metas == [meta_of(LIBRARY, trusted=True)]
    assert (made.ends.relaid, made.ends.said) == ([], [])
    assert made.ends.debug == ["OpenSSL 3.0.13: layout confirmed by calibration"]


def test_another_layout_is_in_force_and_told() -> None:
    made = bench(LIBRARY)
    made.settle(Settled(LIBRARY, OTHER))
    assert made.ends.relaid == [OTHER]
    assert made.ends.added == [(1, SECRETS, True)]
    assert made.ends.metas == [meta_of(made.ends.libraries[0], trusted=True)]
    assert made.ends.said == [
        "OpenSSL 3.0.13: not built as its version says (session): the layout found by calibration is used"
    ]


def test_secrets_elsewhere_in_the_same_block_are_another_layout() -> None:
    """The programs know only where the block is."""
    swapped = {"handshake_secret": TABLE.layout.master_secret, "master_secret": TABLE.layout.handshake_secret}
    other = KnownLayout(
        layout=msgspec.structs.replace(TABLE.layout, **swapped), origin=Origin.CALIBRATION, label="calibrated"
    )
    made = bench(LIBRARY)
    made.settle(Settled(LIBRARY, other))
    assert made.ends.relaid == [other]


def test_a_layout_where_there_was_none() -> None:
    unknown = replace(LIBRARY, layout=None)
    made = bench(unknown)
    made.settle(Settled(unknown, SAME))
    assert made.ends.relaid == [SAME]
    assert made.ends.said == []


def test_calibration_that_did_not_help() -> None:
    unknown = replace(LIBRARY, layout=None)
    made = bench(unknown)
    made.settle(Settled(unknown, None, "it crashed"))
    assert made.ends.debug == ["it crashed"]
    assert made.ends.said == [
        "OpenSSL 3.0.13: the layout of its structs is not known: no keys, and addresses only by its system calls"
    ]
    assert made.ends.relaid == []


def test_an_answer_waits_for_its_library() -> None:
    made = bench()
    made.settle(Settled(LIBRARY, OTHER))
    assert made.ends.added == []
    made.ends.libraries.append(LIBRARY)
    made.settle()
    assert made.ends.relaid == [OTHER]


def test_an_answer_for_a_library_that_was_refused() -> None:
    """Its number is another one's."""
    another = replace(LIBRARY, name="another", layout=KnownLayout(layout=Layout(), origin=Origin.TABLE, label="1"))
    made = bench(another)
    made.settle(Settled(LIBRARY, OTHER))
    made.settle()
    assert (made.ends.added, made.ends.relaid) == ([], [])
