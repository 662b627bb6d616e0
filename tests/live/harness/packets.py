# SPDX-License-Identifier: Apache-2.0
"""Packets on the loopback device, as an independent program saw them, and what tshark decrypts of them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.require import require_command
from harness.target import read_line
from harness.truth import Address, Digest, Truth

TIMEOUT_S = 60.0
POLL_S = 0.02
ENDS = ("tcp.stream", "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport")
FRAME_FIELDS = (
    "frame.time_epoch",
    "frame.len",
    "frame.interface_name",
    "frame.comment",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags",
)
FIELDS = (
    "tcp.srcport",
    "tcp.dstport",
    "http.request.method",
    "http.request.uri",
    "http.response.code",
    "http.file_data",
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One TCP connection as tshark decrypted it: what its client and its server said."""

    client: Address
    server: Address
    sent: bytes
    received: bytes

    def __repr__(self) -> str:
        return f"<{self.client}-{self.server} sent {len(self.sent)} received {len(self.received)}>"

    def is_of(self, truth: Truth) -> bool:
        return {truth.local, truth.remote} == {self.client, self.server}

    def check(self, truth: Truth) -> None:
        """Asserts that the peer at either end saw just these bytes."""
        ours = (self.sent, self.received) if truth.local == self.client else (self.received, self.sent)
        assert (Digest.of(ours[0]), Digest.of(ours[1])) == (truth.written, truth.read), self


@dataclass(frozen=True, slots=True)
class Message:
    """An HTTP message as tshark's own parser has it, of a decrypted connection."""

    ports: tuple[int, int]
    method: str
    uri: str
    status: str
    file_data: str

    @property
    def content(self) -> bytes:
        """The body, which versions of tshark write as text or as hexadecimal."""
        text = self.file_data.replace(":", "")
        try:
            return bytes.fromhex(text)
        except ValueError:
            return self.file_data.encode()


@dataclass(frozen=True, slots=True)
class Frame:
    """A packet of a file."""

    ts_ns: int
    length: int
    interface: str
    comment: str
    ports: tuple[int, int]
    flags: int


class Packets:
    """A capture file."""

    def __init__(self, file: Path, ports: Sequence[int]) -> None:
        self.file = file
        self.ports = tuple(ports)

    def _tshark(self, keylog: Path | None, *words: str) -> bytes:
        """Without a key log it has what is in the file."""
        command = [require_command("tshark"), "-n", "-r", str(self.file)]
        # With two processors what one sends right after the other can be captured before it.
        command += ["-o", "tcp.reassemble_out_of_order:TRUE"]
        if keylog:
            command += ["-o", f"tls.keylog_file:{keylog}"]
        for port in self.ports:
            command += ["-d", f"tcp.port=={port},tls", "-d", f"tls.port=={port},http"]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": "/nonexistent", "HOME": "/nonexistent"}
        environment.pop("SSLKEYLOGFILE", None)
        done = subprocess.run([*command, *words], check=False, capture_output=True, timeout=TIMEOUT_S, env=environment)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    def conversations(self, keylog: Path | None = None) -> list[Conversation]:
        """Every connection, decrypted with the key log alone; one that is not has no bytes."""
        opened = "tcp.flags.syn==1 && tcp.flags.ack==0"
        fields = [word for field in ENDS for word in ("-e", field)]
        ends = {}
        for line in self._tshark(keylog, "-Y", opened, "-T", "fields", *fields).decode().splitlines():
            stream, client, client_port, server, server_port = line.split("\t")
            ends[int(stream)] = ((client, int(client_port)), (server, int(server_port)))
        if not ends:
            return []
        words = [word for stream in ends for word in ("-z", f"follow,tls,raw,{stream}")]
        followed = dict(_followed(self._tshark(keylog, "-q", *words).decode()))
        assert set(followed) == set(ends)
        return [_conversation(*ends[stream], followed[stream]) for stream in sorted(ends)]

    def messages(self, keylog: Path | None = None) -> list[Message]:
        """Every HTTP message, in order."""
        words = [word for field in FIELDS for word in ("-e", field)]
        told = json.loads(self._tshark(keylog, "-Y", "http && tls", "-T", "json", *words))
        return [_message(packet["_source"]["layers"]) for packet in told]

    def frames(self, wanted: str = "tcp") -> list[Frame]:
        """Every packet that tshark's filter takes, in order."""
        words = ("-T", "json", *(word for field in FRAME_FIELDS for word in ("-e", field)))
        told = json.loads(self._tshark(None, "-Y", wanted, *words))
        return [_frame(packet["_source"]["layers"]) for packet in told]

    def fields(self, *names: str, wanted: str, options: Sequence[str] = ()) -> list[str]:
        """These fields of every packet that tshark's filter takes, a tab between them."""
        words = [word for name in names for word in ("-e", name)]
        return self._tshark(None, "-Y", wanted, "-T", "fields", *words, *options).decode().splitlines()

    def check(self, keylog: Path | None, truths: Iterable[Truth]) -> None:
        """Asserts that the key log alone decrypts every one of these connections to what the peers said."""
        conversations = self.conversations(keylog)
        for truth in truths:
            found = [conversation for conversation in conversations if conversation.is_of(truth)]
            assert len(found) == 1, f"{len(found)} connections for {truth} of {conversations}"
            found[0].check(truth)


