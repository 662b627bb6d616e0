# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from plaintap.runtime.interfaces import IFLA_IFNAME, LINK, LINKTYPE_ETHERNET, LINKTYPE_RAW, Interface, interface
from plaintap.runtime.netlink import attribute, attributes


@pytest.mark.parametrize(
    ("kind", "flags", "expected"),
    [
        (1, 1, (LINKTYPE_ETHERNET, True, False)),
        (1, 0, (LINKTYPE_ETHERNET, False, False)),
        (772, 9, (LINKTYPE_ETHERNET, True, True)),
        (0xFFFE, 1, (LINKTYPE_RAW, True, False)),
        (803, 1, (None, True, False)),
    ],
)
def test_what_an_answer_says(kind: int, flags: int, expected: tuple[int | None, bool, bool]) -> None:
    body = LINK.pack(0, kind, 7, flags, 0) + attribute(4, b"\1\2\3\4") + attribute(IFLA_IFNAME, b"eth0\0")
    assert interface(body) == Interface(7, "eth0", *expected)


def test_attributes_that_end_early_are_left_out() -> None:
    data = attribute(1, b"a") + attribute(2, b"bcde")
    assert attributes(data) == {1: b"a", 2: b"bcde"}
    assert attributes(data[:9]) == {1: b"a"}
    assert attributes(b"\0" * 8) == {}
