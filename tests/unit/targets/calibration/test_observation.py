# SPDX-License-Identifier: Apache-2.0
"""The answer of a child that runs a stranger's code: what is not of the form is refused, words shown safely."""

from __future__ import annotations

import msgspec
import pytest
from library_model import LibraryModel
from msgspec import structs

from plaintap.errors import TargetError
from plaintap.targets.calibration.observation import Pointed, decode, printable

GOOD = LibraryModel().observation()


def test_answer_comes_back_as_it_was() -> None:
    assert decode(msgspec.json.encode(GOOD)) == GOOD


@pytest.mark.parametrize(
    "answer",
    [b"", b"garbage", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"error": 1}', b"1" * 5000],
)
def test_garbage_makes_no_sense(answer: bytes) -> None:
    with pytest.raises(TargetError, match="^its answer makes no sense$"):
        decode(answer)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ends": GOOD.ends[:3]},
        {"ends": GOOD.ends * 3},
        {"bios": []},
        {"roles": GOOD.roles[:2]},
        {"references": [bytes(8193)]},
        {"quic_type": -1},
        {"fresh_version": 1 << 31},
        {"ends": [structs.replace(end, rbio=-1) for end in GOOD.ends]},
        {"ends": [structs.replace(end, version=1 << 16) for end in GOOD.ends]},
        {"ends": [structs.replace(end, pointed=[Pointed(offset=1024, data=b"")]) for end in GOOD.ends]},
        {"ends": [structs.replace(end, pointed=[Pointed(offset=0, data=bytes(2049))]) for end in GOOD.ends]},
        {"ends": [structs.replace(end, pointed=[Pointed(offset=0, data=b"")] * 129) for end in GOOD.ends]},
        {"ends": [structs.replace(end, wires=[end.wires[0][:42], end.wires[1]]) for end in GOOD.ends]},
        {"ends": [structs.replace(end, keylog={str(line): "" for line in range(33)}) for end in GOOD.ends]},
    ],
)
def test_values_out_of_range_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(TargetError, match="^its answer makes no sense$"):
        decode(msgspec.json.encode(structs.replace(GOOD, **wrong)))


def test_reason_of_the_child() -> None:
    with pytest.raises(TargetError, match="^it has no SSL_new$"):
        decode(b'{"error": "it has no SSL_new"}')


def test_reason_does_not_reach_the_terminal_raw() -> None:
    with pytest.raises(TargetError) as raised:
        decode(b'{"error": "\\u001b]0;mine\\u0007\\nsecond line"}')
    assert raised.value.message == "?]0;mine??second line"


def test_long_reason_is_cut() -> None:
    assert printable("x" * 300) == "x" * 200 + "…"
    assert printable("x" * 200) == "x" * 200
