# SPDX-License-Identifier: Apache-2.0
"""Tables of rows, of which `make test` runs some and `make matrix` all."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable

import pytest

Row = tuple[object, ...]


def rows(*columns: Iterable[object], quick: Collection[Row], core: Collection[Row] = ()) -> list[object]:
    """Every combination: those not in `quick` carry the mark `matrix`, those in `core` that and `sockets`."""
    every = list(itertools.product(*columns))
    assert set(core) <= set(quick) <= set(every), "a row that there is not"
    marks = {row: [pytest.mark.core, pytest.mark.sockets] if row in core else [] for row in every}
    marks |= {row: [pytest.mark.matrix] for row in every if row not in quick}
    return [pytest.param(*row, marks=marks[row]) for row in every]
