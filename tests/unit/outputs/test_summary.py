# SPDX-License-Identifier: Apache-2.0
"""The first and the last line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from plaintap.messages import Totals
from plaintap.outputs.summary import loss_words, ready_line, summary_line

PACKAGE = Path(__file__).parents[3] / "src" / "plaintap"


def counters() -> Iterator[str]:
    """The kernel side's by its table, the session's by where they are set: read off the sources."""
    for path in (PACKAGE / "runtime" / "counters.py", *(PACKAGE / "session").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "losses":
                (returned,) = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
                assert isinstance(returned, ast.Dict)
                yield from (ast.literal_eval(key) for key in returned.keys if key)
            elif isinstance(node, ast.Assign):
                (target, *_), value = map(ast.unparse, node.targets), node.value
                if target == "NAMES":
                    yield from ast.literal_eval(value)
                elif target == "losses" and isinstance(value, ast.Dict):
                    yield from (ast.literal_eval(key) for key in value.keys if key)
                elif target.endswith("']") and target.partition("[")[0].endswith(("losses", "kernel", "counters")):
                    yield target.partition("['")[2][:-2]


def test_ready_line() -> None:
    assert ready_line("0.1", 214, ["libssl 3.0.22", "libssl 1.1.1r in psycopg2", "node 20.20.2"], 41, 0.308) == (
        "plaintap 0.1 · 214 processes · 3 TLS libraries in 41 of them "
        "(libssl 3.0.22, libssl 1.1.1r in psycopg2, node 20.20.2) · attached in 0.31 s"
    )
    assert ready_line("0.1", 1, [], 0, 0.1) == (
        "plaintap 0.1 · 1 process · no TLS library in any of them yet · attached in 0.10 s"
    )
    many = ready_line("0.1", 9, [f"lib{number}\x1b" for number in range(8)], 3, 1)
    assert (
        "8 TLS libraries in 3 of them (lib0\\x1b, lib1\\x1b, lib2\\x1b, lib3\\x1b, lib4\\x1b, lib5\\x1b, 2 more)"
        in many
    )


def test_ready_line_says_where_keys_go() -> None:
    assert ready_line("0.1", 1, [], 0, 0.1, keys_to="/tmp/a\x1b.log") == (
        "plaintap 0.1 · 1 process · no TLS library in any of them yet · attached in 0.10 s · keys to /tmp/a\\x1b.log"
    )


@pytest.mark.parametrize(
    ("changes", "middle"),
    [
        ({"secret_sets": 3}, "3 secret sets"),
        ({"secret_sets": 0}, "0 secret sets"),
        ({"secret_sets": 1, "exchanges": 2, "bytes": 9}, "1 secret set · 2 exchanges · 9 B"),
        ({"secret_sets": None}, "0 exchanges · 0 B"),
    ],
)
def test_summary_line_counts_keys_where_they_were_asked_for(changes: dict[str, int], middle: str) -> None:
    totals = Totals(duration_s=12, processes=2, connections=4, **changes)  # type: ignore[arg-type]
    assert summary_line(totals) == f"12 s · 2 processes · 4 connections · {middle} · nothing lost"


def test_summary_line() -> None:
    totals = Totals(192, 41, 212, 1904, 38_100_000)
    start = "3 min 12 s · 41 processes · 212 connections · 1,904 exchanges · 38.1 MB"
    assert summary_line(totals) == f"{start} · nothing lost"
    totals.unattributed = 2
    assert summary_line(totals) == f"{start} · 2 connections without an address · nothing lost"
    totals.unattributed = 0
    totals.losses = {"ring_full_records": 3, "ring_full_bytes": 49152, "gap_bytes": 49152, "too_deep": 0}
    totals.lost_bytes = 49152
    assert summary_line(totals, mapsize_kb=8192) == (
        f"{start} · lost 3 records (49,152 bytes): ring full - try --mapsize 16384"
    )


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ({"ring_full_records": 1}, ["1 record: ring full - try a larger --mapsize"]),
        (
            {"unread_records": 2, "unread_bytes": 4100},
            ["2 records (4,100 bytes): the target's memory could not be read"],
        ),
        ({"beyond_ceiling_bytes": 12}, ["12 bytes: beyond what one call may carry"]),
        ({"gap_bytes": 5}, ["5 bytes: gaps in streams"]),
        (
            {"unread_bytes": 3, "gap_bytes": 5},
            ["3 bytes: the target's memory could not be read", "2 bytes: more gaps in streams"],
        ),
        ({"map_full": 1}, ["1 call: a kernel table was full"]),
        ({"unmatched_returns": 2}, ["2 calls: only the return was seen"]),
        ({"too_deep": 1}, ["1 call: nested too deep"]),
        ({"missed_runs": 7}, ["7 probe runs: skipped by the kernel"]),
        ({"evicted_connections": 2}, ["2 connections: evicted, too many at once"]),
        ({"undecodable_records": 1}, ["1 record: not understood"]),
        ({"parser_failures": 1}, ["1 stream: the parser failed"]),
        ({"sink_dropped": 3, "sink_dropped_bytes": 500}, ["3 writes (500 bytes): the output could not take them"]),
        ({"watch_lost": 4}, ["4 mapping notices: a new library may have been missed"]),
        ({"not_held": 1}, ["1 process: not stopped at a new library, its first bytes may be missing"]),
        ({"sessions_without_secrets": 1}, ["1 connection: ended before their keys were found"]),
        ({"sessions_evicted": 2}, ["2 sessions: the kernel's table was full, their streams began anew"]),
        ({"secrets_refused": 2}, ["2 handshakes: secrets that were not whole, or contradicted each other"]),
        ({"keylog_lost": 1}, ["1 secret set: could not be written"]),
        ({"keylog_failed": 1}, ["the key log: it could not be opened"]),
        ({"recording_failed": 1}, ["the end of the recording: it could not be written"]),
        ({"cut_recording_bytes": 7}, ["7 bytes: the recording ends inside a record"]),
        ({"from_the_future": 4}, ["from_the_future 4"]),
        ({"map_full": 0}, []),
    ],
)
def test_every_loss_has_words(losses: dict[str, int], words: list[str]) -> None:
    assert loss_words(Totals(losses=losses)) == words


def test_lost_bytes_without_a_counter() -> None:
    assert summary_line(Totals(lost_bytes=7)).endswith(" · lost 7 bytes: gaps in streams")


def test_every_counter_there_is_has_words() -> None:
    names = set(counters())
    assert {"keylog_lost", "keylog_failed", "secrets_refused"} <= names
    assert {"ring_full_bytes", "recording_failed", "watch_lost", "sink_dropped", "parser_failures"} <= names
    assert [name for name in sorted(names) if name in " ".join(loss_words(Totals(losses={name: 1})))] == []
