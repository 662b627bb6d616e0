# SPDX-License-Identifier: Apache-2.0
"""What can be said of a translation without a kernel; that it does the same is tests/live/test_packet_filters.py's."""

from __future__ import annotations

import pytest

from plaintap.errors import UsageError
from plaintap.runtime.classic_bpf import INSTRUCTION, MOST_INSTRUCTIONS, Classic, translate

ACCEPT = Classic(0x06, 0, 0, 0x40000)
REJECT = Classic(0x06, 0, 0, 0)
IS_IPV4 = [Classic(0x28, 0, 0, 12), Classic(0x15, 0, 1, 0x800), ACCEPT, REJECT]


def test_every_jump_lands_inside() -> None:
    code = list(INSTRUCTION.iter_unpack(translate(IS_IPV4, ethernet=True)))
    jumps = [
        (at, offset)
        for at, (code_, _, offset, _) in enumerate(code)
        if code_ & 7 in (5, 6) and code_ not in (0x85, 0x95)
    ]
    assert jumps
    assert all(at < at + 1 + offset < len(code) for at, offset in jumps)
    assert code[-1][0] == 0x95


def test_a_tail_call_names_its_map() -> None:
    code = list(INSTRUCTION.iter_unpack(translate([ACCEPT], ethernet=False, tail_call=(7, 3))))
    (load,) = [instruction for instruction in code if instruction[0] == 0x18]
    assert load == (0x18, 2 | 1 << 4, 0, 7)


@pytest.mark.parametrize(
    ("classic", "message"),
    [
        ([ACCEPT] * (MOST_INSTRUCTIONS + 1), "the packet filter is too long: 4001 instructions, at most 4000"),
        ([Classic(0x05, 0, 0, 0xFFFFFFFF), ACCEPT], "the packet filter has a loop"),
    ],
)
def test_what_is_refused(classic: list[Classic], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        translate(classic, ethernet=True)
