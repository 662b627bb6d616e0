# SPDX-License-Identifier: Apache-2.0
"""From records to the file of keys, live and replayed: what is written, shown, counted, and said when it cannot be."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from record_bytes import Handshake, Speaker, ipv4_socket, recording
from tls13_vectors import OFFSETS, RFC8448, WHOLE

from plaintap import _native
from plaintap.config import CommonConfig, ReplayConfig
from plaintap.errors import OutputError, RecordingError
from plaintap.events import READ, WRITE, Fact, SecretsSeen
from plaintap.messages import Totals
from plaintap.session import replay
from plaintap.session.pipeline import Pipeline
from plaintap.session.processes import Processes

SOCKET = ipv4_socket(local_port=40000, remote_port=443)
GET = b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
MASTER_KEY = bytes(range(1, 49))
RFC_LINES = [f"{label} {RFC8448.client_random.hex()} {secret.hex()}" for label, secret in RFC8448.lines]


def master_key_line(client_random: bytes) -> str:
    return f"CLIENT_RANDOM {client_random.hex()} {MASTER_KEY.hex()}"


def tls13(**changes: Any) -> bytes:
    handshake = Handshake(RFC8448.client_random, socket=SOCKET, **changes)
    return handshake.secrets(cipher=RFC8448.cipher, block=RFC8448.block())


def tls12(number: int = 1, **changes: Any) -> bytes:
    handshake = Handshake(bytes([number]) * 32, socket=SOCKET, **changes)
    return handshake.secrets(version=0x0303, cipher=0xC02F, master_key=MASTER_KEY)


@dataclass
class Listener:
    """A reporter that keeps what it is told."""

    notices: list[str] = field(default_factory=list)
    totals: Totals | None = None

    def ready(
        self,
        *,
        processes: int,
        tls_processes: int,
        libraries: list[str],
        seconds: float,
        keys_to: str = "",
        packets_to: str = "",
    ) -> None:
        raise AssertionError("nothing is attached here")

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def debug(self, text: str) -> None:
        """Not kept."""

    def summary(self, totals: Totals) -> None:
        self.totals = totals


class Live:
    """A pipeline as a capture has it, fed by hand."""

    def __init__(
        self, path: Path | str, *, model: tuple[str, ...] = ("keylog",), trusted: bool = True, **options: Any
    ) -> None:
        self.listener = Listener()
        self.stopped = 0
        self.learnt: list[Fact] = []
        common = CommonConfig(model=model, keylogfile=str(path), color="never", **options)  # type: ignore[arg-type]
        self.pipeline = Pipeline(
            common,
            clock_offset_ns=0,
            stop=self._stop,
            learn=self.learnt.append,
            reporter=self.listener,
            processes=Processes(),
        )
        self.pipeline.add_library(1, "libssl 3.0.22", tells_ends=True, secrets=OFFSETS, trusted=trusted)
        self._decoder = _native.Decoder()

    def _stop(self) -> None:
        self.stopped += 1

    def feed(self, *records: bytes) -> None:
        """One batch."""
        self.pipeline.feed(self._decoder.decode(b"".join(records))[0])

    def close(self) -> Totals:
        return self.pipeline.close({}, now_ns=5_000_000_000, duration_s=4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.log"


def test_keys_alone(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    live = Live(path)
    assert not live.pipeline.shows
    assert live.pipeline.keys_to == str(path)
    live.feed(tls13(), tls12())
    totals = live.close()
    assert path.read_text().splitlines() == [*RFC_LINES, master_key_line(b"\1" * 32)]
    assert (totals.secret_sets, totals.connections, totals.processes, totals.unattributed) == (2, 1, 1, 0)
    assert totals.losses == {}
    assert not live.pipeline.failed
    assert capfd.readouterr() == ("", "")
    assert [type(fact) for fact in live.learnt] == [SecretsSeen, SecretsSeen]


def test_what_is_told_of_keys_makes_no_difference_to_them(path: Path, tmp_path: Path) -> None:
    """With -v each record is decoded whole, without it only what keys are made of."""
    told = tmp_path / "told.log"
    records = [tls13(), tls12(), tls13(session=6, pid=78), tls12(2, pid=79)]
    totals = []
    for place, verbose in ((path, 0), (told, 1)):
        live = Live(place, verbose=verbose)
        live.feed(*records)
        totals.append((live.pipeline.repeated_secrets, live.close()))
    assert path.read_text() == told.read_text()
    assert totals[0] == totals[1]
    assert totals[0][0] == 1


def test_keys_are_there_before_the_end(path: Path) -> None:
    live = Live(path)
    live.feed(tls12(1))
    live.pipeline._keylog._sink.drain()  # type: ignore[union-attr]
    assert path.read_text().splitlines() == [master_key_line(b"\1" * 32)]
    live.close()


def test_text_and_keys_from_one_capture(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    live = Live(path, model=("text", "keylog"))
    curl = Speaker(socket=SOCKET)
    live.feed(tls13(), curl.data(WRITE, GET), curl.data(READ, OK), tls12())
    totals = live.close()
    assert path.read_text().splitlines() == [*RFC_LINES, master_key_line(b"\1" * 32)]
    assert (totals.secret_sets, totals.exchanges, totals.connections) == (2, 1, 1)
    (line,) = capfd.readouterr().out.splitlines()
    assert "https://api.test/" in line


def test_text_alone_counts_no_keys(path: Path) -> None:
    live = Live(path, model=("text",))
    live.feed(tls13())
    assert live.pipeline.keys_to == ""
    assert live.close().secret_sets is None
    assert not path.exists()


def test_verbose_tells_of_each_handshake(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    live = Live(path, verbose=1)
    handshake = Handshake(b"l" * 32, socket=SOCKET)
    live.feed(tls13(), *(handshake.logged(label, MASTER_KEY) for label in WHOLE))
    live.close()
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("127.0.0.1:443  TLS 1.3 TLS_AES_128_GCM_SHA256  5 secrets  libssl 3.0.22")
    assert lines[1].endswith("curl[77]         ·  127.0.0.1:443  TLS 1.3  5 secrets  libssl 3.0.22")


def test_keys_on_standard_output_have_it_for_themselves(capfd: pytest.CaptureFixture[str]) -> None:
    live = Live("-", verbose=1)
    assert live.pipeline.keys_to == "standard output"
    live.feed(tls13())
    live.close()
    out, err = capfd.readouterr()
    assert out.splitlines() == RFC_LINES
    assert "5 secrets" in err


def test_a_restart_with_the_same_file_writes_nothing_twice(path: Path) -> None:
    first = Live(path)
    first.feed(tls13(), tls12(1))
    first.close()
    once = path.read_bytes()
    second = Live(path)
    second.feed(tls12(1), tls13(), tls12(2))
    assert second.close().secret_sets == 1
    assert path.read_bytes() == once + master_key_line(b"\2" * 32).encode() + b"\n"


def test_both_ends_on_this_host_are_one_set(path: Path) -> None:
    live = Live(path)
    live.feed(tls13(), tls13(session=6, pid=78))
    totals = live.close()
    assert path.read_text().splitlines() == RFC_LINES
    assert (totals.secret_sets, totals.connections, totals.processes) == (1, 2, 2)


def test_what_is_not_whole_is_counted(path: Path) -> None:
    live = Live(path)
    live.feed(Handshake(b"r" * 32).secrets(version=0x0303, master_key=MASTER_KEY[:40]))
    totals = live.close()
    assert (totals.secret_sets, totals.losses, totals.lost_anything) == (0, {"secrets_refused": 1}, True)
    assert path.read_bytes() == b""


def test_a_doubtful_layout_is_said_once(path: Path) -> None:
    live = Live(path, trusted=False)
    live.feed(*(tls12(number, flags=2) for number in range(1, 9)))
    live.close()
    (notice,) = live.listener.notices
    assert notice.startswith("libssl 3.0.22: its keys are doubtful")


def test_a_file_that_cannot_be_opened_ends_it_before_it_began_where_keys_are_all(tmp_path: Path) -> None:
    for model, format_ in ((("keylog",), "text"), (("text", "keylog"), "none")):
        with pytest.raises(OutputError, match=f"^cannot write keys to {tmp_path}: is a directory$"):
            Live(tmp_path, model=model, format=format_)


def test_with_text_it_is_said_and_counted_and_text_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    live = Live(tmp_path, model=("text", "keylog"))
    curl = Speaker(socket=SOCKET)
    live.feed(tls13(), tls12(), curl.data(WRITE, GET), curl.data(READ, OK))
    totals = live.close()
    assert live.listener.notices == [f"cannot write keys to {tmp_path}: is a directory; the keys are only counted"]
    assert live.pipeline.keys_to == ""
    assert (totals.secret_sets, totals.exchanges) == (2, 1)
    assert totals.losses == {"keylog_failed": 1, "keylog_lost": 2}
    assert "https://api.test/" in capfd.readouterr().out
    assert not live.pipeline.failed


@pytest.mark.parametrize(("model", "failed"), [(("keylog",), True), (("text", "keylog"), False)])
def test_a_full_disk_is_said_once_and_counted(model: tuple[str, ...], failed: bool) -> None:
    live = Live("/dev/full", model=model)
    for number in range(1, 6):
        live.feed(tls12(number))
    totals = live.close()
    (notice,) = live.listener.notices
    expected = "cannot write to the key log /dev/full: no space left on device; what cannot be written is counted"
    assert notice == expected
    assert (totals.secret_sets, totals.losses, live.pipeline.failed) == (5, {"keylog_lost": 5}, failed)
    assert live.stopped == 0


@pytest.mark.parametrize(("model", "stopped"), [(("keylog",), 1), (("text", "keylog"), 0)])
def test_a_reader_that_goes(path: Path, model: tuple[str, ...], stopped: int) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    live = Live(path, model=model)
    os.close(reader)
    live.feed(tls12(1))
    live.pipeline._keylog._sink.drain()  # type: ignore[union-attr]
    live.pipeline.tick(1)
    live.feed(tls12(2))
    totals = live.close()
    assert (live.stopped, totals.losses, live.pipeline.failed) == (stopped, {}, False)
    assert live.listener.notices == ([] if stopped else [f"nobody reads the keys at {path} any more"])


def test_a_pipe_without_a_reader_does_not_block_the_start(path: Path) -> None:
    os.mkfifo(path)
    live = Live(path)
    live.feed(tls12(1))
    live.pipeline.hurry()
    live.pipeline.abandon()
    with path.open("rb"):  # the thread may go
        pass


def test_a_pipe_nobody_comes_to_read_does_not_hold_up_the_end(path: Path) -> None:
    os.mkfifo(path)
    live = Live(path)
    live.feed(tls12(1), tls12(2))
    assert live.close().losses == {"keylog_lost": 2}
    with path.open("rb"):  # the thread may go
        pass


def test_a_pipe_whose_reader_is_stuck_does_not_hold_up_the_end(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    filler = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(filler, bytes(4096)):
            pass
    live = Live(path)
    live.feed(tls12(1))
    assert live.close().losses == {"keylog_lost": 1}
    os.close(reader)
    os.close(filler)


@pytest.mark.parametrize("there", [False, True])
def test_a_start_that_failed_leaves_no_file_of_its_own(path: Path, there: bool) -> None:
    if there:
        path.touch()
    live = Live(path)
    live.pipeline.abandon()
    live.pipeline.abandon()
    assert path.exists() == there


def test_a_capture_without_keys_leaves_an_empty_file(path: Path) -> None:
    live = Live(path)
    live.close()
    live.pipeline.abandon()
    assert path.read_bytes() == b""


def test_a_replay_of_what_is_no_recording_leaves_no_file(tmp_path: Path, path: Path) -> None:
    with pytest.raises(RecordingError):
        replayed(tmp_path, b"no recording", model=("keylog",), keylogfile=str(path))
    assert not path.exists()


@dataclass
class Replayed:
    code: int
    listener: Listener


def replayed(tmp_path: Path, data: bytes, **options: Any) -> Replayed:
    file = tmp_path / "a.ptap"
    file.write_bytes(data)
    listener = Listener()
    common = CommonConfig(color="never", **options)
    return Replayed(replay(ReplayConfig(path=str(file), common=common), reporter=listener), listener)


@pytest.mark.parametrize("model", [("keylog",), ("text", "keylog")])
def test_a_replay_makes_the_keys(tmp_path: Path, path: Path, model: tuple[str, ...]) -> None:
    curl = Speaker(socket=SOCKET)
    data = recording(tls13(), curl.data(WRITE, GET), tls12(), curl.end(), layout=OFFSETS)
    done = replayed(tmp_path, data, model=model, keylogfile=str(path), strict=True)
    assert path.read_text().splitlines() == [*RFC_LINES, master_key_line(b"\1" * 32)]
    assert (done.code, done.listener.notices) == (0, [])
    assert done.listener.totals
    assert done.listener.totals.secret_sets == 2


def test_a_replay_of_keys_alone_shows_no_plaintext(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    curl = Speaker(socket=SOCKET)
    data = recording(tls12(), curl.data(WRITE, GET), curl.data(READ, OK), curl.end())
    done = replayed(tmp_path, data, model=("keylog",), keylogfile="-")
    assert capfd.readouterr().out.splitlines() == [master_key_line(b"\1" * 32)]
    assert done.listener.totals
    assert (done.listener.totals.exchanges, done.listener.totals.connections) == (0, 1)


def test_a_recording_without_secrets_says_so(tmp_path: Path, path: Path) -> None:
    curl = Speaker(socket=SOCKET)
    done = replayed(tmp_path, recording(curl.data(WRITE, GET)), model=("keylog",), keylogfile=str(path))
    expected = f"{tmp_path}/a.ptap holds no keys to write: only a recording made with -m keylog does"
    assert (done.listener.notices, done.code, path.read_bytes()) == ([expected], 0, b"")


@pytest.mark.parametrize("model", [("keylog",), ("text", "keylog")])
def test_a_recording_replayed_twice_says_that_its_keys_are_there(
    tmp_path: Path, path: Path, model: tuple[str, ...]
) -> None:
    options: dict[str, Any] = {"model": model, "keylogfile": str(path)}
    data = recording(tls13(), tls12(), layout=OFFSETS)
    assert replayed(tmp_path, data, **options).listener.notices == []
    once = path.read_bytes()
    assert replayed(tmp_path, data, **options).listener.notices == [
        f"{tmp_path}/a.ptap has no keys that are new: {path} has them all"
    ]
    assert path.read_bytes() == once


def test_a_recording_without_a_layout_has_the_keys_that_need_none(tmp_path: Path, path: Path) -> None:
    done = replayed(tmp_path, recording(tls13(), tls12()), model=("text", "keylog"), keylogfile=str(path), strict=True)
    assert path.read_text().splitlines() == [master_key_line(b"\1" * 32)]
    assert done.code == 1
    assert done.listener.totals
    assert done.listener.totals.losses == {"secrets_refused": 1}


def test_two_captures_into_one_file_are_told(path: Path) -> None:
    first, second = Live(path), Live(path)
    assert first.listener.notices == []
    assert second.listener.notices == [f"another plaintap writes keys to {path} too: lines of both may be in it twice"]
    first.feed(tls12(1))
    second.feed(tls12(2))
    first.close()
    second.close()
    assert path.read_text().splitlines() == [master_key_line(b"\1" * 32), master_key_line(b"\2" * 32)]
