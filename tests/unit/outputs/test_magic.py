# SPDX-License-Identifier: Apache-2.0
"""Names for binary content."""

from __future__ import annotations

import pytest

from plaintap.outputs.magic import binary_name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG image"),
        (b"\x00\x00\x00\x18ftypavif", "AVIF image"),
        (b"\x00\x00\x00\x18ftypisom", "MPEG-4 video"),
        (b"\0" * 257 + b"ustar", "tar archive"),
        (b"Obj\x01\x04", "Avro file"),
        (b"\x00asm\x01", "WebAssembly module"),
        (b"unknown", ""),
        (b"", ""),
    ],
)
def test_binary_name(data: bytes, name: str) -> None:
    assert binary_name(data) == name
