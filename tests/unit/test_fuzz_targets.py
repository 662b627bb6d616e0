# SPDX-License-Identifier: Apache-2.0
"""Every fuzz target for a moment: on its seeds, whole, cut and with bytes changed. `make fuzz` goes on for longer."""

from __future__ import annotations

import importlib
import random
from pathlib import Path

import pytest

TARGETS = sorted(path.stem for path in (Path(__file__).resolve().parent.parent / "fuzz").glob("fuzz_*.py"))
CHANGED_PER_SEED = 20


def test_there_are_targets() -> None:
    assert TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str) -> None:
    target = importlib.import_module(name)
    chance = random.Random(1)  # noqa: S311 - the same changes each time
    assert target.SEEDS
    for seed in target.SEEDS:
        target.one(seed)
        target.one(seed[: len(seed) // 2])
        for _ in range(CHANGED_PER_SEED if len(seed) < 1 << 16 else 1):
            changed = bytearray(seed)
            for _ in range(chance.randint(1, 8)):
                if changed:
                    changed[chance.randrange(len(changed))] = chance.randrange(256)
            target.one(bytes(changed))
