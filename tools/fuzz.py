# SPDX-License-Identifier: Apache-2.0
"""`make fuzz T=http1`: one target of tests/fuzz for some time, guided by coverage (atheris).

What it finds and what it has learnt stay in build/fuzz/NAME. Ends with 0 and the number of inputs when nothing was
found.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ROOT / "tests" / "fuzz"
UNIT_TESTS = ROOT / "tests" / "unit"
"""Some targets start from what tests build."""
SECONDS = 600
INPUT_BYTES = 1 << 16
MEMORY_MB = 2048
HANG_S = 20


def _names() -> list[str]:
    return sorted(path.stem.removeprefix("fuzz_") for path in TARGETS.glob("fuzz_*.py"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("target", choices=_names())
    parser.add_argument("--seconds", type=int, default=SECONDS)
    return parser.parse_args()


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    arguments = _arguments()
    sys.path[:0] = [str(TARGETS), str(UNIT_TESTS)]
    with atheris.instrument_imports(include=["plaintap", "fuzz_" + arguments.target], enable_loader_override=False):
        target = importlib.import_module(f"fuzz_{arguments.target}")
    place = ROOT / "build" / "fuzz" / arguments.target
    corpus = place / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.SEEDS:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = {
        "max_total_time": arguments.seconds,
        "max_len": INPUT_BYTES,
        "rss_limit_mb": MEMORY_MB,
        "timeout": HANG_S,
        "artifact_prefix": f"{place}/",
        "print_final_stats": 1,
    }
    words = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)]
    atheris.Setup(words, target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
