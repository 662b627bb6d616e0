# SPDX-License-Identifier: Apache-2.0
"""Files that hold the family without a name for any function are named; those that use it, or another one, are not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from elf_image import PUSH_RBP, RET, ElfImage

from plaintap.modules.base import NotHookable
from plaintap.modules.openssl import plan
from plaintap.targets.elf import ElfFile

TLS = b"client finished\0"
VERSION = b"OpenSSL 3.0.16 11 Feb 2025\0"


@dataclass
class Case:
    """A file, and what is said of it."""

    name: str
    rodata: bytes
    interpreter: bool = False
    needed: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()

    def look(self, folder: Path) -> None:
        image = ElfImage(rodata=self.rodata, interpreter=self.interpreter, needed=self.needed)
        for function in self.imports:
            image.add_import(function)
        image.add("main", [PUSH_RBP, RET])
        path = image.write(folder / self.name)
        with ElfFile(path, name=self.name) as elf:
            assert plan(elf, path) is None


@pytest.mark.parametrize(
    ("case", "held"),
    [
        (Case("server", TLS + VERSION, interpreter=True), "OpenSSL 3.0.16"),
        (Case("_openssl.abi3.so", TLS + VERSION), "OpenSSL 3.0.16"),
        (Case("libssl-odd.so", TLS, needed=("libcrypto.so.3",)), "the OpenSSL family"),
        (Case("browser", TLS + b"../boringssl/src/ssl/ssl_lib.cc\0", interpreter=True), "the OpenSSL family"),
        (
            Case("tool", TLS + b"OpenSSL 1.1.1 (compatible; AWS-LC 1.30.1)\0", interpreter=True),
            "AWS-LC 1.30.1",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_held_without_names(tmp_path: Path, case: Case, held: str) -> None:
    with pytest.raises(NotHookable) as caught:
        case.look(tmp_path)
    assert caught.value.message == (
        f"{case.name}: seen, not hookable, because it holds {held} without symbols: "
        "none of SSL_read, SSL_read_ex, SSL_write, SSL_write_ex, SSL_write_ex2"
    )


@pytest.mark.parametrize(
    "case",
    [
        Case("libssl3.so", TLS),
        Case("libssl.so", VERSION),
        Case("_ssl.so", TLS + VERSION, needed=("libcrypto.so.3",), imports=("SSL_read",)),
        Case("libother.so", TLS + VERSION),
        Case("browser", TLS + VERSION + bytes(4 << 20), interpreter=True),
    ],
    ids=["another library", "no TLS", "a user", "neither its name nor a program", "too large to look"],
)
def test_nothing_is_said(tmp_path: Path, case: Case) -> None:
    case.look(tmp_path)
