# SPDX-License-Identifier: Apache-2.0
"""What a benchmark yields: figures with what they must reach and should reach, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

MISSED = "MISSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What must be reached and what should be; both included."""

    must: float
    aim: float
    better: Literal["more", "less"]

    def verdict(self, value: float) -> str:
        """`aim`, `must` or `MISSED`."""
        for name, bound in (("aim", self.aim), ("must", self.must)):
            if value >= bound if self.better == "more" else value <= bound:
                return name
        return MISSED


def at_least(must: float, aim: float) -> Goal:
    return Goal(must=must, aim=aim, better="more")


def at_most(must: float, aim: float) -> Goal:
    return Goal(must=must, aim=aim, better="less")


NONE_LOST = at_most(0, 0)


@dataclass(slots=True, kw_only=True)
class Figure:
    """One line of the table. `value` is the median of `samples` unless the measurement says otherwise."""

    what: str
    unit: str
    value: float | None
    goal: Goal | None = None
    samples: list[float] = field(default_factory=list)
    note: str = ""
    """How it was come by, or why there is no value."""

    @property
    def verdict(self) -> str:
        """`-` where nothing was asked, `not measured` where there is no value."""
        if self.value is None:
            return "not measured"
        return self.goal.verdict(self.value) if self.goal else "-"


def median_of(samples: Sequence[float], *, what: str, unit: str, goal: Goal | None = None, note: str = "") -> Figure:
    """A figure from repeated measurements."""
    value = statistics.median(samples) if samples else None
    return Figure(what=what, unit=unit, value=value, goal=goal, samples=list(samples), note=note)


def not_measured(what: str, why: str, *, goal: Goal | None = None) -> Figure:
    """A line that says why it is empty."""
    return Figure(what=what, unit="", value=None, goal=goal, note=why)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def table(figures: Sequence[Figure]) -> str:
    """The table, with the notes below it."""
    rows = [("what", "must", "aim", "measured", "ok?")]
    notes = []
    for figure in figures:
        sign = "" if figure.goal is None else ">= " if figure.goal.better == "more" else "<= "
        must, aim = (figure.goal.must, figure.goal.aim) if figure.goal else (None, None)
        mark = ""
        if figure.note:
            notes.append(figure.note)
            mark = f" [{len(notes)}]"
        rows.append(
            (
                figure.what + mark,
                sign + _number(must),
                sign + _number(aim),
                f"{_number(figure.value)} {figure.unit}".strip(),
                figure.verdict,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines += [""] + [f"[{number}] {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines)


def as_json(figure: Figure) -> dict[str, object]:
    """A figure as it is stored."""
    return asdict(figure) | {"verdict": figure.verdict}
