# SPDX-License-Identifier: Apache-2.0
"""What the programs are told and what they count is what Python packs and reads."""

from __future__ import annotations

import re

from wire_header import INCLUDE, Header

from plaintap.modules.cookies import LIBRARIES_MAX
from plaintap.runtime.kernel_config import CEILING_CHUNKS, CONFIG, Filters, pack_config

KERNEL = Header("wire.h", "config.h")
CALLS = (INCLUDE / "calls.h").read_text()


def unpack(filters: Filters) -> dict[str, object]:
    raw = pack_config(filters, self_tgid=42, ring_bytes=1 << 20)
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


def test_there_is_a_place_for_every_library() -> None:
    found = re.search(r"#define PT_LIBRARIES (\d+)", CALLS)
    assert found
    assert int(found[1]) == LIBRARIES_MAX + 1


def test_the_ceiling_is_the_programs_own() -> None:
    found = re.search(r"#define PT_CEILING_CHUNKS (\d+)", CALLS)
    assert found
    assert int(found[1]) == CEILING_CHUNKS
