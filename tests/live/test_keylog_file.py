# SPDX-License-Identifier: Apache-2.0
"""Where `-m keylog` writes: whole lines, once, for nobody else to read; and what is done when it cannot."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.keylog import KeyLog
from harness.pair import Pair, keep
from harness.require import require_command
from harness.tap import Ended, Taps
from harness.target import Targets

LOST_SETS = re.compile(r"lost .*?(\d+) secret sets?: could not be written")
WHOLE = 5
SMALL_BYTES = 8192


def test_written_once_over_two_runs(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """A second run with the same file adds what is new; what was in it before stays."""
    pair = Pair(targets, tmp_path, tls="1.3")
    keylog = tmp_path / "keylog"
    kept = f"CLIENT_RANDOM {'12' * 32} {'34' * 48}\n"
    keylog.write_text(kept)
    first = keep(taps, pair.pids, keylog)
    pair.do("connect", "get /a/100")
    first.wait_until_drained()
    first.stop_clean()
    assert keylog.read_text().startswith(kept)
    written = KeyLog.read(keylog)
    second = keep(taps, pair.pids, keylog)
    pair.do("get /b/100", "close", "connect", "get /c/100", "close")
    pair.finish()
    second.stop_clean()
    both = KeyLog.read(keylog)
    assert both.secrets[: len(written.secrets)] == written.secrets
    both.check_no_duplicates()
    assert set(both.secrets) == {*pair.witness.secrets, *KeyLog.parse(kept).secrets}


def test_the_default_file(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    pair = Pair(targets, tmp_path, tls="1.3")
    place = tmp_path / "place"
    place.mkdir()
    tap = taps.ready("--pid", pair.pids, "-m", "key", before=(require_command("env"), "-C", str(place)))
    pair.do("connect", "get /a/100", "close")
    pair.finish()
    tap.stop_clean()
    assert [path.name for path in place.iterdir()] == ["plaintap_openssl_key.log"]
    KeyLog.read(place / "plaintap_openssl_key.log").check_same(pair.witness)


def test_standard_output(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    pair = Pair(targets, tmp_path, tls="1.2")
    tap = keep(taps, pair.pids, "-", model="keylog")
    pair.do("connect", "get /a/100", "close")
    pair.finish()
    KeyLog.parse(tap.stop_clean().out).check_same(pair.witness)


def check_pieces(pieces: list[bytes], pair: Pair) -> None:
    assert len(pieces) > 1
    assert [piece[-100:] for piece in pieces if not piece.endswith(b"\n")] == []
    KeyLog.parse(b"".join(pieces).decode()).check_same(pair.witness)


def test_a_reader_of_a_pipe_gets_whole_lines(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """There every write can be told from the next by who waits for it."""
    pair = Pair(targets, tmp_path, tls="1.3")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    pieces: list[bytes] = []
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def follow() -> None:
        while piece := os.read(reading, 1 << 20):
            pieces.append(piece)

    tap = keep(taps, pair.pids, fifo)
    os.set_blocking(reading, True)
    follower = threading.Thread(target=follow)
    follower.start()
    pair.do("many 100 /a/100")
    pair.finish()
    tap.stop_clean()
    follower.join()
    os.close(reading)
    check_pieces(pieces, pair)


def test_a_reader_of_the_file_sees_whole_lines(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """However often it looks."""
    pair = Pair(targets, tmp_path, tls="1.3")
    keylog = tmp_path / "keylog"
    keylog.touch()
    pieces: list[bytes] = []
    ended = threading.Event()

    def follow() -> None:
        with keylog.open("rb", buffering=0) as file:
            last = False
            while not last:
                last = ended.is_set()
                while piece := file.read(1 << 20):
                    pieces.append(piece)

    tap = keep(taps, pair.pids, keylog)
    follower = threading.Thread(target=follow)
    follower.start()
    try:
        pair.do("many 200 /a/100")
        pair.finish()
        tap.stop_clean()
    finally:
        ended.set()
        follower.join()
    check_pieces(pieces, pair)


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "plaintap-test", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextmanager
def bad_file(kind: str, folder: Path) -> Iterator[Path]:
    """A place that takes no key log, or not all of one."""
    place = folder / "place"
    if kind == "directory":
        place.mkdir()
        yield place
    elif kind == "fifo":
        os.mkfifo(place)
        yield place
    elif kind == "read-only":
        with mounted(place, "ro") as mount:
            yield mount / "keylog"
    else:
        with mounted(place, f"size={SMALL_BYTES}") as mount:
            yield mount / "keylog"


def run_with(pair: Pair, taps: Taps, keylog: Path, *flags: str) -> Ended:
    tap = keep(taps, pair.pids, keylog, "--format", "text", *flags)
    pair.do("many 20 /a/100")
    said = pair.finish()
    ended = tap.stop()
    ended.streams.check_all(said, comm=pair.comm)
    return ended


@pytest.mark.parametrize(
    ("kind", "strict"),
    [
        ("directory", False),
        ("fifo", True),
        ("full", True),
        pytest.param("directory", True, marks=pytest.mark.matrix),
        pytest.param("fifo", False, marks=pytest.mark.matrix),
        pytest.param("full", False, marks=pytest.mark.matrix),
        pytest.param("read-only", False, marks=pytest.mark.matrix),
        pytest.param("read-only", True, marks=pytest.mark.matrix),
    ],
)
def test_text_goes_on_without_a_key_log(targets: Targets, taps: Taps, tmp_path: Path, kind: str, strict: bool) -> None:
    """It is said and counted, and with --strict the run has failed."""
    pair = Pair(targets, tmp_path, tls="1.3")
    with bad_file(kind, tmp_path) as keylog:
        ended = run_with(pair, taps, keylog, *(["--strict"] if strict else []))
        ended.check_clean(code=1 if strict else 0)
        assert str(keylog) in ended.err
        whole = 0
        if kind == "full":
            taken = KeyLog.read(keylog)
            taken.check_no_duplicates()
            assert set(taken.secrets) < set(pair.witness.secrets)
            lines = Counter(secret.client_random for secret in taken.secrets)
            whole = sum(number == WHOLE for number in lines.values())
            assert whole, "none fitted"
        lost = LOST_SETS.search(ended.summary)
        assert lost, ended.err
        assert int(lost[1]) == len({secret.client_random for secret in pair.witness.secrets}) - whole
