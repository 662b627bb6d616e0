# SPDX-License-Identifier: Apache-2.0
"""Chooses the functions to probe for reading and for writing: as few as see every byte once.

The names and signatures come from openssl.py; reading code is targets' business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plaintap.modules.base import NotHookable, Point
from plaintap.modules.points import call_points
from plaintap.targets.attachpoints import Wrappers
from plaintap.targets.elfsymbols import Symbol

if TYPE_CHECKING:
    from plaintap.targets.attachpoints import Form
    from plaintap.targets.x86 import Decoder

CALL_PROGRAMS: Final = ("pt_call_enter", "pt_call_return")


class Direction:
    """The forms of reading or of writing, and the internal function behind them, found or by its symbol."""

    def __init__(
        self, decoder: Decoder, internal_name: str, *, write: bool, named: Symbol | None, named_done: int
    ) -> None:
        """`named` is the internal function where it has a symbol, `named_done` its argument for the count."""
        self._decoder = decoder
        self._internal_name = internal_name
        self._write = write
        self._named = named
        self._named_done = named_done
        self._probed: dict[int, str] = {}
        self._points: list[Point] = []

    def points(self, forms: list[Form], early: list[Form]) -> list[Point]:
        """Raises NotHookable where one of them has no usable code."""
        wrappers = Wrappers(self._decoder, forms)
        behind = wrappers.function_behind()
        if behind is not None:
            callee, names = behind
            function = Symbol(self._internal_name, callee.vaddr, 0, 0)
            self._add(function, callee.done_argument, reason=f"called by {' and '.join(names)}")
            self._probed |= {form.symbol.vaddr: form.symbol.name for form in forms if form.symbol.name in names}
        elif self._named is not None:
            reason = "called by the library's own BIO, and inlined into the public functions"
            self._add(self._named, self._named_done, reason=reason)
        for form in (*forms, *early):
            symbol = form.symbol
            if symbol.vaddr in self._probed:
                continue
            if wrappers.reaches(form, self._probed) is None:
                reason = "nothing agreed on behind it" if form in forms else "does its own work"
                self._add(symbol, form.done_argument, reason=reason)
            self._probed[symbol.vaddr] = symbol.name
        return self._points

    def _add(self, function: Symbol, done_argument: int, *, reason: str) -> None:
        points = call_points(
            self._decoder,
            CALL_PROGRAMS,
            function,
            arguments=max(done_argument, 3),
            reason=reason,
            write=self._write,
            done_argument=done_argument,
        )
        if not points:
            raise NotHookable(
                f"{self._decoder.elf.name}: seen, not hookable, "
                f"because there is no usable code at {function.vaddr:#x} ({function.name})"
            )
        self._points += points
        self._probed[function.vaddr] = function.name
