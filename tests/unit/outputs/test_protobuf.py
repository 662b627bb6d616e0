# SPDX-License-Identifier: Apache-2.0
"""The protobuf form: every field, both sides, and numbers without gaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plaintap.events import READ
from plaintap.messages import Lost, Raw
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.framing import DELIMITED
from plaintap.outputs.protobuf import EVENT, HEARTBEAT, PROCESS_LOG, ProtobufFormatter, heartbeat, log_entry

Make = Callable[..., Any]


def entries(data: bytes) -> list[Any]:
    return [log_entry().FromString(each) for each in DELIMITED.cut(data, bare=True)[0]]


def test_an_exchange_is_two_events(make_exchange: Make, make_response: Make, offset_ns: int, start_ns: int) -> None:
    exchange = make_exchange(response=make_response(b"hello"))
    asked, answered = entries(ProtobufFormatter(FormatOptions(clock_offset_ns=offset_ns)).encode([exchange]))
    request, response = asked.event_payload, answered.event_payload
    assert asked.log_type == answered.log_type == EVENT
    assert (request.src_ip, request.src_port, request.dst_ip, request.dst_port) == (
        ("10.0.0.1", 40001, "93.184.216.34", 443)
    )
    assert (response.src_ip, response.src_port, response.dst_ip, response.dst_port) == (
        ("93.184.216.34", 443, "10.0.0.1", 40001)
    )
    assert (request.type, response.type) == (1, 3)
    assert (request.seq, response.seq) == (1, 2)
    assert request.timestamp == start_ns + offset_ns
    assert (request.pid, request.pname) == (8123, "curl")
    assert request.uuid == response.uuid == "8123_8123_curl_5_1"
    assert request.payload == b"GET /orders?id=7 HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\n\r\n"
    assert response.payload.endswith(b"\r\n\r\nhello")
    assert response.length == len(response.payload)


def test_other_bytes_losses_logs_and_heartbeats(make_connection: Make) -> None:
    connection = make_connection(socket=None)
    form = ProtobufFormatter(FormatOptions())
    raw, lost = entries(form.encode([Raw(connection, READ, 1, 0, b"\0\xff"), Lost(connection, READ, 2, 2, 7)]))
    assert (raw.event_payload.type, raw.event_payload.payload, raw.event_payload.src_ip) == (0, b"\0\xff", "")
    assert (lost.log_type, lost.run_log) == (PROCESS_LOG, "lost 7 bytes that pid 8123 (curl) received")
    (line,) = entries(form.log("a\udc80", ts_ns=0))
    assert line.log_type == PROCESS_LOG
    assert line.run_log.startswith("a")
    beat = log_entry().FromString(heartbeat(seconds=5, count=2))
    assert beat.log_type == HEARTBEAT
    assert (beat.heartbeat_payload.timestamp, beat.heartbeat_payload.message) == (5, "heartbeat:2")
