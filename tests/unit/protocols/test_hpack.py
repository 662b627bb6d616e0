# SPDX-License-Identifier: Apache-2.0
"""HPACK: the examples of the RFC, another implementation's blocks, late starts, bombs and nonsense."""

from __future__ import annotations

import time

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.protocols.hpack import LIST_LIMIT_BYTES, TABLE_LIMIT_BYTES, HpackDecoder, HpackError
from plaintap.protocols.hpack_huffman import MEMO_LIMIT, HuffmanError, _memo, huffman_decoded

Field = tuple[bytes, bytes]

# RFC 7541, C.4 (requests with Huffman code, on one connection) and C.6 (responses, with a table of 256 bytes).
REQUESTS: list[tuple[str, list[Field]]] = [
    (
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")],
    ),
    (
        "828684be5886a8eb10649cbf",
        [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/"),
            (b":authority", b"www.example.com"),
            (b"cache-control", b"no-cache"),
        ],
    ),
    (
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":path", b"/index.html"),
            (b":authority", b"www.example.com"),
            (b"custom-key", b"custom-value"),
        ],
    ),
]
FIRST_RESPONSE = (
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    [
        (b":status", b"302"),
        (b"cache-control", b"private"),
        (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        (b"location", b"https://www.example.com"),
    ],
)

names = st.binary(min_size=1, max_size=12).map(bytes.lower)
fields = st.lists(st.tuples(st.sampled_from([b"a", b":path", b"cookie", b"x-1"]) | names, st.binary(max_size=20)))


def test_requests_of_the_rfc() -> None:
    decoder = HpackDecoder()
    for block, expected in REQUESTS:
        assert decoder.decode(bytes.fromhex(block)) == expected


def test_a_response_of_the_rfc() -> None:
    block, expected = FIRST_RESPONSE
    assert HpackDecoder().decode(bytes.fromhex(block)) == expected


@given(lists=st.lists(fields, max_size=12), huffman=st.booleans())
def test_what_another_encodes(lists: list[list[Field]], *, huffman: bool) -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder()
    for number, expected in enumerate(lists):
        if number == 5:
            encoder.header_table_size = 128
        assert decoder.decode(encoder.encode(expected, huffman=huffman)) == expected


@given(st.lists(fields, min_size=2, max_size=12), st.integers(1, 11))
def test_a_late_start_is_never_wrong_and_right_in_the_end(lists: list[list[Field]], seen_from: int) -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder(late=True)
    for number, expected in enumerate(lists):
        block = encoder.encode(expected)
        if number < seen_from:
            continue
        for (name, value), (true_name, true_value) in zip(decoder.decode(block), expected, strict=True):
            assert name in (true_name, b"")
            assert value in (true_value, b"")
            assert name or not value or value == true_value
    encoder.header_table_size = 0  # all there was is evicted
    encoder.encode([])
    expected = [(b"x-new", b"1"), (b":method", b"GET")]
    assert decoder.decode(encoder.encode(expected)) == expected


def test_a_late_start_knows_the_static_table_and_what_came_since() -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder(late=True)
    encoder.encode([(b"x-before", b"1"), (b"x-again", b"2")])
    assert decoder.decode(encoder.encode([(b":method", b"GET"), (b"x-before", b"1"), (b"x-since", b"3")])) == [
        (b":method", b"GET"),
        (b"", b""),
        (b"x-since", b"3"),
    ]
    assert decoder.decode(encoder.encode([(b"x-since", b"3"), (b"x-again", b"2"), (b"x-before", b"9")])) == [
        (b"x-since", b"3"),
        (b"", b""),
        (b"", b"9"),
    ]


def test_after_a_loss_nothing_is_taken_for_granted() -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder()
    assert decoder.decode(encoder.encode([(b"x-a", b"1")])) == [(b"x-a", b"1")]
    encoder.encode([(b"x-lost", b"2")])
    decoder.forget()
    assert decoder.decode(encoder.encode([(b"x-a", b"1"), (b"x-b", b"3")])) == [(b"", b""), (b"x-b", b"3")]
    assert decoder.decode(encoder.encode([(b"x-b", b"3")])) == [(b"x-b", b"3")]


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("80", "index 0"),
        ("be", "an index beyond the table"),
        ("7e0161", "an index beyond the table"),
        ("82ff", "a block that ends early"),
        ("4003", "a block that ends early"),
        ("40036162", "a block that ends early"),
        ("823f", "a block that ends early"),
        ("8220", "a table size behind fields"),
        ("ffffffffffff0f", "a number out of bounds"),
        ("4081ff0161", "padding that is none"),
        ("4084ffffffff0161", "EOS in a string"),
    ],
)
def test_nonsense(block: str, why: str) -> None:
    with pytest.raises(HpackError, match=f"^{why}$"):
        HpackDecoder().decode(bytes.fromhex(block))


