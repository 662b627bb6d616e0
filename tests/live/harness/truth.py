# SPDX-License-Identifier: Apache-2.0
"""What peers say of themselves: the lines that programs print, as values. Looks at no capture."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Digest:
    """The bytes of one direction, by count and SHA-256."""

    count: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Digest:
        return cls(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True)
class Truth:
    """One end of one TLS connection, as the process at this end saw it."""

    pid: int
    local: Address | None
    remote: Address | None
    read: Digest
    written: Digest
    ssl: int | None = None

    def other_end(self, pid: int) -> Truth:
        """What the process at the other end must have seen, if it is `pid`."""
        return Truth(pid, self.remote, self.local, self.written, self.read)


def parse(output: bytes) -> list[Truth]:
    """Every report in a program's output; other lines are not looked at."""
    reports = [json.loads(line) for line in output.splitlines() if line.startswith(b'{"pid"')]
    return [_truth(report) for report in reports]


def _truth(report: dict[str, Any]) -> Truth:
    return Truth(
        pid=report["pid"],
        local=_address(report.get("local")),
        remote=_address(report.get("remote")),
        read=Digest(*report["read"]),
        written=Digest(*report["written"]),
        ssl=report.get("ssl"),
    )


def _address(words: list[Any] | None) -> Address | None:
    return (str(words[0]), int(words[1])) if words else None
