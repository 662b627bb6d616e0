# SPDX-License-Identifier: Apache-2.0
"""Version strings of the OpenSSL family, and where they are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from elf_image import RET, ElfImage

from plaintap.targets.elf import ElfFile
from plaintap.targets.version import openssl_version, sibling_libcrypto


@pytest.mark.parametrize(
    ("rodata", "version"),
    [
        (b"OpenSSL 3.0.16 11 Feb 2025\0", "3.0.16"),
        (b"OpenSSL 1.1.1n  15 Mar 2022\0", "1.1.1n"),
        (b"OpenSSL 1.1.1v+quic  1 Aug 2023\0", "1.1.1v+quic"),
        (b"OpenSSL 1.0.2k-fips  26 Jan 2017\0", "1.0.2k-fips"),
        (b"OpenSSL 3.6.0-dev \0", "3.6.0-dev"),
        (b"OpenSSL 1.1.1 (compatible; BoringSSL)\0", "BoringSSL"),
        (b"OpenSSL 1.1.1 (compatible; AWS-LC 1.30.1)\0", "AWS-LC 1.30.1"),
        (b"LibreSSL 3.8.2\0", "LibreSSL 3.8.2"),
        (b"enable OpenSSL 3.0 legacy provider\0// OpenSSL 1.1.0, buffers\0OpenSSL 3.5.8 25 Aug 2026\0", "3.5.8"),
        (b"needs OpenSSL 1.1.1 or later\0", None),
        (b"OpenSSL \0OpenSSL 3\0", None),
        (b"", None),
    ],
)
@pytest.mark.parametrize("sections", [True, False])
def test_strings(tmp_path: Path, rodata: bytes, version: str | None, sections: bool) -> None:
    path = ElfImage(rodata=b"x\0" * 9 + rodata, text=b"\xc3", sections=sections).write(tmp_path / "a.so")
    with ElfFile(path) as elf:
        assert openssl_version(elf) == version


def test_string_across_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaintap.targets.version._CHUNK_BYTES", 7)
    path = ElfImage(rodata=b"x" * 20 + b"OpenSSL 3.0.16 11 Feb 2025\0", text=b"\xc3").write(tmp_path / "a.so")
    with ElfFile(path) as elf:
        assert openssl_version(elf) == "3.0.16"


def test_libcrypto_beside_it(tmp_path: Path) -> None:
    crypto = tmp_path / "libcrypto-fb8d5b21.so.3"
    path = ElfImage(text=b"\xc3", needed=("libc.so.6", crypto.name)).write(tmp_path / "libssl.so.3")
    with ElfFile(path) as elf:
        assert sibling_libcrypto(elf, path) is None
        ElfImage(text=b"\xc3", rodata=b"OpenSSL 3.5.8 25 Aug 2026\0").write(crypto)
        assert sibling_libcrypto(elf, path) == str(crypto)
        assert openssl_version(elf, str(crypto)) == "3.5.8"
        crypto.write_bytes(b"no library")
        assert openssl_version(elf, str(crypto)) is None


def test_no_folder_is_left(tmp_path: Path) -> None:
    path = ElfImage(text=b"\xc3", needed=("libcrypto/../../etc/passwd",)).write(tmp_path / "libssl.so.3")
    with ElfFile(path) as elf:
        assert sibling_libcrypto(elf, path) is None


def test_boringssl_without_a_string(tmp_path: Path) -> None:
    image = ElfImage()
    image.add("SSL_CTX_set_grease_enabled", [RET])
    with ElfFile(image.write(tmp_path / "a.so")) as elf:
        assert openssl_version(elf) == "BoringSSL"