@given(block=st.binary(max_size=200), late=st.booleans())
def test_any_bytes_are_a_block_or_an_error(block: bytes, *, late: bool) -> None:
    decoder = HpackDecoder(late=late)
    for _ in range(2):
        try:
            decoder.decode(block)
        except HpackError:
            break


def test_a_bomb_is_cut() -> None:
    decoder = HpackDecoder()
    decoder.decode(hpack.Encoder().encode([(b"x-bomb", b"b" * 4000)], huffman=False))
    got = decoder.decode(b"\xbe" * 100_000)
    assert decoder.cut
    assert len(got) == LIST_LIMIT_BYTES // (4000 + 6 + 32)
    assert decoder.decode(b"\x82") == [(b":method", b"GET")]
    assert not decoder.cut


def test_a_table_is_bounded_whatever_is_agreed() -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder()
    encoder.header_table_size = 1 << 27
    for number in range(40):
        expected = [(b"x-%d" % number, bytes([number]) * 60_000)]
        assert decoder.decode(encoder.encode(expected, huffman=False)) == expected
    assert decoder._size_bytes <= TABLE_LIMIT_BYTES
    assert decoder.decode(encoder.encode([(b"x-0", b"\0" * 60_000)], huffman=False)) == [(b"", b"")]


def test_a_repeated_block_is_decoded_anew_once_the_table_has_changed() -> None:
    encoder, decoder = hpack.Encoder(), HpackDecoder()
    decoder.decode(encoder.encode([(b"x-a", b"1")]))
    assert decoder.decode(b"\xbe") == decoder.decode(b"\xbe") == [(b"x-a", b"1")]
    decoder.decode(encoder.encode([(b"x-b", b"2")]))
    assert decoder.decode(b"\xbe") == [(b"x-b", b"2")]
    decoder.decode(b"\xbe").clear()
    assert decoder.decode(b"\xbe") == [(b"x-b", b"2")]


@given(st.binary(max_size=100))
def test_huffman(data: bytes) -> None:
    block = hpack.Encoder().encode([(b"x", data)], huffman=True)
    assert HpackDecoder().decode(block) == [(b"x", data)]


def test_what_is_remembered_of_huffman_strings_is_bounded() -> None:
    for number in range(MEMO_LIMIT + 10):
        encoded = hpack.huffman.HuffmanEncoder(
            hpack.huffman_constants.REQUEST_CODES, hpack.huffman_constants.REQUEST_CODES_LENGTH
        ).encode(b"%d" % number)
        assert huffman_decoded(encoded) == b"%d" % number
    assert len(_memo) <= MEMO_LIMIT
    with pytest.raises(HuffmanError):
        huffman_decoded(b"\xff")


def test_a_long_block_takes_time_in_proportion() -> None:
    decoder = HpackDecoder()
    block = b"\x00\x01a\x7f\x80\x80\x01" + b"b" * 16511
    began_s = time.process_time()
    for _ in range(50):
        decoder.decode(block + bytes.fromhex("82"))
    assert time.process_time() - began_s < 1
