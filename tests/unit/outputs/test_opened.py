# SPDX-License-Identifier: Apache-2.0
"""Outputs that are open: what reaches which file, in which form."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from plaintap.errors import OutputError
from plaintap.messages import ConnectionEnded, Totals
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.opened import Output, open_output
from plaintap.outputs.registry import parse_formats
from plaintap.protocols.bodies import decode_body

Make = Callable[..., Any]


@pytest.fixture
def options(offset_ns: int) -> FormatOptions:
    decode = partial(decode_body, limit_bytes=4)
    return FormatOptions(
        clock_offset_ns=offset_ns, width=80, color=True, body_limit=4, decode_body=decode, decode_whole=decode_body
    )


def open_all(text: str, options: FormatOptions) -> list[Output]:
    return [open_output(choice, options, lossless=True) for choice in parse_formats(text)]


def test_several_at_once(
    tmp_path: Path, options: FormatOptions, make_exchange: Make, make_response: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    exchange = make_exchange(response=make_response(b"0123456789"))
    text, jsonl, har = (tmp_path / name for name in ("t", "j", "h"))
    outputs = open_all(f"ecapture,text:{text},json:{jsonl},har:{har}", options)
    for output in outputs:
        output.show([exchange, exchange, ConnectionEnded(exchange.connection, 0, "closed", 1, 2, 3)])
        output.conclude(Totals(exchanges=2))
        output.sink.close()
        assert not output.remark
    assert [output.on_standard_output for output in outputs] == [True, False, False, False]
    assert capfd.readouterr().out.count("GET /orders") == 2
    assert "\x1b" not in text.read_text()
    assert text.read_text().count("https://api.example.com/orders?id=7") == 2
    lines = [json.loads(line) for line in jsonl.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["exchange", "exchange", "end", "summary"]
    assert lines[0]["response"]["body"] == "0123"
    archive = json.loads(har.read_text())
    assert [entry["response"]["content"]["text"] for entry in archive["log"]["entries"]] == ["0123456789"] * 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in (text, jsonl, har)} == {0o600}


def test_the_clock_may_be_set_later(tmp_path: Path, make_exchange: Make, offset_ns: int) -> None:
    outputs = open_all(f"json:{tmp_path / 'j'},text:{tmp_path / 't'},hex:{tmp_path / 'x'}", FormatOptions())
    for output in outputs:
        output.set_clock_offset(offset_ns)
    assert '"2023-11-14T14:03:07.412000000Z"' in outputs[0].format(make_exchange())
    assert outputs[1].format(make_exchange()).startswith("14:03:07.412")
    outputs[1].stop()
    outputs[1].set_clock_offset(offset_ns)
    assert outputs[1].format(make_exchange()) == ""
    for output in outputs:
        output.sink.close()


def test_what_a_har_has_no_place_for_is_said(tmp_path: Path, options: FormatOptions, make_exchange: Make) -> None:
    (output,) = open_all(f"har:{tmp_path / 'h'}", options)
    output.show([make_exchange(request=None)])
    output.sink.close()
    assert output.remark == f"not in {tmp_path / 'h'}: 1 response whose request was not seen"


def test_lines_are_appended_to_lines_only(tmp_path: Path, options: FormatOptions, make_exchange: Make) -> None:
    path = tmp_path / "j"
    for _ in range(2):
        (output,) = open_all(f"json:{path}", options)
        output.show([make_exchange()])
        output.sink.close()
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2
    path.write_text("root:x:0:0::/root:/bin/sh\n")
    with pytest.raises(OutputError, match="it holds something that is no JSON of plaintap"):
        open_all(f"json:{path}", options)
    assert path.read_text() == "root:x:0:0::/root:/bin/sh\n"


@pytest.mark.parametrize("form", ["json", "text", "har"])
def test_what_cannot_be_opened(tmp_path: Path, options: FormatOptions, form: str) -> None:
    with pytest.raises(OutputError, match=f"^cannot write {form} to {tmp_path}: ") as caught:
        open_all(f"{form}:{tmp_path}", options)
    assert caught.value.hint == f"--format {form}:FILE names another file"
    with pytest.raises(OutputError, match="no such file or directory$"):
        open_all(f"{form}:{tmp_path / 'none' / 'f'}", options)


def test_a_har_is_no_pipe(tmp_path: Path, options: FormatOptions) -> None:
    os.mkfifo(tmp_path / "p")
    with pytest.raises(OutputError, match="it is no file, whose end could be written again"):
        open_all(f"har:{tmp_path / 'p'}", options)
