# SPDX-License-Identifier: Apache-2.0
"""A HAR of a real capture: against a schema of HAR 1.2 that others wrote, and after a kill."""

from __future__ import annotations

import base64
import json
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from harness.fetched import fetched, npm
from harness.tap import Ended, Taps
from harness.target import Targets
from jsonschema import Draft6Validator
from referencing import Registry
from referencing.jsonschema import DRAFT6

PATHS = ("/small/10", "/large/200000", "/posted/30000+", "/again/500")
MANY = tuple(f"/number/{1000 + number}" for number in range(200))
HAR_SCHEMA = "har-schema@2.0.0"


def recorded(targets: Targets, taps: Taps, paths: tuple[str, ...]) -> Ended:
    server = targets.server("http")
    client = targets.ready("client.py", *server.address, targets.certificate, *paths)
    tap = taps.ready("--pid", client.pid)
    client.go()
    client.finish()
    server.finish()
    return tap.stop_clean()


@pytest.fixture
def schema() -> Draft6Validator:
    folder = fetched(HAR_SCHEMA, npm(HAR_SCHEMA)) / "package" / "lib"
    parts = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    (root,) = [part for part in parts if part["$id"] == "har.json#"]
    # Each is referred to with and without the empty fragment of its id.
    resources = [(part["$id"], DRAFT6.create_resource(part)) for part in parts]
    resources += [(part["$id"].rstrip("#"), DRAFT6.create_resource(part)) for part in parts]
    registry: Registry[Any] = Registry().with_resources(resources)
    return Draft6Validator(root, registry=registry, format_checker=Draft6Validator.FORMAT_CHECKER)


def entries(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_bytes())["log"]["entries"]
    return found


def test_it_passes_the_schema(targets: Targets, taps: Taps, tmp_path: Path, schema: Draft6Validator) -> None:
    ended, path = recorded(targets, taps, PATHS), tmp_path / "day.har"
    taps.run("replay", ended.record, "--format", f"har:{path}").check_clean()
    schema.validate(json.loads(path.read_bytes()))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = entries(path)
    assert [entry["request"]["url"].partition("/")[2][1:].partition("/")[2] for entry in found] == [
        each.strip("/+") for each in PATHS
    ]
    for entry, wanted in zip(found, PATHS, strict=True):
        size = int(wanted.strip("+").rpartition("/")[2])
        content = entry["response"]["content"]
        body = base64.b64decode(content["text"]) if content.get("encoding") else content["text"].encode()
        assert len(body) == content["size"] == entry["response"]["bodySize"]
        assert entry["request"]["bodySize"] == (size if wanted.endswith("+") else 0)
    # --body-limit is not for HAR: nothing is cut.
    assert found[1]["response"]["content"]["size"] == 200_000
    whole = taps.run("har", path)
    whole.check_clean()
    assert whole.out == f"{path}: {len(PATHS)} entries, whole\n"


def test_it_is_continued(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    ended, path = recorded(targets, taps, PATHS), tmp_path / "day.har"
    for _ in range(2):
        taps.run("replay", ended.record, "--format", f"har:{path}").check_clean()
    assert len(entries(path)) == 2 * len(PATHS)


def test_a_kill_leaves_it_whole(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """In the middle of all, and not in the middle of a write: each is one system call."""
    ended, path = recorded(targets, taps, MANY), tmp_path / "day.har"
    tap = taps.start("replay", "--realtime", ended.record, "--format", f"text,har:{path}")
    while tap.out.count("\n") < len(MANY) // 10:
        assert tap.process.poll() is None
    tap.send(signal.SIGKILL)
    assert tap.wait().code == -signal.SIGKILL
    found = entries(path)
    assert found
    assert [entry["request"]["url"].rpartition("/")[2] for entry in found] == [
        each.rpartition("/")[2] for each in MANY[: len(found)]
    ]


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_a_torn_file_is_repaired(targets: Targets, taps: Taps, tmp_path: Path, cut: int) -> None:
    ended, path = recorded(targets, taps, MANY[:20]), tmp_path / "day.har"
    taps.run("replay", ended.record, "--format", f"har:{path}").check_clean()
    before = entries(path)
    path.write_bytes(path.read_bytes()[:-cut])
    taps.run("har", path).check_clean(code=1)
    refused = taps.run("replay", ended.record, "--format", f"har:{path}")
    refused.check_clean(code=1)
    assert f"`plaintap har --repair {path}` restores it" in refused.err
    repaired = taps.run("har", "--repair", path)
    repaired.check_clean()
    after = entries(path)
    assert after
    assert after == before[: len(after)]
    assert f"{len(after)} entries kept" in repaired.out
    taps.run("replay", ended.record, "--format", f"har:{path}").check_clean()
    assert len(entries(path)) == len(after) + len(before)


def test_what_is_no_har_of_ours_is_left_alone(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    ended, path = recorded(targets, taps, PATHS[:1]), tmp_path / "other.har"
    path.write_text('{"log": {}}')
    refused = taps.run("replay", ended.record, "--format", f"har:{path}")
    refused.check_clean(code=1)
    assert "it holds something that is no HAR of plaintap" in refused.err
    taps.run("har", "--repair", path).check_clean(code=1)
    assert path.read_text() == '{"log": {}}'
