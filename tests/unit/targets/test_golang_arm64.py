# SPDX-License-Identifier: Apache-2.0
"""Go's functions on 64-bit ARM: where calls are seen, and whether their arguments are still there at the return."""

from __future__ import annotations

import pytest

from plaintap.targets.golang import arm64
from plaintap.targets.golang.spots import RESULT_REGISTER

STACK_CHECK = (0xF9400B90, 0xEB3063FF, 0x54001AA9)  # ldr x16, [x28, #16]; cmp sp, x16; b.ls
FRAME = 0xF8190FFE  # str x30, [sp, #-112]!
FRAME_BY_SUBTRACTION = 0xD101C3FF  # sub sp, sp, #112
KEEPS_0, KEEPS_1, KEEPS_2 = 0xF9003FE0, 0xF90043E1, 0xF90047E2  # str x0, [sp, #120], ...
KEEPS_0_AND_1 = 0xA90787E0  # stp x0, x1, [sp, #120]
CALL, RET = 0x940001EE, 0xD65F03C0


@pytest.mark.parametrize(
    ("frame", "stores"),
    [
        (FRAME, (KEEPS_0, KEEPS_2, KEEPS_1)),
        (FRAME_BY_SUBTRACTION, (KEEPS_0, KEEPS_1, KEEPS_2)),
        (FRAME, (KEEPS_0_AND_1, KEEPS_2)),
    ],
)
def test_arguments_kept(frame: int, stores: tuple[int, ...]) -> None:
    """As Go 1.24 begins crypto/tls.(*Conn).Read, and in other words."""
    body = (*STACK_CHECK, frame, *stores, CALL, RET)
    assert arm64.keeps_arguments(body)
    (exit_,) = arm64.find_exits(0x1000, body, stack_abi=False)
    assert (exit_.spot.vaddr, exit_.spot.n, exit_.spot.spilled) == (
        0x1000 + 4 * (len(body) - 1),
        RESULT_REGISTER,
        True,
    )


@pytest.mark.parametrize(
    "stores",
    [(), (KEEPS_0, KEEPS_1), (KEEPS_0, KEEPS_1, CALL, KEEPS_2), (KEEPS_0, KEEPS_1, 0xF9004BE2)],
    ids=["none", "two", "behind a call", "elsewhere"],
)
def test_arguments_not_kept(stores: tuple[int, ...]) -> None:
    body = (*STACK_CHECK, FRAME, *stores, RET)
    assert not arm64.keeps_arguments(body)
    (exit_,) = arm64.find_exits(0x1000, body, stack_abi=False)
    assert not exit_.spot.spilled


def test_arguments_of_the_stack_abi() -> None:
    """They are on the stack all the while."""
    (exit_,) = arm64.find_exits(0x1000, (FRAME, RET), stack_abi=True)
    assert exit_.spot.spilled
