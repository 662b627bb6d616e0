# SPDX-License-Identifier: Apache-2.0
"""The child's life: close the sandbox, load the libraries, let them shake hands, send what was seen, vanish.

The task comes as one JSON word, the answer leaves as one JSON object; their forms are ../launcher.py's and
../observation.py's. Whatever goes wrong is a sentence in the answer; what cannot even say so, the parent sees.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from .functions import PROTOTYPES, Functions, Loader, LoadError
from .handshake import HandshakeError, Handshaker
from .memory import Memory
from .sandbox import SandboxError, enter


def main() -> None:
    """Never returns: a library's destructors have no say."""
    task = json.loads(sys.argv[2])
    try:
        answer = _run(task)
    except (SandboxError, LoadError, HandshakeError) as error:
        answer = {"error": str(error)}
    _send(task["answer_fd"], json.dumps(answer).encode())
    os._exit(0)


def _run(task: dict[str, Any]) -> dict[str, Any]:
    memory = Memory()
    handshaker = Handshaker(memory)
    loader = Loader()
    enter(parent=task["parent"], cpu_s=task["cpu_s"])
    return handshaker.run(_load(loader, task["libraries"]), boringssl=task["boringssl"])


def _load(loader: Loader, libraries: list[dict[str, Any]]) -> Functions:
    """Loads the libraries in order, so that each finds those it needs by their names; the last is the TLS library."""
    addresses: dict[str, int] = {}
    handle = 0
    for library in libraries:
        handle = _open(loader, library)
        base = loader.base(handle) if library["functions"] else 0
        addresses |= {name: base + address for name, address in library["functions"].items() if name in PROTOTYPES}
    for name in PROTOTYPES:
        exported = loader.symbol(handle, name)
        if exported and addresses.setdefault(name, exported) != exported:
            raise LoadError(f"it does not use the libcrypto that was given: the loader found another {name}")
    return Functions(addresses)


def _open(loader: Loader, library: dict[str, Any]) -> int:
    if library["host_first"]:
        try:
            return loader.open(library["name"])
        except LoadError:
            pass
    path = f"/proc/self/fd/{library['fd']}"
    try:
        return loader.open(path)
    except LoadError as error:
        raise LoadError(str(error).replace(path, library["name"])) from error


def _send(fd: int, answer: bytes) -> None:
    view = memoryview(answer)
    while view:
        view = view[os.write(fd, view) :]
