# SPDX-License-Identifier: Apache-2.0
"""Makes src/plaintap/cli/sample.ptap, the recording `--sample` shows where nothing can be captured.

Run as root after `make setup`: .venv/bin/python tools/make_sample.py. It records the sample
exchange, keeps curl's records and says of the host nothing but the library's name and version.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from plaintap import __version__
from plaintap.events import HEADER, Kind, Meta, decode_fact, encode_meta
from plaintap.runtime.recording import MAGIC

TARGET = Path(__file__).parents[1] / "src" / "plaintap" / "cli" / "sample.ptap"


def main() -> None:
    """Writes the recording and says how long it is."""
    with tempfile.TemporaryDirectory() as directory:
        recording = Path(directory, "sample.ptap")
        tool = Path(sys.executable).with_name("plaintap")
        command: list[str | Path] = [tool, "--sample", "--comm", "curl", "--format", "none"]
        command += ["--record", recording]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 - every word is ours
        data = recording.read_bytes()
    TARGET.write_bytes(MAGIC + b"".join(kept(data)))
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


def kept(data: bytes) -> list[bytes]:
    """The records of the exchange, what is told of libraries and the clock, nothing else."""
    position = len(MAGIC)
    records = []
    while position < len(data):
        _, kind, _, size, ts_ns, _, _ = HEADER.unpack_from(data, position)
        record = data[position : position + size]
        position += size
        if kind != Kind.META:
            records.append(record)
            continue
        meta = decode_fact(kind, record)
        assert isinstance(meta, Meta)
        if meta.clock_offset_ns or meta.library or meta.counters:
            told = Meta(
                plaintap=__version__,
                clock_offset_ns=meta.clock_offset_ns,
                library=meta.library,
                name=meta.name,
                counters=meta.counters,
            )
            records.append(encode_meta(told, ts_ns))
    return records


if __name__ == "__main__":
    main()
