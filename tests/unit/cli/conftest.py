# SPDX-License-Identifier: Apache-2.0
"""The command line as a fixture, kept from this host's own configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cli import Cli, FakeSession

from plaintap.cli import sources


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr(sources, "SYSTEM_FILE", tmp_path / "etc" / "config.toml")
    return Cli(capsys, FakeSession(), {"HOME": str(tmp_path / "home")})
