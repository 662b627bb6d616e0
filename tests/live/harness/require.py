# SPDX-License-Identifier: Apache-2.0
"""The only way for a live test to be skipped; under PLAINTAP_REQUIRE_LIVE=1 a failure instead."""

from __future__ import annotations

import os
import shutil

import pytest


def require(condition: object, why: str) -> None:
    """Skips the test, saying why, unless `condition` holds."""
    if condition:
        return
    if os.environ.get("PLAINTAP_REQUIRE_LIVE") == "1":
        pytest.fail(f"cannot run here, and PLAINTAP_REQUIRE_LIVE=1 asks for it: {why}", pytrace=False)
    pytest.skip(why)


def require_command(name: str) -> str:
    """The path of a program of this host."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    require(path, f"this host has no {name}")
    assert path
    return path
