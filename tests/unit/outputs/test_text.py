# SPDX-License-Identifier: Apache-2.0
"""The default form: exact lines, columns, widths, colours, hostile input."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaintap.events import READ, WRITE, Socket
from plaintap.messages import Connection, ConnectionEnded, Exchange, Lost, Raw, RecordSeen, Request, Response
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.escape import cells
from plaintap.outputs.text import TextFormatter

MS = 1_000_000
COLOR = re.compile(r"\x1b\[[0-9;]*m")

Make = Callable[..., Any]


def bare(text: str) -> str:
    return COLOR.sub("", text)


@pytest.fixture
def make_formatter(offset_ns: int) -> Callable[..., TextFormatter]:
    def make(**changes: Any) -> TextFormatter:
        values: dict[str, Any] = {
            "clock_offset_ns": offset_ns,
            "width": None,
            "color": False,
            "verbose": 0,
            "hex_dump": False,
            "body_limit": 65536,
        } | changes
        return TextFormatter(FormatOptions(**values))

    return make


def test_one_line_per_exchange(make_formatter: Make, make_exchange: Make) -> None:
    assert make_formatter().format(make_exchange()) == (
        "14:03:07.412  curl[8123]       →  GET  https://api.example.com/orders?id=7                          "
        "200  json   1.2 kB    34 ms    93.184.216.34:443\n"
    )


def test_incoming_redirect_and_upload(
    make_formatter: Make, make_exchange: Make, make_connection: Make, make_socket: Make, make_request: Make
) -> None:
    connection = make_connection(comm="nginx", pid=611, socket=make_socket("10.0.0.9", 52110, "10.0.0.1", 443))
    request = make_request(headers=[(b"host", b"shop.local")], method="POST", target="/cart", body_bytes=84)
    response = Response(
        headers=[(b"location", b"/login")],
        status=302,
        first_ns=request.first_ns,
        last_ns=request.first_ns + 3 * MS,
        complete=True,
    )
    line = make_formatter().format(
        make_exchange(connection=connection, outgoing=False, request=request, response=response)
    )
    assert line == (
        "14:03:07.412  nginx[611]       ←  POST https://shop.local/cart                                      "
        "302  -         0 B   3.0 ms    10.0.0.9:52110         → /login  ↑ 84 B\n"
    )


def test_slow_and_failed_stand_out_without_colour(
    make_formatter: Make, make_exchange: Make, make_response: Make, start_ns: int
) -> None:
    formatter = make_formatter()
    slow = formatter.format(make_exchange(response=make_response(last_ns=start_ns + 2_000 * MS)))
    failed = formatter.format(make_exchange(response=make_response(status=404)))
    usual = formatter.format(make_exchange())
    assert "200  json   1.2 kB    2.0 s !  93.184.216.34:443\n" in slow
    assert "404  json   1.2 kB    34 ms !  93.184.216.34:443\n" in failed
    assert "!" not in usual
    assert slow.index("93.184") == failed.index("93.184") == usual.index("93.184")


@pytest.mark.parametrize(
    ("target", "headers", "outgoing", "url"),
    [
        ("/a", [(b"HOST", b"h:8443")], True, "https://h:8443/a"),
        ("/a", [(b"Accept", b"x"), (b"host", b"h")], True, "https://h/a"),
        ("/a", [], True, "https://93.184.216.34/a"),
        ("/a", [(b"host", b"")], True, "https://93.184.216.34/a"),
        ("/a", [], False, "https://10.0.0.1:40001/a"),
        ("http://other/x", [(b"host", b"h")], True, "http://other/x"),
        ("db.local:443", [(b"host", b"h")], True, "db.local:443"),
        ("*", [(b"host", b"h")], True, "https://h *"),
        ("", [(b"host", b"h")], True, "https://h "),
    ],
)
def test_url(
    *,
    target: str,
    headers: list[tuple[bytes, bytes]],
    outgoing: bool,
    url: str,
    make_formatter: Make,
    make_exchange: Make,
    make_request: Make,
) -> None:
    exchange = make_exchange(request=make_request(target=target, headers=headers), outgoing=outgoing)
    line = make_formatter().format(exchange)
    assert line[31:].startswith(f"{'→' if outgoing else '←'}  GET  {url} ")


def test_unknown_socket_is_shown_as_unknown(make_formatter: Make, make_exchange: Make, make_connection: Make) -> None:
    exchange = make_exchange(connection=make_connection(socket=None))
    exchange.request.headers = []
    line = make_formatter().format(exchange)
    assert "https://?/orders?id=7 " in line
    assert line.endswith("34 ms    ?\n")


def test_socket_learned_later_is_shown(
    make_formatter: Make, make_exchange: Make, make_connection: Make, make_socket: Make
) -> None:
    formatter = make_formatter()
    connection = make_connection(socket=None)
    assert formatter.format(make_exchange(connection=connection)).endswith(" ?\n")
    connection.socket = make_socket("2001:db8::1", 8443)
    assert formatter.format(make_exchange(connection=connection)).endswith(" [2001:db8::1]:8443\n")
    connection.comm = "other"
    assert " other[8123] " in formatter.format(make_exchange(connection=connection))


def test_one_sided_exchanges_say_so(make_formatter: Make, make_exchange: Make) -> None:
    formatter = make_formatter()
    assert formatter.format(make_exchange(response=None)) == (
        "14:03:07.412  curl[8123]       →  GET  https://api.example.com/orders?id=7                          "
        "---  no response               93.184.216.34:443\n"
    )
    assert formatter.format(make_exchange(request=None)) == (
        "14:03:07.442  curl[8123]       →  ?    request not seen                                             "
        "200  json   1.2 kB        -    93.184.216.34:443\n"
    )


def test_switch_to_websocket(make_formatter: Make, make_exchange: Make, make_response: Make) -> None:
    response = make_response(status=101, headers=[(b"Upgrade", b"WebSocket")], body_bytes=0)
    line = make_formatter().format(make_exchange(response=response))
    assert "GET  wss://api.example.com/orders?id=7 " in line
    assert "101  websocket open            93.184.216.34:443\n" in line
    response = make_response(status=101, headers=[(b"Upgrade", b"h2c")])
    line = make_formatter().format(make_exchange(response=response))
    assert "101  upgraded " in line


@pytest.mark.parametrize(
    ("request_changes", "response_changes", "remark"),
    [
        ({"missing_bytes": 1}, {}, "lost 1 byte of the request"),
        ({}, {"missing_bytes": 49152, "complete": False}, "lost 49,152 bytes of the response"),
        ({}, {"complete": False}, "response incomplete"),
        (
            {"complete": False},
            {"missing_bytes": 2},
            "request incomplete; lost 2 bytes of the response",
        ),
    ],
)
@pytest.mark.parametrize("width", [None, 200, 120, 80])
def test_losses_are_on_the_line_at_any_width(
    *,
    request_changes: dict[str, Any],
    response_changes: dict[str, Any],
    remark: str,
    width: int | None,
    make_formatter: Make,
    make_exchange: Make,
    make_request: Make,
    make_response: Make,
) -> None:
    exchange = make_exchange(request=make_request(**request_changes), response=make_response(**response_changes))
    assert make_formatter(width=width).format(exchange).endswith(f"  {remark}\n")


@pytest.mark.parametrize("width", [60, 70, 80, 91, 95, 100, 116, 117, 120, 139, 140, 200, 300])
def test_lines_fit_the_terminal_and_statuses_are_aligned(
    width: int, make_formatter: Make, make_exchange: Make, make_connection: Make, make_request: Make, make_socket: Make
) -> None:
    formatter = make_formatter(width=width, color=True)
    long_target = "/orders/" + "x" * 400 + "?id=7"
    # IPv6, the longest name and pid, a wide script: the columns stay where they are.
    connections = [
        make_connection(session=1),
        make_connection(session=2, comm="docker-containe"[:8], pid=12345),
        make_connection(session=3, socket=make_socket("2001:db8:85a3:1:2:8a2e:370:7334", 54321)),
    ]
    places = set()
    for connection in connections:
        for target in ("/", long_target, "/日本語" * 30):
            exchange = make_exchange(connection=connection, request=make_request(target=target))
            line = bare(formatter.format(exchange)).rstrip("\n")
            if width >= 80:
                assert cells(line) <= width
            assert " 200  " in line
            places.add(cells(line[: line.index(" 200  ")]))
    assert len(places) == 1


def test_cut_in_the_middle(make_formatter: Make, make_exchange: Make, make_request: Make) -> None:
    exchange = make_exchange(request=make_request(target="/a/" + "b" * 100 + "/z?last=1"))
    assert make_formatter(width=120).format(exchange) == (
        "14:03:07.412  curl[8123]   →  GET  api.example.com…bbbbbb/z?last=1  "
        "200  json   1.2 kB    34 ms    93.184.216.34:443\n"
    )
    assert make_formatter(width=80).format(exchange) == (
        "14:03:07  curl[8123]   →  GET  api.example.…bb/z?last=1  200   1.2 kB    34 ms\n"
    )


def test_the_process_column_grows_once_for_all(
    make_formatter: Make, make_exchange: Make, make_connection: Make
) -> None:
    formatter = make_formatter()
    short, long = make_connection(), make_connection(session=2, comm="docker-containe", pid=1234567)
    first = formatter.format(make_exchange(connection=short))
    second = formatter.format(make_exchange(connection=long))
    third = formatter.format(make_exchange(connection=short))
    assert first.index("→") == 31
    assert second.index("→") == third.index("→") == 39
    assert first.index(" 200 ") == second.index(" 200 ") == third.index(" 200 ")


def test_extras_on_a_terminal_use_free_columns(
    make_formatter: Make, make_exchange: Make, make_request: Make, make_response: Make
) -> None:
    response = make_response(status=301, headers=[(b"Location", b"https://www.example.com/there")], body_bytes=0)
    exchange = make_exchange(request=make_request(target="/"), response=response)
    wide = make_formatter(width=240).format(exchange)
    assert wide.endswith("93.184.216.34:443      → https://www.example.com/there\n")
    narrower = make_formatter(width=140).format(exchange)
    assert "https://api.example.com/  → https://….com/there  301  -  " in narrower
    assert "→ https" not in make_formatter(width=80).format(exchange)


def test_colours_by_class_and_only_when_asked(
    make_formatter: Make, make_exchange: Make, make_response: Make, start_ns: int
) -> None:
    painted = make_formatter(color=True)
    plain = make_formatter()
    for status, color in ((200, "32"), (304, "36"), (404, "1;33"), (503, "1;31")):
        exchange = make_exchange(response=make_response(status=status))
        line = painted.format(exchange)
        assert f"\x1b[{color}m{status}\x1b[0m" in line
        assert "\x1b[2mGET\x1b[0m  https" in line
        assert bare(line) == plain.format(exchange)
        assert "\x1b" not in plain.format(exchange)
    slow = painted.format(make_exchange(response=make_response(last_ns=start_ns + 1_500 * MS)))
    assert "\x1b[1;35m1.5 s\x1b[0m \x1b[1;31m!\x1b[0m" in slow


def test_raw_bytes(make_formatter: Make, make_connection: Make, start_ns: int) -> None:
    formatter = make_formatter()
    connection = make_connection()
    sent = formatter.format(Raw(connection, WRITE, start_ns, 0, b"*1\r\n$4\r\nPING\r\n"))
    got = formatter.format(Raw(connection, READ, start_ns, 0, b"\x00\x1b[2J\xff" * 100))
    assert sent == (
        "14:03:07.412  curl[8123]       →  raw  *1\\r\\n$4\\r\\nPING\\r\\n"
        "                                              sent     14 B             93.184.216.34:443\n"
    )
    assert "←  raw  \\x00\\x1b[2J\\xff\\x00" in got
    assert "…" in got
    assert " got     600 B " in got
    assert got.index("93.184") == sent.index("93.184")
    narrow = make_formatter(width=80).format(Raw(connection, READ, start_ns, 0, "日本".encode() * 100))
    assert cells(narrow) <= 80


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"PING", "PING"),
        (b"", ""),
        (59 * b"x", 59 * "x"),
        (60 * b"x", 58 * "x" + "…"),
        (1000 * b"x", 58 * "x" + "…"),
        (b"\r" + 1000 * b"x", "\\r" + 56 * "x" + "…"),
        (1000 * b"\xff", 14 * "\\xff" + "\\x…"),
        (1000 * "日".encode(), 29 * "日" + "…"),
    ],
)
def test_raw_bytes_are_cut_to_their_columns(
    make_formatter: Make, make_connection: Make, start_ns: int, data: bytes, shown: str
) -> None:
    line = make_formatter().format(Raw(make_connection(), WRITE, start_ns, 0, data))
    assert line.partition("raw  ")[2].partition("  ")[0] == shown
    assert cells(line.partition("sent")[0]) == 105


@pytest.mark.parametrize(
    ("elapsed_ns", "shown"),
    [
        (-5, "0 µs"),
        (999, "0 µs"),
        (31_400, "31 µs"),
        (99_999, "99 µs"),
        (100_000, "0.1 ms"),
        (4_260_000, "4.2 ms"),
        (1_000_000_000, "1.0 s"),
    ],
)
def test_durations_on_the_line(
    make_formatter: Make, make_exchange: Make, make_response: Make, start_ns: int, elapsed_ns: int, shown: str
) -> None:
    line = make_formatter().format(make_exchange(response=make_response(last_ns=start_ns + elapsed_ns)))
    assert f" {shown}    93.184.216.34:443\n" in line


def test_hex(make_formatter: Make, make_exchange: Make, make_response: Make, make_connection: Make) -> None:
    formatter = make_formatter(hex_dump=True, body_limit=16)
    lines = formatter.format(make_exchange(response=make_response(b"0123456789abcdefXY"))).splitlines()
    assert lines[1:] == [
        "response body",
        "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|",
        "… 2 B more",
    ]
    lines = formatter.format(Raw(make_connection(), WRITE, 0, 32, b"hi\n")).splitlines()
    assert lines[1:] == ["00000020  68 69 0a                                          |hi.|"]


def test_lost_bytes_have_their_line(make_formatter: Make, make_connection: Make, start_ns: int) -> None:
    lost = Lost(make_connection(), READ, start_ns, 16384, 49152)
    assert make_formatter(width=80).format(lost) == (
        "14:03:07  curl[8123]   ←  lost 49,152 bytes received from 93.184.216.34:443 at offset 16,384\n"
    )
    lost = Lost(make_connection(socket=None), WRITE, start_ns, 0, 1)
    text = "14:03:07.412  curl[8123]       →  lost 1 byte sent to an unknown address at offset 0\n"
    assert make_formatter().format(lost) == text
    assert make_formatter(verbose=1).format(lost) == f"{text}\n"
    assert "\x1b[1;31mlost 1 byte" in make_formatter(color=True).format(lost)


def test_connection_ends_are_only_told_when_they_say_something(
    make_formatter: Make, make_connection: Make, make_exchange: Make, start_ns: int
) -> None:
    connection = make_connection()
    ended = ConnectionEnded(connection, start_ns, "closed", 12, 34, 0)
    assert make_formatter().format(ended) == ""
    formatter = make_formatter(verbose=1)
    assert formatter.format(ended) == (
        "14:03:07.412  curl[8123]       ·  ended (closed), 93.184.216.34:443: "
        "12 bytes received, 34 bytes sent, nothing of it was shown\n\n"
    )
    formatter.format(make_exchange(connection=connection))
    assert formatter.format(ended) == ""
    formatter.format(make_exchange(connection=connection))
    ended.lost_bytes = 5
    assert formatter.format(ended).endswith(": 12 bytes received, 34 bytes sent, 5 bytes lost\n\n")


def test_records_only_with_two_v(make_formatter: Make, make_connection: Make, start_ns: int) -> None:
    record = RecordSeen(make_connection(), WRITE, start_ns, 32, b"GET / ", 8124)
    assert make_formatter(verbose=1).format(record) == ""
    assert make_formatter(verbose=2).format(record) == (
        "14:03:07.412  curl[8123] → 93.184.216.34:443   record, thread 8124: 6 bytes sent at offset 32\n"
        "00000020  47 45 54 20 2f 20                                 |GET / |\n\n"
    )


HOSTILE = "\x1b[2J\x1b]0;x\x07\x9b31m\r\n\t\x00\x7f\u202e\u2066\u200b\u2028\ufeff\udcff\ud800\ue000"


def assert_harmless(text: str) -> None:
    text.encode()
    for char in text:
        assert char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}, repr(text)


@pytest.mark.parametrize("verbose", [0, 1, 2])
@pytest.mark.parametrize("width", [None, 80])
def test_hostile_bytes_reach_no_terminal(
    *, verbose: int, width: int | None, make_formatter: Make, make_socket: Make, start_ns: int
) -> None:
    raw = HOSTILE.encode("utf-8", "surrogatepass") + b"\xff\x9b"
    connection = Connection(1, 8123, 8123, 0, HOSTILE, 0, HOSTILE, make_socket())
    request = Request(
        headers=[(b"Host", raw), (raw, raw)], method=HOSTILE, target=f"/{HOSTILE}", version=HOSTILE, body=[raw]
    )
    response = Response(
        headers=[(b"Content-Type", raw), (b"Location", raw)], status=302, reason=HOSTILE, version=HOSTILE, body=[raw]
    )
    formatter = make_formatter(width=width, verbose=verbose, decode_body=lambda _, body: (b"".join(body), HOSTILE))
    messages = [
        Exchange(connection, "http/1.1", outgoing=True, request=request, response=response),
        Exchange(connection, "http/1.1", outgoing=True, request=None, response=response),
        Exchange(connection, "http/1.1", outgoing=True, request=request, response=None),
        Raw(connection, READ, start_ns, 0, raw),
        RecordSeen(connection, READ, start_ns, 0, raw, 1),
        Lost(connection, READ, start_ns, 0, 1),
        ConnectionEnded(connection, start_ns, "closed", 1, 1, 1),
    ]
    for message in messages:
        text = formatter.format(message)
        assert_harmless(text)
        if not verbose:
            assert text.count("\n") <= 1
            assert "\t" not in text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    target=st.text(),
    host=st.binary(),
    comm=st.text(),
    kind=st.binary(),
    method=st.text(),
    width=st.none() | st.integers(1, 250),
    status=st.integers(0, 65535),
    end_ns=st.integers(-(10**12), 10**15),
    size_bytes=st.integers(0, 2**63),
)
def test_any_exchange_is_one_harmless_line(
    *,
    target: str,
    host: bytes,
    comm: str,
    kind: bytes,
    method: str,
    width: int | None,
    status: int,
    end_ns: int,
    size_bytes: int,
    make_formatter: Make,
) -> None:
    connection = Connection(1, 1, 1, 0, comm, socket=Socket(1, 2, "1.2.3.4", 5, "6.7.8.9", 10, 1, 1, 1))
    request = Request(headers=[(b"Host", host)], method=method, target=target, complete=True)
    response = Response(
        headers=[(b"Content-Type", kind), (b"Location", kind)],
        status=status,
        last_ns=end_ns,
        body_bytes=size_bytes,
        complete=True,
    )
    exchange = Exchange(connection, "http/1.1", outgoing=True, request=request, response=response)
    line = make_formatter(width=width).format(exchange)
    assert_harmless(line)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert f" {status or '?'}  " in line.replace("\n", "  ")


def test_with_a_filter_only_losses_are_told_of_a_connections_end(make_formatter: Make, make_connection: Make) -> None:
    formatter = make_formatter(verbose=1, filtered=True)
    connection = make_connection()
    assert formatter.format(ConnectionEnded(connection, 0, "closed", 5, 5, 0)) == ""
    assert "3 bytes lost" in formatter.format(ConnectionEnded(connection, 0, "closed", 5, 5, 3))


@pytest.mark.parametrize("width", [40, 60, 79, 80, 120])
def test_lines_fit_the_terminal_and_their_columns_align(
    width: int, make_formatter: Make, make_exchange: Make, make_connection: Make, make_request: Make
) -> None:
    formatter = make_formatter(width=width)
    hosts = (b"api.example.com", b"a" * 90 + b".example", "日本語.example".encode() * 5)
    lines = []
    for session, comm in enumerate(("averyverylongname", "日本語プロセス", "curl", "x")):
        connection = make_connection(session=session, comm=comm)
        for host in hosts:
            request = make_request(headers=[(b"Host", host)])
            lines.append(formatter.format(make_exchange(connection=connection, request=request)).rstrip("\n"))
        lines.append(formatter.format(make_exchange(connection=connection, response=None)).rstrip("\n"))
        formatter.format(Raw(connection, WRITE, 0, 0, "日本".encode() * 100))
    assert all(cells(line) <= width for line in lines)
    statuses = ("  200", "  ---")
    ends = {cells(line[: max(map(line.rfind, statuses))]) for line in lines}
    assert len(ends) == 1, lines
