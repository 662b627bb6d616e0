# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from plaintap.runtime.clsact import INGRESS, MESSAGE, TCA_BPF_NAME, TCA_KIND, TCA_OPTIONS, tc_filter
from plaintap.runtime.netlink import NESTED, attribute


def answer(handle: int, kind: bytes, name: bytes) -> bytes:
    options = attribute(TCA_BPF_NAME, name + b"\0") if name else b""
    head = MESSAGE.pack(0, 7, handle, INGRESS, 0xC0000300)
    return head + attribute(TCA_KIND, kind) + attribute(TCA_OPTIONS | NESTED, options)


@pytest.mark.parametrize(
    ("name", "pid"),
    [
        (b"plaintap-611", 611),
        (b"plaintap-", None),
        (b"plaintap-6x", None),
        (b"611", None),
        (b"cilium", None),
        (b"", None),
    ],
)
def test_whose_a_filter_is(name: bytes, pid: int | None) -> None:
    found = tc_filter(answer(1, b"bpf\0", name))
    assert found
    assert (found.handle, found.parent, found.info, found.pid) == (1, INGRESS, 0xC0000300, pid)


def test_the_head_of_a_chain_is_no_filter() -> None:
    assert tc_filter(answer(0, b"bpf\0", b"plaintap-611")) is None
