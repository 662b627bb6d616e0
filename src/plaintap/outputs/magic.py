# SPDX-License-Identifier: Apache-2.0
"""Names for binary content by its first bytes; a table, no decoding."""

from __future__ import annotations

# (offset, bytes, name), the first that fits wins. From the formats' own specifications; RIFF and ISO media files
# say what they are behind the container's mark, so those come first.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"GIF87a", "GIF image"),
    (0, b"GIF89a", "GIF image"),
    (8, b"WEBPVP8", "WebP image"),
    (8, b"WAVEfmt ", "WAV audio"),
    (8, b"AVI LIST", "AVI video"),
    (4, b"ftypavif", "AVIF image"),
    (4, b"ftypheic", "HEIC image"),
    (4, b"ftypM4A ", "MPEG-4 audio"),
    (4, b"ftyp", "MPEG-4 video"),
    (4, b"moof", "MPEG-4 fragment"),
    (0, b"\x00\x00\x01\x00", "icon"),
    (0, b"II*\x00", "TIFF image"),
    (0, b"MM\x00*", "TIFF image"),
    (0, b"%PDF-", "PDF document"),
    (0, b"PK\x03\x04", "zip archive"),
    (0, b"PK\x05\x06", "zip archive"),
    (0, b"\x1f\x8b\x08", "gzip data"),
    (0, b"\x28\xb5\x2f\xfd", "zstd data"),
    (0, b"BZh", "bzip2 data"),
    (0, b"\xfd7zXZ\x00", "xz data"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (257, b"ustar", "tar archive"),
    (0, b"!<arch>\n", "ar archive"),
    (0, b"\xed\xab\xee\xdb", "RPM package"),
    (0, b"\x7fELF", "ELF file"),
    (0, b"\xca\xfe\xba\xbe", "Java class"),
    (0, b"\x00asm", "WebAssembly module"),
    (0, b"wOFF", "WOFF font"),
    (0, b"wOF2", "WOFF2 font"),
    (0, b"\x00\x01\x00\x00\x00", "TrueType font"),
    (0, b"OTTO", "OpenType font"),
    (0, b"OggS", "Ogg audio"),
    (0, b"fLaC", "FLAC audio"),
    (0, b"ID3", "MP3 audio"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM video"),
    (0, b"SQLite format 3\x00", "SQLite database"),
    (0, b"PAR1", "Parquet file"),
    (0, b"ARROW1\x00\x00", "Arrow file"),
    (0, b"Obj\x01", "Avro file"),
    (0, b"\x04\x22\x4d\x18", "LZ4 data"),
    (0, b"\xac\xed\x00\x05", "Java objects"),
    (0, b"bplist0", "property list"),
    (0, b"PACK\x00\x00\x00", "Git pack"),
)


def binary_name(data: bytes) -> str:
    """What `data` begins like, such as `PNG image`; "" when the table does not know."""
    for offset, mark, name in _MAGIC:
        if data.startswith(mark, offset):
            return name
    return ""