def _message(layers: dict[str, list[str]]) -> Message:
    source, destination, *words = (layers.get(field, [""])[0] for field in FIELDS)
    return Message((int(source), int(destination)), *words)


@dataclass(slots=True)
class _Followed:
    """What tshark says of a connection: the end it takes for the first, what that said, what the other said."""

    first: Address
    said: tuple[list[str], list[str]]


def _followed(text: str) -> Iterator[tuple[int, _Followed]]:
    """A head with the stream's number and its ends, then a line per piece, those of the second set in by a tab."""
    stream = -1
    current: _Followed | None = None
    for line in text.splitlines():
        if line.startswith("Filter: "):
            stream = int(line.split()[-1])
        elif line.startswith("Node 0: "):
            host, _, port = line.removeprefix("Node 0: ").rpartition(":")
            current = _Followed((host, int(port)), ([], []))
        elif line.startswith("====") and current:
            yield stream, current
            current = None
        elif current and not line.startswith("Node 1: "):
            current.said[line.startswith("\t")].append(line.strip())


def _conversation(client: Address, server: Address, followed: _Followed) -> Conversation:
    sent, received = (bytes.fromhex("".join(lines)) for lines in followed.said)
    # Without any byte it names no end.
    assert followed.first in {client, server} or not (sent or received), followed.first
    if followed.first == server:
        sent, received = received, sent
    return Conversation(client, server, sent, received)


def _frame(layers: dict[str, list[str]]) -> Frame:
    at, length, interface, comment, source, destination, flags = (layers.get(field, [""])[0] for field in FRAME_FIELDS)
    seconds, _, fraction = at.partition(".")
    ts_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
    return Frame(
        ts_ns, int(length), interface, comment, (int(source or 0), int(destination or 0)), int(flags or "0", 16)
    )


class Capture:
    """A running tcpdump."""

    def __init__(
        self, process: subprocess.Popen[bytes], file: Path, ports: Sequence[int], towards: Address | None
    ) -> None:
        self.process = process
        self.file = file
        self.ports = ports
        self._last = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Where a last packet goes: nobody's, and nobody else's while the socket is open.
        if towards is None:
            self._last.bind(("127.0.0.1", 0))
        self._towards = towards or self._last.getsockname()

    def stop(self) -> Packets:
        """All that was sent before this call is in the file."""
        word = os.urandom(16)
        self._last.sendto(word, self._towards)
        deadline = time.monotonic() + TIMEOUT_S
        while word not in self.file.read_bytes():
            assert self.process.poll() is None, "tcpdump ended"
            assert time.monotonic() < deadline, "tcpdump never wrote the last packet"
            select.select([], [], [], POLL_S)
        self.close()
        return Packets(self.file, self.ports)

    def close(self) -> None:
        self._last.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=TIMEOUT_S)


@contextlib.contextmanager
def captured(
    file: Path, ports: Sequence[int], *, interface: str = "lo", towards: Address | None = None
) -> Iterator[Capture]:
    """Every packet at the interface from or to these ports goes to `file` until `stop`.

    At another one than loopback `towards` is where a packet leaves by it.
    """
    wanted = " or ".join(["udp", *(f"tcp port {port}" for port in ports)])
    tcpdump = [require_command("tcpdump"), "-i", interface, "-n", "-s", "0", "-U", "--immediate-mode", "-B", "16384"]
    process = subprocess.Popen(
        [*tcpdump, "-Z", "root", "-w", str(file), wanted], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0
    )
    capture = Capture(process, file, ports, towards)
    try:
        assert process.stderr
        told = b""
        while b"listening on" not in told:
            line = read_line(process.stderr.fileno(), what="tcpdump")
            assert line, f"tcpdump: {told!r}"
            told += line
        yield capture
    finally:
        capture.close()
