# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces joined by a pair of devices: this one and one that is made for the test."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from harness.require import require_command

FILTER = ["prio", "7", "protocol", "all", "u32", "match", "u32", "0", "0", "classid", "1:1"]
HERE, THERE = ("10.201.7.1", "fd37:201::1"), ("10.201.7.2", "fd37:201::2")


@dataclass(frozen=True, slots=True)
class Veth:
    """The device on this side, and how to run something on the other."""

    name: str
    namespace: str

    @property
    def other(self) -> str:
        """The device on the other side."""
        return self.name.replace("ptA", "ptB")

    @property
    def inside(self) -> list[str]:
        """Words before a command that is to run on the other side."""
        return [require_command("ip"), "netns", "exec", self.namespace]


def _ip(*words: str) -> None:
    subprocess.run([require_command("ip"), *words], check=True, capture_output=True, timeout=30)


@contextlib.contextmanager
def joined() -> Iterator[Veth]:
    """Addresses of both families are ready at once; all goes with the test."""
    namespace = f"plaintap-{os.getpid()}"
    here, there = f"ptA{os.getpid()}", f"ptB{os.getpid()}"
    _ip("netns", "add", namespace)
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", namespace)
        for address in HERE:
            _ip("address", "add", f"{address}/{64 if ':' in address else 24}", "dev", here, *_at_once(address))
        for address in THERE:
            size = 64 if ":" in address else 24
            _ip("-n", namespace, "address", "add", f"{address}/{size}", "dev", there, *_at_once(address))
        _ip("link", "set", here, "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "link", "set", there, "up")
        yield Veth(here, namespace)
    finally:
        subprocess.run([require_command("ip"), "link", "delete", here], check=False, capture_output=True)
        _ip("netns", "delete", namespace)


def filters_of(device: str) -> str:
    """Disciplines and filters, as tc tells."""
    filters = [["filter", "show", "dev", device, way] for way in ("ingress", "egress")]
    words = [["qdisc", "show", "dev", device], *filters]
    tc = require_command("tc")
    return "".join(subprocess.run([tc, *each], check=False, capture_output=True, text=True).stdout for each in words)


def add_others_filter(device: str) -> None:
    """A discipline and a filter that are not the tool's."""
    tc = require_command("tc")
    subprocess.run([tc, "qdisc", "add", "dev", device, "clsact"], check=True)
    subprocess.run([tc, "filter", "add", "dev", device, "egress", *FILTER], check=True)


def _at_once(address: str) -> list[str]:
    """Without waiting whether another host has the address."""
    return ["nodad"] if ":" in address else []
