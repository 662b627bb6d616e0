# SPDX-License-Identifier: Apache-2.0
"""A host of modules that only remembers what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from plaintap.config import CommonConfig, ModuleConfig
from plaintap.errors import PlaintapError


class FakeHost:
    """`refuses` is raised by the next change."""

    def __init__(self, common: CommonConfig | None = None) -> None:
        self.common = common or CommonConfig()
        self.changes: list[tuple[str, CommonConfig, ModuleConfig]] = []
        self.closed: list[str] = []
        self.refuses: PlaintapError | None = None

    def change(self, name: str, common: CommonConfig, config: ModuleConfig) -> None:
        if self.refuses:
            raise self.refuses
        self.changes.append((name, common, config))

    def close_module(self, name: str) -> bool:
        self.closed.append(name)
        return any(name == changed for changed, *_ in self.changes)

    def status(self) -> dict[str, Any]:
        modules = [
            {
                "module": name,
                "state": "run",
                "targets": [],
                "processes": 1,
                "connections": 2,
                "exchanges": 3,
                "bytes": 4,
                "losses": {"ring_full_bytes": 5},
            }
            for name, *_ in self.changes
        ]
        return {"uptime_s": 1.5, "pid": 7, "modules": modules}

    def configuration(self, name: str) -> Mapping[str, Any] | None:
        for changed, common, config in reversed(self.changes):
            if changed == name:
                return {**asdict(common), **asdict(config)}
        return None
