# SPDX-License-Identifier: Apache-2.0
"""Tells that a file holds a library of the OpenSSL family although none of its functions has a name there.

Only to say so: nothing can be attached. Looked at are files with `ssl` in their names, and programs whose constants are
few; a file that asks the loader for such functions uses the library and does not hold it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from plaintap.modules.base import NotHookable
from plaintap.targets.version import openssl_version

if TYPE_CHECKING:
    from collections.abc import Collection

    from plaintap.targets.elf import ElfFile

_CONSTANTS_MAX_BYTES = 4 << 20
# What every TLS 1.2 library mixes into its Finished messages (RFC 5246, 7.4.9), here ended by a zero as in C.
_TLS: Final = b"client finished\0"
# Where the sources of BoringSSL and its kin name themselves, since they carry no version.
_SOURCES: Final = (b"/boringssl/", b"/aws-lc/")


def check_for_hidden_library(elf: ElfFile, path: str, *, looked_for: Collection[str]) -> None:
    """Raises NotHookable when the file, at this path for its name, holds the family's code without names."""
    if not (elf.is_program or "ssl" in Path(path).name.lower()):
        return
    stretches = elf.read_only_data()
    if sum(size for _, size in stretches) > _CONSTANTS_MAX_BYTES:
        return
    constants = [elf.read_file(offset, size) for offset, size in stretches]
    if not any(_TLS in each for each in constants) or elf.mentions(looked_for):
        return
    version = openssl_version(elf)
    shared = any(name.startswith("libcrypto") for name in elf.needed())
    if version or shared or any(source in each for each in constants for source in _SOURCES):
        family = f"OpenSSL {version}" if version and version[0].isdigit() else version or "the OpenSSL family"
        raise NotHookable(
            f"{elf.name}: seen, not hookable, because it holds {family} without symbols: "
            f"none of {', '.join(looked_for)}"
        )
