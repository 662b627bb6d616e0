# SPDX-License-Identifier: Apache-2.0
"""The hex form: plaintext as it passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plaintap.events import READ, WRITE
from plaintap.messages import Lost, Raw, RecordSeen
from plaintap.outputs.hexrecords import HexFormatter

Make = Callable[..., Any]


def test_records_and_losses(make_connection: Make, make_exchange: Make, offset_ns: int, start_ns: int) -> None:
    form, connection = HexFormatter(clock_offset_ns=offset_ns), make_connection()
    assert form.format(RecordSeen(connection, WRITE, start_ns, 4096, b"GET\x1b\r\n", 1)) == (
        "14:03:07.412  curl[8123] → 93.184.216.34:443  6 bytes at offset 4,096\n"
        "00001000  47 45 54 1b 0d 0a                                 |GET...|\n\n"
    )
    lost = form.format(Lost(make_connection(socket=None), READ, start_ns, 1, 2))
    assert lost == "14:03:07.412  curl[8123] ← ?  lost 2 bytes at offset 1\n\n"
    assert form.format(make_exchange()) == ""
    assert form.format(Raw(connection, READ, 0, 0, b"x")) == ""
