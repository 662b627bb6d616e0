# SPDX-License-Identifier: Apache-2.0
"""What belongs to a library that is to be loaded: the files it needs, in order, and where its functions are.

Reads ELF files only; loading them is the child's business.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import PurePath

from plaintap.errors import TargetError, reason
from plaintap.targets import ldcache
from plaintap.targets.calibration.confined.functions import PROTOTYPES
from plaintap.targets.calibration.launcher import Part
from plaintap.targets.elf import ElfFile
from plaintap.targets.layouts.model import Family

_BORINGSSL_FUNCTION = "SSL_CTX_set_grease_enabled"
"""Part of BoringSSL's and AWS-LC's interface and of no other's."""
_NEEDED_MAX = 16
_TYPE_AT, _EXECUTABLE = 16, 2  # e_type of the ELF header, ET_EXEC
_OF_THE_HOST = (
    *("libc.", "libm.", "libdl.", "libpthread.", "librt.", "libresolv.", "libutil.", "ld-linux", "ld-musl"),
    *("libgcc_s.", "libstdc++."),
)
"""The C and C++ libraries are those of the interpreter: of them there is one in a process."""


def collect(stack: ExitStack, file: str | int, name: str, *, beside: str | None, libcrypto: str | None) -> list[Part]:
    """The library, last, behind what it needs. Files are open as long as `stack`; where functions are is `locate`'s.

    Raises TargetError when it is no library.
    """
    fd = file if isinstance(file, int) else _open(stack, file)
    elf = stack.enter_context(ElfFile(fd, name=name))
    if elf.is_program or int.from_bytes(elf.read_file(_TYPE_AT, 2), "little") == _EXECUTABLE:
        raise TargetError("it is a program, and only libraries can be loaded")
    needed = _Needed(stack, beside or (file if isinstance(file, str) else None), libcrypto)
    needed.add_all_of(elf)
    return [*needed.parts.values(), Part(fd, name)]


def locate(parts: Sequence[Part]) -> tuple[list[Part], Family]:
    """The same parts with their functions, and whose interface that is. Raises TargetError when it is no libssl."""
    *needed, library = (
        replace(part, functions=_functions(part) if part is parts[-1] or _is_libcrypto(part.name) else {})
        for part in parts
    )
    if "SSL_new" not in library.functions:
        raise TargetError("it has no SSL_new")
    family = Family.BORINGSSL if _BORINGSSL_FUNCTION in library.functions else Family.OPENSSL
    return [*needed, library], family


def _functions(part: Part) -> dict[str, int]:
    with ElfFile(part.fd, name=part.name) as elf:
        return {name: found.vaddr for name, found in elf.symbols((*PROTOTYPES, _BORINGSSL_FUNCTION)).items()}


def _is_libcrypto(name: str) -> bool:
    return name.startswith("libcrypto")


def _open(stack: ExitStack, path: str) -> int:
    try:
        # Non-blocking, since a path may name a pipe.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise TargetError(f"{path}: cannot be opened: {reason(error)}") from error
    stack.callback(os.close, fd)
    return fd


class _Needed:
    """The libraries a library asks for, those that they ask for before them.

    The loader takes one that is loaded already when its own name is the one asked for, whatever the file is called:
    so the made-up names of wheels work too.
    """

    def __init__(self, stack: ExitStack, beside: str | None, libcrypto: str | None) -> None:
        self.parts: dict[str, Part] = {}
        self._stack = stack
        self._folder = PurePath(beside).parent if beside is not None else None
        self._libcrypto = libcrypto
        self._seen: set[str] = set()

    def add_all_of(self, elf: ElfFile) -> None:
        for name in elf.needed():
            if name not in self._seen and not name.startswith(_OF_THE_HOST) and len(self._seen) < _NEEDED_MAX:
                self._seen.add(name)
                self._add(name)

    def _add(self, name: str) -> None:
        path = self._find(name)
        if path is None:
            return  # left to the loader
        fd = _open(self._stack, path)
        elf = self._stack.enter_context(ElfFile(fd, name=path))
        self.add_all_of(elf)
        # Others, such as zlib, do not change a layout; this host's is more likely to fit its C library.
        self.parts[name] = Part(fd, name, host_first=not _is_libcrypto(name))

    def _find(self, name: str) -> str | None:
        """The one given, the one beside, or for a libcrypto the one the loader would take, so that it is in the key."""
        if _is_libcrypto(name) and self._libcrypto is not None:
            return self._libcrypto
        if "/" in name or "\0" in name:
            return None
        if self._folder is not None and os.path.isfile(self._folder / name):  # noqa: PTH113 - a str or PurePath
            return str(self._folder / name)
        paths = ldcache.libraries((name,)) if _is_libcrypto(name) else []
        return next((path for path in paths if PurePath(path).name == name), None)
