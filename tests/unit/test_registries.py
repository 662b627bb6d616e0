# SPDX-License-Identifier: Apache-2.0
"""Names that stand in config.py and in a stage's registry are the same: config can import no stage."""

from __future__ import annotations

from plaintap.config import MODULES, all_options
from plaintap.modules.registry import MODULES as CAPTURE_MODULES
from plaintap.outputs.registry import FORMATS
from plaintap.protocols.registry import ENTRIES


def choices(path: str) -> tuple[str, ...]:
    (found,) = [option.choices for option in all_options() if option.path == path]
    return found


def words(path: str) -> set[str]:
    (found,) = [option.flag.words for option in all_options() if option.path == path]
    return set(found)


def test_formats() -> None:
    assert words("format") == {f"{name}:" if form.has_end else name for name, form in FORMATS.items()}


def test_protocols() -> None:
    assert words("protocol") == ENTRIES.keys()


def test_modules() -> None:
    assert set(choices("all.modules")) == CAPTURE_MODULES.keys()
    assert MODULES.keys() == CAPTURE_MODULES.keys()
    assert {name: model.section for name, model in MODULES.items()} == {name: name for name in MODULES}
