# SPDX-License-Identifier: Apache-2.0
"""What is told of each attached library, and when the layout that calibration found comes into force.

Which layout a library begins with, and calibration itself, is layouts.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from plaintap.events import Meta
from plaintap.modules.probes import layout_bytes, secret_places
from plaintap.session.layouts import explain_difference, explain_layout
from plaintap.targets.layouts.model import Origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from plaintap.modules.attacher import Attacher, Library
    from plaintap.session.layouts import Layouts, Settled
    from plaintap.session.pipeline import Pipeline
    from plaintap.session.recording import Recording
    from plaintap.targets.layouts.model import KnownLayout


class Libraries:
    """Tells the pipeline and the recording. `attached` may be called from another thread than the rest."""

    def __init__(
        self,
        layouts: Layouts,
        pipeline: Pipeline,
        recording: Recording,
        *,
        sees_hellos: bool,
        problem: Callable[[str], None],
        debug: Callable[[str], None],
    ) -> None:
        """With `sees_hellos` a layout of the tables is not trusted; `problem` is told what is wrong with one."""
        self._layouts = layouts
        self._pipeline = pipeline
        self._recording = recording
        self._sees_hellos = sees_hellos
        self._problem = problem
        self._debug = debug

    def attached(self, library: Library) -> None:
        """A library is about to get its first probe."""
        self._tell(library)
        self._layouts.attached(library)

    def _tell(self, library: Library) -> None:
        calibrated = library.layout is not None and library.layout.origin is Origin.CALIBRATION
        self._add(library, trusted=calibrated or library.logs_keys or not self._sees_hellos)

    def _add(self, library: Library, *, trusted: bool) -> None:
        secrets = secret_places(library.layout)
        self._pipeline.add_library(
            library.number, library.name, tells_ends=library.tells_ends, secrets=secrets, trusted=trusted
        )
        said = Meta(library=library.number, name=library.name, path=library.path)
        self._recording.meta(replace(said, layout=secrets, trusted=trusted) if secrets else said)

    def settle(self, attacher: Attacher) -> None:
        """What calibration found since the last time is in force from here on."""
        for settled in self._layouts.take_settled():
            attached = attacher.libraries
            number = settled.library.number
            if number > len(attached):
                self._layouts.put_back(settled)  # its probes are not in place yet
            elif attached[number - 1] == settled.library:
                self._settle(settled, attacher)

    def _settle(self, settled: Settled, attacher: Attacher) -> None:
        library, found, why_not = settled
        if found is None:
            self._debug(why_not)
            problem = explain_layout(library.name, library.layout)
        elif _is_same(library.layout, found):
            problem = ""
            self._add(library, trusted=True)  # the records in the ring were made with it, too
            self._debug(f"{library.name}: layout confirmed by calibration")
        else:
            problem = explain_difference(library.name, library.layout, found)
            self._tell(attacher.relayout(library.number, found))
            self._debug(f"{library.name}: layout found by calibration")
        if problem:
            self._problem(problem)


def _is_same(before: KnownLayout | None, found: KnownLayout) -> bool:
    """Whether it makes no difference to the programs, nor to who reads their records."""
    return layout_bytes(before) == layout_bytes(found) and secret_places(before) == secret_places(found)
