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
    """Of what GET / tells."""
    return "".join(f"{line}\n" for line in _lines(status))


def _lines(status: Mapping[str, Any]) -> Iterator[str]:
    modules: Sequence[Mapping[str, Any]] = status["modules"]
    yield from _head("plaintap_uptime_seconds", "Since the process began to capture.", "gauge")
    yield f"plaintap_uptime_seconds {status['uptime_s']}"
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
    yield from _head("plaintap_event_readers", "Who reads /events.", "gauge")
    yield f"plaintap_event_readers {status['events']['readers']}"
    yield from _head("plaintap_events_dropped_total", "Events that slow readers of /events missed.", "counter")
    yield f"plaintap_events_dropped_total {status['events']['dropped']}"


def _head(name: str, what: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"
