# SPDX-License-Identifier: Apache-2.0
"""`plaintap --sample`: the first run of somebody who has nothing to capture, with and without the privilege."""

from __future__ import annotations

import re

from harness.require import require_command
from harness.tap import Taps

LINE = re.compile(
    r"^\d\d:\d\d:\d\d\.\d{3} +curl\[\d+\] +→ +GET +https://hello\.plaintap\.test\S*/sample\?n=1 +200 +json",
    re.MULTILINE,
)


def test_sample(taps: Taps) -> None:
    """Nobody is there to press Ctrl-C, so it ends by itself."""
    require_command("curl")
    ended = taps.run("--sample")
    ended.check_clean()
    assert len(LINE.findall(ended.out)) == 1, ended.out
    assert ended.summary.endswith("nothing lost")
    assert "recording" not in ended.err


def test_sample_without_privilege(taps: Taps) -> None:
    """A recording instead, which says of itself that it is one."""
    without = (require_command("setpriv"), "--bounding-set=-all", "--inh-caps=-all")
    ended = taps.run("--sample", before=without)
    ended.check_clean()
    assert len(LINE.findall(ended.out)) == 1, ended.out
    assert "CAP_BPF" in ended.err
    assert "sudo" in ended.err
    label, summary = ended.err.splitlines()[-2:]
    assert label == "plaintap: what follows is a recording of such a capture, not this host"
    assert summary.endswith("nothing lost")
