# SPDX-License-Identifier: Apache-2.0
"""Content codings: decoded whole, half, damaged and bounded."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from plaintap.protocols.bodies import CODINGS_LIMIT, content_codings, decode_body

TEXT = b"".join(b"%d squared is %d\n" % (number, number * number) for number in range(4000))


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


CODERS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"X-GZip", gzip.compress),
    "gzip, two members": (b"gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "gzip, padded": (b"gzip", lambda data: gzip.compress(data) + bytes(64)),
    "zlib": (b"deflate", zlib.compress),
    "raw deflate": (b"deflate", raw_deflate),
    "br": (b"br", brotli.compress),
    "zstd": (b"zstd", zstandard.compress),
    "zstd, two frames": (b"zstd", lambda data: zstandard.compress(data[:9]) + zstandard.compress(data[9:])),
    "identity": (b"identity", bytes),
}
CUTTABLE = ["gzip", "zlib", "raw deflate", "br", "zstd"]


def encoded(name: str, data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    coding, coder = CODERS[name]
    return [(b"Content-Encoding", coding)], coder(data)


@pytest.mark.parametrize("name", CODERS)
def test_whole(name: str) -> None:
    headers, body = encoded(name, TEXT)
    assert decode_body(headers, [body]) == (TEXT, "")


@given(name=st.sampled_from(sorted(CODERS)), data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_any_bytes_in_pieces(name: str, data: bytes, cut: int) -> None:
    headers, body = encoded(name, data)
    assert decode_body(headers, [body[:cut], body[cut:]]) == (data, "")


@pytest.mark.parametrize("name", CUTTABLE)
def test_half_a_body(name: str) -> None:
    headers, body = encoded(name, TEXT)
    decoded, note = decode_body(headers, [body[: len(body) // 2]])
    assert TEXT.startswith(decoded)
    # brotli and zstd give a block at a time.
    assert len(decoded) > 1000 or name in ("br", "zstd")
    assert note == f"{headers[0][1].decode()}: ends early"


@pytest.mark.parametrize("name", [name for name in CUTTABLE if name != "raw deflate"])  # which has no checksum
def test_damaged(name: str) -> None:
    headers, body = encoded(name, TEXT)
    middle = len(body) // 2
    decoded, note = decode_body(headers, [body[:middle], b"\xff" * 64, body[middle + 64 :]])
    assert note.startswith(f"{headers[0][1].decode()}: ")
    assert decoded[:1000] == TEXT[:1000] or name in ("br", "zstd")


@pytest.mark.parametrize("name", CODERS)
def test_bounded(name: str) -> None:
    headers, body = encoded(name, bytes(50_000_000) if name in CUTTABLE else TEXT)
    decoded, note = decode_body(headers, [body], limit_bytes=1000)
    if name == "identity":
        assert (decoded, note) == (TEXT, "")
    else:
        assert len(decoded) == 1000
        assert note.startswith(f"{headers[0][1].decode().lower()}: cut at 1000 bytes")


@pytest.mark.parametrize("name", CODERS)
def test_exactly_the_limit_is_not_cut(name: str) -> None:
    headers, body = encoded(name, TEXT)
    assert decode_body(headers, [body], limit_bytes=len(TEXT)) == (TEXT, "")


def test_several_codings_in_the_order_applied() -> None:
    headers = [(b"content-encoding", b"gzip"), (b"Content-Encoding", b"identity, br")]
    assert decode_body(headers, [brotli.compress(gzip.compress(TEXT))]) == (TEXT, "")


def test_unknown_coding_leaves_the_rest() -> None:
    headers = [(b"Content-Encoding", b"aes128gcm, gzip")]
    assert decode_body(headers, [gzip.compress(b"secret")]) == (b"secret", "unknown content-encoding aes128gcm")


def test_a_bomb_is_told_from_a_large_file() -> None:
    bomb = gzip.compress(bytes(1_000_000), mtime=0)
    assert decode_body([(b"Content-Encoding", b"gzip")], [bomb], limit_bytes=500_000)[1] == (
        f"gzip: cut at 500000 bytes, {500_000 // len(bomb)} times its size"
    )


def test_transfer_codings_are_outside_of_content_codings() -> None:
    headers = [(b"Transfer-Encoding", b"gzip, chunked"), (b"Content-Encoding", b"br")]
    assert decode_body(headers, [gzip.compress(brotli.compress(TEXT))]) == (TEXT, "")
    assert content_codings(headers) == ["br", "gzip"]
    assert decode_body(
        [(b"Transfer-Encoding", b"deflate"), (b"transfer-encoding", b"Chunked")], [raw_deflate(TEXT)]
    ) == (
        TEXT,
        "",
    )


def test_unknown_transfer_coding() -> None:
    headers = [(b"Transfer-Encoding", b"lzw, chunked"), (b"Content-Encoding", b"gzip")]
    assert decode_body(headers, [b"?"]) == (b"?", "unknown transfer-encoding lzw")


def test_nothing_to_decode() -> None:
    assert decode_body([(b"Content-Encoding", b"gzip")], []) == (b"", "")
    assert decode_body([], [b"a", b"b"]) == (b"ab", "")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@given(junk=st.binary(min_size=1, max_size=200))
def test_junk_never_raises(coding: str, junk: bytes) -> None:
    decode_body([(b"Content-Encoding", coding.encode())], [junk])


def test_zstd_frame_that_asks_for_much_memory() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = frame.compress(TEXT) + frame.flush()
    assert decode_body([(b"Content-Encoding", b"zstd")], [body]) == (body, "zstd: damaged, decoded up to there")


@pytest.mark.parametrize("names", [[name] for name in CUTTABLE] + [["gzip", "br"], ["br", "zstd"], ["zstd", "zlib"]])
def test_no_more_is_unfolded_than_is_wanted(names: list[str]) -> None:
    headers: list[tuple[bytes, bytes]] = []
    body = bytes(10_000_000)
    for name in names:
        more, body = encoded(name, body)
        headers += more
    limit_bytes = 65536
    tracemalloc.start()
    decoded, note = decode_body(headers, [body], limit_bytes=limit_bytes)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoded == bytes(len(decoded))
    assert len(decoded) <= limit_bytes
    assert note
    assert peak_bytes < 5 * limit_bytes + len(body)


def test_many_tiny_members() -> None:
    body = b"".join(gzip.compress(b"%d" % (number % 10)) + bytes(number % 3) for number in range(20_000))
    began_s = time.process_time()
    decoded, note = decode_body([(b"Content-Encoding", b"gzip")], [body])
    assert (decoded, note) == (b"0123456789" * 2000, "")
    assert time.process_time() - began_s < 5


def test_codings_are_bounded() -> None:
    body = TEXT
    for _ in range(CODINGS_LIMIT + 1):
        body = gzip.compress(body, mtime=0)
    headers = [(b"Content-Encoding", b"gzip")] * (CODINGS_LIMIT + 1)
    assert decode_body(headers, [body]) == (
        gzip.compress(TEXT, mtime=0),
        f"more than {CODINGS_LIMIT} content-encodings",
    )


def test_what_is_not_encoded_stays_as_it_is() -> None:
    assert decode_body([(b"Content-Encoding", b"gzip")], [b"plain"]) == (b"plain", "gzip: damaged, decoded up to there")
