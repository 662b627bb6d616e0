# SPDX-License-Identifier: Apache-2.0
"""A pytest plug-in that writes docs/matrix.md: every live test as a row, with where and when it ran.

`make matrix` loads it with `-p matrix_report`. It reports what pytest saw and decides nothing.
"""

from __future__ import annotations

import os
import platform
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "matrix.md"


@dataclass(slots=True)
class Row:
    """One test: its result is the worst of set-up, call and tear-down."""

    file: str
    name: str
    result: str = "passed"
    duration_s: float = 0.0


rows: dict[str, Row] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    file, _, name = report.nodeid.partition("::")
    row = rows.setdefault(report.nodeid, Row(file, name))
    row.duration_s += report.duration
    if report.failed:
        row.result = "**failed**"
    elif report.skipped and row.result == "passed":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        row.result = "left out: " + reason.removeprefix("Skipped: ")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not rows:
        return
    titles = {item.nodeid.partition("::")[0]: _title(item) for item in session.items}
    PAGE.write_text("\n".join(_page(titles)) + "\n")
    # Written as root, it still belongs to whose tree it is.
    owner = PAGE.parent.stat()
    os.chown(PAGE, owner.st_uid, owner.st_gid)


def _title(item: pytest.Item) -> str:
    module = item.getparent(pytest.Module)
    text = (module.obj.__doc__ or "") if module else ""
    return text.strip().split("\n", 1)[0]


def _page(titles: dict[str, str]) -> list[str]:
    results = [row.result for row in rows.values()]
    passed, failed = results.count("passed"), results.count("**failed**")
    counts = f"{passed} passed, {failed} failed, {len(results) - passed - failed} left out"
    host = [
        f"Linux {platform.release().partition('-')[0]} {platform.machine()}",
        _distribution(),
        f"Python {platform.python_version()}",
        ssl.OPENSSL_VERSION,
        f"{os.cpu_count()} CPUs",
    ]
    lines = [
        "# Matrix",
        "",
        f"Written by `make matrix` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {counts}.",
        "",
        ", ".join(host) + ".",
    ]
    file = ""
    for row in rows.values():
        if row.file != file:
            file = row.file
            lines += ["", f"## {file}", "", titles.get(file, ""), "", "| row | result | seconds |", "|---|---|---|"]
        name = row.name.replace("|", "\\|")
        lines.append(f"| {name} | {row.result.replace('|', '/')} | {row.duration_s:.1f} |")
    return lines


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "unknown distribution"
