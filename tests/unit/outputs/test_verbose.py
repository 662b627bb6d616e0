# SPDX-License-Identifier: Apache-2.0
"""Blocks with headers and bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plaintap.events import READ, WRITE
from plaintap.messages import Raw
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.text import TextFormatter

Make = Callable[..., Any]


@pytest.fixture
def make_formatter(offset_ns: int) -> Callable[..., TextFormatter]:
    def make(**changes: Any) -> TextFormatter:
        values: dict[str, Any] = {
            "clock_offset_ns": offset_ns,
            "width": 80,
            "color": False,
            "verbose": 1,
            "hex_dump": False,
            "body_limit": 65536,
        } | changes
        return TextFormatter(FormatOptions(**values))

    return make


def test_exchange_with_headers_and_json(make_formatter: Make, make_exchange: Make, make_response: Make) -> None:
    exchange = make_exchange(response=make_response(b'{"id":7,"total":12.50}'))
    assert make_formatter().format(exchange) == (
        "14:03:07.412  curl[8123] → 93.184.216.34:443 (api.example.com)   libssl 3.0.22, http/1.1, 34 ms\n"
        "GET /orders?id=7 HTTP/1.1\n"
        "Host: api.example.com\n"
        "Accept: */*\n"
        "\n"
        "HTTP/1.1 200 OK\n"
        "Content-Type: application/json\n"
        "Server: nginx\n"
        "\n"
        "{\n"
        '  "id": 7,\n'
        '  "total": 12.50\n'
        "}\n"
        "\n"
    )


def test_sides_that_are_missing(make_formatter: Make, make_exchange: Make, make_connection: Make) -> None:
    formatter = make_formatter()
    no_response = formatter.format(make_exchange(response=None, connection=make_connection(library="", socket=None)))
    assert no_response.startswith("14:03:07.412  curl[8123] → ? (api.example.com)   http/1.1\nGET ")
    assert no_response.endswith("Accept: */*\n\n(no response)\n\n")
    no_request = formatter.format(make_exchange(request=None, outgoing=False))
    assert no_request.startswith(
        "14:03:07.442  curl[8123] ← 93.184.216.34:443   libssl 3.0.22, http/1.1\n"
        "(request not seen)\n\nHTTP/1.1 200 OK\n"
    )


def test_interim_and_empty_reason(make_formatter: Make, make_exchange: Make, make_response: Make) -> None:
    text = make_formatter().format(make_exchange(response=make_response(reason="", body_bytes=0), interim=[100, 103]))
    assert "\n\nHTTP/1.1 100\nHTTP/1.1 103\nHTTP/1.1 200\nContent-Type" in text


def test_decoded_body_with_a_note(make_formatter: Make, make_exchange: Make, make_response: Make) -> None:
    seen = []

    def decode(headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> tuple[bytes, str]:
        seen.append((headers, pieces))
        return b"hello", "br: the end is missing"

    response = make_response(headers=[(b"content-encoding", b"br")], body=b"", body_bytes=3)
    response.body = [b"\x01", b"\x02\x03"]
    text = make_formatter(decode_body=decode).format(make_exchange(response=response))
    assert text.endswith("content-encoding: br\n\nhello\n(br: the end is missing)\n\n")
    assert seen == [([(b"content-encoding", b"br")], [b"\x01", b"\x02\x03"])]


def test_what_is_cut_or_was_never_kept_is_named(make_formatter: Make, make_exchange: Make, make_response: Make) -> None:
    response = make_response(b"0123456789", headers=[(b"content-type", b"text/plain")], body_bytes=1_100_010)
    text = make_formatter(body_limit=4).format(make_exchange(response=response))
    assert text.endswith("\n\n0123\n… 1.1 MB more\n\n")
    response.missing_bytes = 1_100_000
    text = make_formatter(body_limit=0).format(make_exchange(response=response))
    assert text.endswith("\n\n0123456789\nlost 1,100,000 bytes of the response\n\n")
    response.missing_bytes, response.body_bytes, response.complete = 0, 10, False
    text = make_formatter().format(make_exchange(response=response))
    assert text.endswith("\n\n0123456789\n(response incomplete)\n\n")


def test_hex_body(make_formatter: Make, make_exchange: Make, make_response: Make) -> None:
    text = make_formatter(hex_dump=True).format(make_exchange(response=make_response(b"{}")))
    assert text.endswith("Server: nginx\n\n00000000  7b 7d                                             |{}|\n\n")


def test_raw_text_and_binary(make_formatter: Make, make_connection: Make, start_ns: int) -> None:
    connection = make_connection()
    text = Raw(connection, WRITE, start_ns, 5, b"EHLO \x1b[2J\r\n")
    assert make_formatter().format(text) == (
        "14:03:07.412  curl[8123] → 93.184.216.34:443   raw: 11 bytes sent at offset 5\nEHLO \\x1b[2J\n\n"
    )
    binary = Raw(connection, READ, start_ns, 16, b"\x00\x01\x02")
    title = "14:03:07.412  curl[8123] ← 93.184.216.34:443   raw: 3 bytes received at offset 16\n"
    dump = "00000010  00 01 02                                          |...|\n"
    assert make_formatter().format(binary) == f"{title}{dump}\n"
    assert "|EHLO .[2J..|" in make_formatter(hex_dump=True).format(text)
    assert make_formatter(body_limit=2).format(text).endswith("EH\n… 9 B more\n\n")


def test_colours(make_formatter: Make, make_exchange: Make) -> None:
    text = make_formatter(color=True).format(make_exchange())
    assert "\x1b[1mcurl[8123]\x1b[0m →" in text
    assert "\x1b[1mGET\x1b[0m /orders" in text
    assert "\x1b[36mHost\x1b[0m: api" in text
    assert "HTTP/1.1 \x1b[32m200 OK\x1b[0m\n" in text
