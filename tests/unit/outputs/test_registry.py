# SPDX-License-Identifier: Apache-2.0
"""Forms by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plaintap.errors import UsageError
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.registry import FORMATS, make_formatter


@pytest.mark.parametrize("name", FORMATS)
def test_every_form_can_be_made(name: str, make_exchange: Callable[..., Any]) -> None:
    text = make_formatter(name, FormatOptions()).format(make_exchange())
    assert text == "" if name == "none" else text.endswith("\n")


def test_unknown_form() -> None:
    with pytest.raises(UsageError, match=r"^unknown format 'ecaptur'$") as caught:
        make_formatter("ecaptur", FormatOptions())
    assert caught.value.hint == "did you mean ecapture?"
    with pytest.raises(UsageError) as caught:
        make_formatter("yaml", FormatOptions())
    assert caught.value.hint == "one of text, ecapture, none"
