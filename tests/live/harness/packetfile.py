# SPDX-License-Identifier: Apache-2.0
"""Files of packets as blocks, as Wireshark's own tools take them, and beside another program's."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.packets import Frame
from harness.require import require_command

PACKET_BLOCK = 6
NEAR_NS = 50_000_000


def blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """The kind of each block of a file, and where it ends."""
    position = 0
    while position < len(data):
        kind, length = struct.unpack_from("<II", data, position)
        position += length
        assert struct.unpack_from("<I", data, position - 4) == (length,)
        yield kind, position


def packet_data(file: Path) -> list[bytes]:
    """What each packet of a file is, from its link header on."""
    data = file.read_bytes()
    found = []
    start = 0
    for kind, end in blocks(data):
        if kind == PACKET_BLOCK:
            (length,) = struct.unpack_from("<I", data, start + 20)
            found.append(data[start + 28 : start + 28 + length])
        start = end
    return found


def check_accepted(file: Path) -> None:
    """capinfos and editcap have nothing to say against it, and both see every packet."""
    count = sum(kind == PACKET_BLOCK for kind, _ in blocks(file.read_bytes()))
    copy = file.with_name(f"{file.name}.copy")
    done = subprocess.run([require_command("editcap"), file, copy], check=True, capture_output=True, text=True)
    assert "cut short" not in done.stderr + done.stdout
    for each in (file, copy):
        assert packets_of(each) == count
    copy.unlink()


def packets_of(file: Path) -> int:
    """As capinfos counts them, up to where a file is cut."""
    words = [require_command("capinfos"), "-M", "-c", str(file)]
    said = subprocess.run(words, check=False, capture_output=True, text=True).stdout
    return int(said.rpartition(":")[2])


def check_same(ours: list[Frame], theirs: list[Frame]) -> None:
    """The same packets, at times that are near; two processors may take two of them in another order."""
    mine, others = (
        sorted((frame.ports, frame.flags, frame.length, frame.ts_ns) for frame in frames) for frames in (ours, theirs)
    )
    assert [words[:-1] for words in mine] == [words[:-1] for words in others]
    assert all(abs(our[-1] - their[-1]) < NEAR_NS for our, their in zip(mine, others, strict=True))
