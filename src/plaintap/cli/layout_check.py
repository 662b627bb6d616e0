# SPDX-License-Identifier: Apache-2.0
"""All that is known of the layout of one file: its version, the tables, and what calibration finds in it.

Joins what modules, targets and tables say, as a capture does; the words for it are layouts.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from plaintap.errors import TargetError

if TYPE_CHECKING:
    from plaintap.targets.layouts.model import KnownLayout, Layout


class Check(Struct, frozen=True, kw_only=True):
    """What is known of one file, and what calibration found in it."""

    path: str
    version: str | None
    known: KnownLayout | None
    calibrated: Layout | None
    problem: str | None
    """Why there is no calibration."""
    differences: dict[str, tuple[int, int]]
    """Fields where the table and calibration differ: `(table, calibration)`."""
    nearest: tuple[str, ...]
    """Versions with a layout that are most like this one, which has none."""

    @property
    def good(self) -> bool:
        """There is a layout and nothing speaks against it."""
        return not self.differences and (self.known is not None or self.calibrated is not None)


def check(path: str) -> Check:
    """Everything about one file. Raises TargetError when it is none, or holds no such library."""
    # Here, so that the stages are not imported for --help.
    from plaintap.modules.registry import MODULES  # noqa: PLC0415
    from plaintap.targets.calibration.calibrator import calibrate  # noqa: PLC0415
    from plaintap.targets.elf import ElfFile  # noqa: PLC0415
    from plaintap.targets.layouts.lookup import differences, find_layout, nearest_names  # noqa: PLC0415

    module = MODULES["tls"]
    with ElfFile(path) as elf:
        # A capture's own judgement, so that the two never differ.
        plan = module.plan(elf, path)
    if plan is None:
        raise TargetError(
            f"{path} holds no OpenSSL-family library: it does not define {module.defines}",
            hint="give libssl, or the program it is linked into",
        )
    version = plan.version
    known = find_layout(version) if version else None
    layout, problem = None, None
    try:
        layout = calibrate(path)
    except TargetError as error:
        problem = error.message.removeprefix(f"{path} cannot be calibrated: ")
    return Check(
        path=path,
        version=version,
        known=known,
        calibrated=layout,
        problem=problem,
        differences=differences(known.layout, layout) if known and layout else {},
        nearest=tuple(nearest_names(version)) if version and known is None else (),
    )
