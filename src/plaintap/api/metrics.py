# SPDX-License-Identifier: Apache-2.0
"""Prometheus' text format (version 0.0.4) of what modules count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COUNTERS = {
    "processes": "Processes captured.",
    "connections": "TLS connections captured.",
    "exchanges": "HTTP exchanges shown.",
    "bytes": "Plaintext bytes captured.",
}


def metrics(status: Mapping[str, Any]) -> str:
    """Of `ModuleHost.status`."""
    return "".join(f"{line}\n" for line in _lines(status["modules"], status["uptime_s"]))


def _lines(modules: Sequence[Mapping[str, Any]], uptime_s: float) -> Iterator[str]:
    yield from _head("plaintap_uptime_seconds", "Since the process began to capture.", "gauge")
    yield f"plaintap_uptime_seconds {uptime_s}"
    yield from _head("plaintap_module_running", "Whether the module captures.", "gauge")
    for module in modules:
        yield f'plaintap_module_running{{module="{module["module"]}"}} {int(module["state"] == "run")}'
    for name, what in _COUNTERS.items():
        yield from _head(f"plaintap_{name}_total", what, "counter")
        for module in modules:
            yield f'plaintap_{name}_total{{module="{module["module"]}"}} {module[name]}'
    yield from _head("plaintap_lost_total", "What was lost, by where.", "counter")
    for module in modules:
        for where, number in module["losses"].items():
            yield f'plaintap_lost_total{{module="{module["module"]}",where="{where}"}} {number}'


def _head(name: str, what: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"
