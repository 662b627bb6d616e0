# SPDX-License-Identifier: Apache-2.0
"""JSON lines of a real capture: against the schema, what the peers had, and the documented jq filters."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness.require import require_command
from harness.tap import Ended, Taps
from harness.target import Targets
from harness.truth import Truth
from jsonschema import Draft202012Validator

import plaintap.outputs

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Path(plaintap.outputs.__file__).parent / "schema" / "plaintap-v1.schema.json"
EXAMPLE = re.compile(r"^plaintap (?:--duration \w+ )?--format json \| (jq .*)$", re.MULTILINE)
EXAMPLES = EXAMPLE.findall((ROOT / "docs" / "schema.md").read_text())
PATHS = ("/small/10", "/large/200000", "/posted/30000+", "/missing/0")
JQ_TIMEOUT_S = 60


@pytest.fixture
def captured(targets: Targets, taps: Taps) -> tuple[Ended, Truth]:
    """A client's exchanges, recorded, and what it says it sent and received."""
    server = targets.server("http")
    client = targets.ready("client.py", *server.address, targets.certificate, *PATHS)
    tap = taps.ready("--pid", client.pid)
    client.go()
    (truth,) = client.finish()
    server.finish()
    return tap.stop_clean(), truth


def lines(taps: Taps, *arguments: object) -> list[dict[str, Any]]:
    replayed = taps.run("replay", *arguments)
    replayed.check_clean()
    found = [json.loads(line) for line in replayed.out.splitlines()]
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    for line in found:
        validator.validate(line)
    return found


def data_of(line: dict[str, Any], name: str = "data") -> bytes:
    text: str = line[name]
    return base64.b64decode(text) if line[f"{name}_encoding"] == "base64" else text.encode()


def test_every_byte_is_in_the_records(captured: tuple[Ended, Truth], taps: Taps) -> None:
    ended, truth = captured
    shown = lines(taps, ended.record, "-vv", "-t", 0, "--format", "json")
    for direction, expected in (("in", truth.read), ("out", truth.written)):
        records = [line for line in shown if line["type"] == "record" and line["direction"] == direction]
        content = b"".join(map(data_of, records))
        assert (len(content), hashlib.sha256(content).hexdigest()) == (expected.count, expected.sha256)
        at = 0
        for exchange in (line for line in shown if line["type"] == "exchange"):
            side = exchange["response" if direction == "in" else "request"]
            body = data_of(side, "body")
            assert len(body) == side["body_bytes"]
            at = content.index(body, at) + len(body)


def test_exchanges_ends_and_the_summary(captured: tuple[Ended, Truth], taps: Taps) -> None:
    ended, truth = captured
    shown = lines(taps, ended.record, "--format", "json")
    exchanges = [line for line in shown if line["type"] == "exchange"]
    assert [line["request"]["target"] for line in exchanges] == [path.rstrip("+") for path in PATHS]
    assert {line["process"]["pid"] for line in shown[:-1]} == {truth.pid}
    assert exchanges[1]["response"]["body_truncated"]
    assert exchanges[1]["response"]["body_left_out_bytes"] == 200_000 - 65536
    (end,) = [line for line in shown if line["type"] == "end"]
    assert (end["read_bytes"], end["written_bytes"]) == (truth.read.count, truth.written.count)
    assert shown[-1]["type"] == "summary"
    assert (shown[-1]["exchanges"], shown[-1]["losses"]) == (len(PATHS), {})


def test_several_forms_at_once(captured: tuple[Ended, Truth], taps: Taps, tmp_path: Path) -> None:
    """Each is what it is alone."""
    record = captured[0].record
    alone = {form: taps.run("replay", record, "--format", form).out for form in ("text", "json", "hex", "ecapture")}
    together = taps.run(
        "replay",
        record,
        "--format",
        ",".join(["text", *(f"{form}:{tmp_path / form}" for form in ("json", "ecapture"))]),
    )
    together.check_clean()
    assert together.out == alone["text"]
    assert (tmp_path / "ecapture").read_text() == alone["ecapture"]
    assert (tmp_path / "json").read_text() == alone["json"]
    assert alone["hex"].count(" bytes at offset ") > len(PATHS)


@pytest.fixture
def json_lines(captured: tuple[Ended, Truth], taps: Taps) -> str:
    replayed = taps.run("replay", captured[0].record, "--format", "json")
    replayed.check_clean()
    return replayed.out


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 5


@pytest.mark.parametrize("example", EXAMPLES)
def test_documented_examples_run(json_lines: str, example: str) -> None:
    require_command("jq")
    done = subprocess.run(
        ["sh", "-c", example], input=json_lines.encode(), capture_output=True, timeout=JQ_TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    # Those of JSON bodies, errors, WebSockets and losses have nothing to find here.
    nothing = ("fromjson", ">= 400", '"websocket"', '"lost"')
    assert bool(done.stdout) is not any(word in example for word in nothing)
