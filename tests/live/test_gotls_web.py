# SPDX-License-Identifier: Apache-2.0
"""Go's net/http: HTTP/1 and HTTP/2, many streams at once, attached late; as tshark and as the programs have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.golang import SUITES, WHEELS, Build
from harness.goweb import Web, check_decrypted, shown, told
from harness.keylog import KeyLog
from harness.packets import captured
from harness.rows import rows
from harness.shown import Shown
from harness.tap import Taps
from harness.target import Targets

pytestmark = pytest.mark.timeout(600)  # the first of a version fetches its toolchain
VERSIONS = [*SUITES, *WHEELS]
PROTOCOLS = {"http1": ("HTTP/1.1", ("--http1",), 8), "http2": ("HTTP/2.0", (), 100)}


@pytest.mark.parametrize(
    ("version", "protocol", "tls"),
    rows(VERSIONS, PROTOCOLS, ["1.2", "1.3"], quick={("1.24", "http1", "1.2"), ("1.24", "http2", "1.3")}),
)
def test_web(targets: Targets, taps: Taps, tmp_path: Path, version: str, protocol: str, tls: str) -> None:
    """Many requests that are all open at once, then bodies both ways."""
    proto, flags, at_once = PROTOCOLS[protocol]
    web = Web(targets, tmp_path, Build(version), *flags, "--tls", tls)
    keylog = tmp_path / "keylog"
    words = ("-m", "text,keylog", "-k", keylog, "--format", "json", "-t", 0, "--mapsize", 32768)
    tap = taps.ready("--pid", web.pids, *words, command=("gotls",))
    with captured(tmp_path / "packets", [web.port]) as capture:
        # Of many at the beginning each would dial, and all but one connection be thrown away.
        web.ask("get 1 1 /size/1")
        assert web.ask(f"get {at_once} {at_once} /together/{at_once}") == at_once
        assert web.ask("post 40 8 30000") == 40
        assert web.ask("get 10 1 /size/100000") == 10
        exchanges = web.finish()
        packets = capture.stop()
    assert {each["proto"] for each in exchanges} == {proto}
    ended = tap.stop_clean()
    conversations = check_decrypted(ended.streams, packets, web.keylog)
    check_decrypted(ended.streams, packets, keylog)
    if protocol == "http2":
        assert len(conversations) == 1
    assert set(KeyLog.read(keylog).secrets) == set(KeyLog.read(web.keylog).secrets)
    lines = Shown.of(ended.out).of_processes({web.client.pid, web.server.pid})
    lines.check_whole()
    assert shown(lines) == told(exchanges)


@pytest.mark.parametrize(
    "version", [pytest.param(each, marks=pytest.mark.matrix) for each in VERSIONS if each != "1.24"] + ["1.24"]
)
def test_late_attach_to_http2(targets: Targets, taps: Taps, tmp_path: Path, version: str) -> None:
    """The one connection is up and used before: every byte from the first call on."""
    web = Web(targets, tmp_path, Build(version))
    with captured(tmp_path / "packets", [web.port]) as capture:
        web.ask("get 20 5 /size/500")
        tap = taps.ready("--pid", web.pids, "--format", "json", command=("gotls",))
        web.ask("get 20 5 /size/501")
        web.ask("post 20 5 7000")
        exchanges = web.finish()
        packets = capture.stop()
    ended = tap.stop_clean()
    check_decrypted(ended.streams, packets, web.keylog, late=True)
    bodies = {each[5] for each in shown(Shown.of(ended.out).of_processes({web.client.pid, web.server.pid}))}
    after = {(*each["response"],) for each in exchanges if each["response"][0] in {501, 7000}}
    assert after <= bodies
