# SPDX-License-Identifier: Apache-2.0
"""What Python packs into a cookie is what the macros of calls.h take out of it."""

from __future__ import annotations

import re

import pytest
from wire_header import INCLUDE

from plaintap.modules.cookies import LIBRARIES_MAX, pack_cookie, pack_go_cookie
from plaintap.targets.golang.spots import GoSpot

CALLS = (INCLUDE / "calls.h").read_text() + (INCLUDE / "golang.h").read_text()


def taken_apart(cookie: int) -> tuple[int, int, int]:
    """Library, write, done argument, by the macros as they stand in the header."""
    return tuple(_evaluate(name, cookie) for name in ("LIBRARY", "WRITE", "DONE_ARGUMENT"))  # type: ignore[return-value]


def _evaluate(name: str, cookie: int) -> int:
    found = re.search(rf"#define COOKIE_{name}\(cookie\) (.*?)(?:\s*/\*.*)?$", CALLS, re.MULTILINE)
    assert found, name
    body = found[1]
    if body == "((__u16)(cookie))":
        return cookie & 0xFFFF
    if cast := re.fullmatch(r"\(\(__u(\d+)\)\(\(cookie\) >> (\d+)\)\)", body):
        return cookie >> int(cast[2]) & (1 << int(cast[1])) - 1
    shifted = re.fullmatch(r"\(\(\(cookie\) >> (\d+)\) & (\d+)\)", body)
    assert shifted, f"this test does not know how to read {body}"
    return cookie >> int(shifted[1]) & int(shifted[2])


@pytest.mark.parametrize("library", [1, 2, 255, 256, LIBRARIES_MAX])
@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("done_argument", [0, 4, 5])
def test_the_macros_take_out_what_was_put_in(library: int, write: bool, done_argument: int) -> None:
    cookie = pack_cookie(library=library, write=write, done_argument=done_argument)
    assert taken_apart(cookie) == (library, write, done_argument)


def test_a_plain_library_number_is_its_own_cookie() -> None:
    """Where a session ends there is nothing else to say."""
    assert pack_cookie(library=LIBRARIES_MAX) == LIBRARIES_MAX
    assert taken_apart(LIBRARIES_MAX) == (LIBRARIES_MAX, 0, 0)


GO_FIELDS = ("LIBRARY", "WRITE", "STACK_ABI", "FOREIGN", "INDIRECT")


@pytest.mark.parametrize(
    "spot",
    [
        GoSpot(0x5AACA0),
        GoSpot(0x1_5AAC_A0FF, stack_abi=True, foreign=True, indirect=True, spilled=True, n=10, plus=128, sp_words=25),
        GoSpot(0, n=255, plus=255, sp_words=65535),
    ],
)
@pytest.mark.parametrize("write", [False, True])
def test_what_a_place_in_go_tells(spot: GoSpot, write: bool) -> None:
    said = [LIBRARIES_MAX, write, spot.stack_abi, spot.foreign, spot.indirect]
    entry = pack_go_cookie(spot, library=LIBRARIES_MAX, write=write, leaves=False)
    assert [_evaluate(name, entry) for name in (*GO_FIELDS, "VADDR")] == [*said, spot.vaddr & 0xFFFFFFFF]
    exit_ = pack_go_cookie(spot, library=LIBRARIES_MAX, write=write, leaves=True)
    told = [_evaluate(name, exit_) for name in (*GO_FIELDS, "SPILLED", "COUNT", "PLUS", "SP_WORDS")]
    assert told == [*said, spot.spilled, spot.n, spot.plus, spot.sp_words]
    assert max(entry, exit_) < 1 << 64
