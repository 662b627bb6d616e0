# SPDX-License-Identifier: Apache-2.0
"""Which library a file holds: version strings, where they are looked for, and strings that lie."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from elf_image import ENDBR64, RET, ElfImage

from plaintap.targets.elf import ElfFile
from plaintap.targets.version import TELLING_FUNCTIONS, openssl_version, sibling_libcrypto

FRAME = b"\x55\x48\x89\xe5"


def number_code(number: int, before: bytes = ENDBR64, after: bytes = b"") -> list[bytes]:
    """`return OPENSSL_VERSION_NUMBER;`."""
    return [before, b"\xb8", struct.pack("<I", number), after, RET]


def version_of(image: ElfImage, path: Path, libcrypto: str | None = None) -> str | None:
    with ElfFile(image.write(path / "a.so")) as elf:
        return openssl_version(elf, libcrypto)


@pytest.mark.parametrize(
    ("rodata", "version"),
    [
        (b"OpenSSL 3.0.16 11 Feb 2025\0", "3.0.16"),
        (b"OpenSSL 3.0.0 7 sep 2021\0", "3.0.0"),
        (b"OpenSSL 4.0.3 29 Sep 2026\0", "4.0.3"),
        (b"OpenSSL 1.1.1n  15 Mar 2022\0", "1.1.1n"),
        (b"OpenSSL 1.1.1  11 Sep 2018\0", "1.1.1"),
        (b"OpenSSL 1.1.0l  10 Sep 2019\0", "1.1.0l"),
        (b"OpenSSL 1.1.1v+quic  1 Aug 2023\0", "1.1.1v+quic"),
        (b"OpenSSL 3.0.13+quic 30 Jan 2024\0", "3.0.13+quic"),
        (b"OpenSSL 1.0.2k-fips  26 Jan 2017\0", "1.0.2k-fips"),
        (b"OpenSSL 1.1.1k  FIPS 25 Mar 2021\0", "1.1.1k"),
        (b"OpenSSL 1.1.1l  24 Aug 2021 SUSE release 150500.17.25.1\0", "1.1.1l"),
        (b"OpenSSL 1.0.2zh 30 May 2023\0", "1.0.2zh"),
        (b"TLSv1 part of OpenSSL 1.0.2u  20 Dec 2019\0SSLv3 part of OpenSSL 1.0.2u  20 Dec 2019\0", "1.0.2u"),
        (b"OpenSSL 3.6.0-dev \0", "3.6.0-dev"),
        (b"OpenSSL 3.2.0-beta1 26 Oct 2023\0", "3.2.0-beta1"),
        (b"OpenSSL 1.1.1-pre9 (beta) 21 Aug 2018\0", "1.1.1-pre9"),
        (b"OpenSSL 1.1.1 (compatible; BoringSSL)\0", "BoringSSL"),
        (b"OpenSSL 1.1.1 (compatible; AWS-LC 1.30.1)\0", "AWS-LC 1.30.1"),
        (b"OpenSSL 1.1.1 (compatible; AWS-LC FIPS 2.0.17)\0", "AWS-LC FIPS 2.0.17"),
        (b"LibreSSL 3.8.2\0", "LibreSSL 3.8.2"),
        (b"enable OpenSSL 3.0 legacy provider\0// OpenSSL 1.1.0, buffers\0OpenSSL 3.5.8 25 Aug 2026\0", "3.5.8"),
        (b"needs OpenSSL 1.1.1 or later\0", None),
        (b"OpenSSL 3.0.2\0", None),
        (b"OpenSSL \0OpenSSL 3\0", None),
        (b"", None),
    ],
)
@pytest.mark.parametrize("sections", [True, False])
def test_strings(tmp_path: Path, rodata: bytes, version: str | None, sections: bool) -> None:
    image = ElfImage(rodata=b"x\0" * 9 + rodata, text=b"\xc3", sections=sections)
    assert version_of(image, tmp_path) == version


@pytest.mark.parametrize(
    ("rodata", "version"),
    [
        # A sentence about OpenSSL is none of its strings.
        (b"OpenSSL 1.1.1w  11 Sep 2023 is too old\0", None),
        (b"it was OpenSSL 1.1.1w  11 Sep 2023, was it\0OpenSSL 3.0.16 11 Feb 2025\0", "3.0.16"),
        # One that stands alone is stronger than the end of a longer one.
        (b"built with OpenSSL 1.1.1w  11 Sep 2023\0OpenSSL 3.0.16 11 Feb 2025\0", "3.0.16"),
        (b"built with OpenSSL 1.1.1w  11 Sep 2023\0", "1.1.1w"),
        # Two that are equally strong: no telling. The same twice is one.
        (b"OpenSSL 1.1.1w  11 Sep 2023\0OpenSSL 3.0.16 11 Feb 2025\0", None),
        (b"a OpenSSL 1.1.1w  11 Sep 2023\0a OpenSSL 3.0.16 11 Feb 2025\0", None),
        (b"OpenSSL 3.0.16 11 Feb 2025\0OpenSSL 3.0.16 11 Feb 2025\0", "3.0.16"),
        (b"LibreSSL 3.8.2\0OpenSSL 3.0.16 11 Feb 2025\0", None),
    ],
)
def test_strings_that_lie(tmp_path: Path, rodata: bytes, version: str | None) -> None:
    assert version_of(ElfImage(rodata=b"\0" + rodata, text=b"\xc3"), tmp_path) == version


@pytest.mark.parametrize(
    ("number", "rodata", "version"),
    [
        # The function decides between two strings, and against one that lies.
        (0x30000100, b"OpenSSL 1.1.1w  11 Sep 2023\0OpenSSL 3.0.16 11 Feb 2025\0", "3.0.16"),
        (0x1010117F, b"OpenSSL 1.1.1w  11 Sep 2023\0OpenSSL 3.0.16 11 Feb 2025\0", "1.1.1w"),
        (0x30500080, b"OpenSSL 1.1.1w  11 Sep 2023\0", "3.5.8"),
        (0x1010117F, b"OpenSSL 3.0.16 11 Feb 2025\0", "1.1.1w"),
        (0x1010100F, b"", "1.1.1"),
        (0x1000215F, b"part of OpenSSL 1.0.2u  20 Dec 2019\0", "1.0.2u"),
        (0x40000030, b"", "4.0.3"),
        # What follows the number only the string knows.
        (0x1010116F, b"OpenSSL 1.1.1v+quic  1 Aug 2023\0", "1.1.1v+quic"),
        (0x30000000, b"OpenSSL 3.0.0-beta2 29 Jul 2021\0", "3.0.0-beta2"),
        (0x20000000, b"LibreSSL 3.8.2\0OpenSSL 3.0.16 11 Feb 2025\0", "LibreSSL 3.8.2"),
        (0x20000000, b"", "LibreSSL"),
        (0x1010107F, b"OpenSSL 1.1.1 (compatible; BoringSSL)\0", "BoringSSL"),
        # No number of OpenSSL's.
        (0, b"OpenSSL 3.0.16 11 Feb 2025\0", None),
        (0x30012340, b"", None),
        (0x101011FF, b"", None),
    ],
)
def test_the_number_in_the_code_decides(tmp_path: Path, number: int, rodata: bytes, version: str | None) -> None:
    image = ElfImage(rodata=b"\0" + rodata)
    image.add("OpenSSL_version_num", number_code(number))
    assert version_of(image, tmp_path) == version


@pytest.mark.parametrize("name", ["OpenSSL_version_num", "SSLeay"])
@pytest.mark.parametrize(
    "code",
    [
        number_code(0x30000100),
        number_code(0x30000100, before=b""),
        number_code(0x30000100, before=FRAME, after=b"\x5d"),
        number_code(0x30000100, before=ENDBR64 + FRAME, after=b"\x5d"),
        [b"\x48\xc7\xc0", struct.pack("<I", 0x30000100), RET],
    ],
)
def test_forms_of_the_number_function(tmp_path: Path, name: str, code: list[bytes]) -> None:
    image = ElfImage()
    image.add(name, code)
    assert version_of(image, tmp_path) == "3.0.16"


def test_another_form_of_it_is_no_evidence(tmp_path: Path) -> None:
    image = ElfImage(rodata=b"\0OpenSSL 3.0.16 11 Feb 2025\0")
    image.add("OpenSSL_version_num", [b"\x31\xc0", RET])
    assert version_of(image, tmp_path) == "3.0.16"


@pytest.mark.parametrize("chunk_bytes", [7, 20, 21, 22, 48, 49])
def test_string_across_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    monkeypatch.setattr("plaintap.targets.version._CHUNK_BYTES", chunk_bytes)
    for before, version in ((b"\0", "3.0.16"), (b"x", None)):
        rodata = b"x" * 20 + before + b"OpenSSL 3.0.16 11 Feb 2025\0OpenSSL 3.0.1"
        other = b"" if before == b"\0" else b"5 OpenSSL 3.0.15 3 Sep 2024\0"
        assert version_of(ElfImage(rodata=rodata + other, text=b"\xc3"), tmp_path) == version


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


@pytest.mark.parametrize("name", ["SSL_CTX_set_grease_enabled", "SSL_get_cipher_by_value", "SSL_SESSION_from_bytes"])
def test_boringssl_by_its_functions_whatever_the_strings_say(tmp_path: Path, name: str) -> None:
    image = ElfImage(rodata=b"\0OpenSSL 1.1.1w  11 Sep 2023\0")
    image.add(name, [RET])
    image.add("OpenSSL_version_num", number_code(0x1010117F))
    assert version_of(image, tmp_path) == "BoringSSL"


def test_aws_lc_by_its_functions(tmp_path: Path) -> None:
    image = ElfImage()
    image.add("SSL_CTX_set_grease_enabled", [RET])
    image.add("awslc_api_version_num", [RET])
    assert version_of(image, tmp_path) == "AWS-LC"
    image.rodata = b"\0OpenSSL 1.1.1w  11 Sep 2023\0OpenSSL 1.1.1 (compatible; AWS-LC 1.30.1)\0"
    assert version_of(image, tmp_path) == "AWS-LC 1.30.1"


def test_aws_lc_by_its_libcrypto(tmp_path: Path) -> None:
    image = ElfImage()
    image.add("SSL_CTX_set_grease_enabled", [RET])
    crypto = tmp_path / "libcrypto.so"
    path = ElfImage(text=b"\xc3", rodata=b"OpenSSL 1.1.1 (compatible; AWS-LC 1.30.1)\0").write(crypto)
    assert version_of(image, tmp_path, path) == "AWS-LC 1.30.1"
    ElfImage(text=b"\xc3", rodata=b"OpenSSL 3.0.16 11 Feb 2025\0").write(crypto)
    assert version_of(image, tmp_path, path) == "BoringSSL"
    crypto.unlink()
    assert version_of(image, tmp_path, path) == "BoringSSL"


def test_functions_that_were_looked_up_already(tmp_path: Path) -> None:
    image = ElfImage(rodata=b"\0OpenSSL 1.1.1w  11 Sep 2023\0")
    image.add("SSL_get_cipher_by_value", [RET])
    with ElfFile(image.write(tmp_path / "a.so")) as elf:
        assert openssl_version(elf, found=elf.symbols(TELLING_FUNCTIONS)) == "BoringSSL"
        assert openssl_version(elf, found={}) == "1.1.1w"


def test_a_function_of_boringssl_is_stronger_than_a_string(tmp_path: Path) -> None:
    """As in workerd, which has an OpenSSL 1.1.1w in WebAssembly among its constants."""
    image = ElfImage(rodata=b"OpenSSL 1.1.1w  11 Sep 2023\0")
    image.add("_ZN4bssl14ssl_log_secretEPK6ssl_stPKcNS_4SpanIKhEE", [RET])
    assert version_of(image, tmp_path) == "BoringSSL"
