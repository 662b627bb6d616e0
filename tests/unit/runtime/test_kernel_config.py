# SPDX-License-Identifier: Apache-2.0
"""What the programs are told and what they count is what Python packs and reads."""

from __future__ import annotations

import pytest
from wire_header import Header

from plaintap.events import CHUNK_MAX_BYTES
from plaintap.modules.cookies import LIBRARIES_MAX
from plaintap.runtime import counters, open_sessions
from plaintap.runtime.kernel_config import CEILING_CHUNKS, CONFIG, Filters, Wanted, pack_config

KERNEL = Header("wire.h", "config.h")
SESSIONS = Header("wire.h", "socket.h", "session.h")


def unpack(filters: Filters, wanted: Wanted | None = None) -> dict[str, object]:
    raw = pack_config(filters, wanted or Wanted(), self_tgid=42, ring_bytes=1 << 20)
    fields = KERNEL.structs["pt_config"].fields
    return {name: raw[field.offset : field.offset + field.size * field.count] for name, field in fields.items()}


def number(raw: object) -> int:
    assert isinstance(raw, bytes)
    return int.from_bytes(raw, "little")


def test_the_struct_is_as_long_as_the_kernel_expects() -> None:
    assert KERNEL.structs["pt_config"].size == CONFIG.size


def test_no_filter_means_everybody_but_ourselves() -> None:
    values = unpack(Filters())
    assert number(values["self_tgid"]) == 42
    assert number(values["wake_bytes"]) == 1 << 18
    assert [number(values[name]) for name in values if name.startswith("filter_")] == [0, 0, 0, 0]


def test_each_filter_sets_its_switch() -> None:
    values = unpack(Filters(pids=(7,), uid=0, comm="nginx", cgroup_path="/sys/fs/cgroup"))
    assert [number(values[name]) for name in values if name.startswith("filter_")] == [1, 1, 1, 1]
    assert number(values["uid"]) == 0
    assert values["comm"] == b"nginx".ljust(16, b"\0")


def test_followers_are_found_by_pid() -> None:
    assert number(unpack(Filters(follow=True))["filter_pid"]) == 1


@pytest.mark.parametrize("plaintext", [False, True])
@pytest.mark.parametrize("secrets", [False, True])
def test_what_is_wanted(plaintext: bool, secrets: bool) -> None:
    values = unpack(Filters(), Wanted(plaintext=plaintext, secrets=secrets))
    assert (number(values["plaintext"]), number(values["secrets"])) == (plaintext, secrets)


def test_plaintext_is_wanted_and_secrets_when_asked_for() -> None:
    values = unpack(Filters())
    assert (number(values["plaintext"]), number(values["secrets"])) == (1, 0)


def test_there_is_a_place_for_every_library() -> None:
    assert Header("layout.h").constants["PT_LIBRARIES"] == LIBRARIES_MAX + 1


def test_the_ceiling_is_the_programs_own() -> None:
    assert Header("sending.h").constants["PT_CEILING_CHUNKS"] == CEILING_CHUNKS
    assert CEILING_CHUNKS * CHUNK_MAX_BYTES >= 4 << 20


def test_the_ceiling_of_old_kernels_is_lower_and_their_own() -> None:
    assert Header("sending.h", defined=frozenset({"PT_LESS52"})).constants["PT_CEILING_CHUNKS"] < CEILING_CHUNKS


def test_counters_are_in_the_kernels_order() -> None:
    order = Header("counters.h").enum("pt_counter")
    assert order.pop("PT_COUNTERS") == len(counters.NAMES)
    assert list(order.values()) == list(range(len(counters.NAMES)))
    for ours, theirs in zip(counters.NAMES, order, strict=True):
        assert ours.removeprefix("sessions_") == theirs.removeprefix("PT_").lower()


def test_sessions_are_as_long_as_python_reads_them() -> None:
    assert SESSIONS.structs["session_key"].size == open_sessions.SESSION_KEY_SIZE
    session = SESSIONS.structs["session"]
    assert session.size == open_sessions.SESSION_SIZE
    head = [(field.name, field.offset, field.count) for field in session.fields.values()][:5]
    assert head == [("id", 0, 1), ("offset", 8, 2), ("image", 24, 1), ("uid", 32, 1), ("secrets", 36, 1)]
    assert open_sessions.SESSION_HEAD.format == "<QQQ Q I B"
    assert open_sessions.SESSION_HEAD.size == 37


@pytest.mark.parametrize("name", ["SECRETS_SENT", "SECRETS_NONE", "SECRETS_LOGGED"])
def test_what_is_known_of_secrets_has_the_kernels_bits(name: str) -> None:
    assert getattr(open_sessions, name) == SESSIONS.constants[name]
