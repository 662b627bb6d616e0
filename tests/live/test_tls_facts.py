# SPDX-License-Identifier: Apache-2.0
"""What a handshake agreed on, as the library keeps it and as the program set it: told before the first data, once."""

from __future__ import annotations

import json
import re

import pytest
from harness.attribution import only
from harness.require import require_command
from harness.tap import Ended, Taps
from harness.target import Targets

from plaintap.events import HEADER, Kind, TlsSeen, decode_fact
from plaintap.runtime import recording

NAME = "plaintap.test"
SUITES = {"TLS_AES_256_GCM_SHA384": 0x1302, "TLS_CHACHA20_POLY1305_SHA256": 0x1303}
SUITES |= {"ECDHE-RSA-AES256-GCM-SHA384": 0xC030, "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C}
VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def told(ended: Ended, pid: int) -> list[tuple[Kind, TlsSeen | None]]:
    """What of this process's facts there is to see, in order."""
    found = []
    for record in recording.read(str(ended.record)):
        session, kind, _, _, raw, _ = record
        if not session and kind in {Kind.TLS, Kind.DATA} and HEADER.unpack_from(raw)[5] == pid:
            fact = decode_fact(kind, raw)
            found.append((Kind(kind), fact if isinstance(fact, TlsSeen) else None))
    return found


@pytest.mark.parametrize("most", ["1.3", "1.2"])
def test_curl_and_what_it_says_of_itself(targets: Targets, taps: Taps, most: str) -> None:
    server = targets.server("http")
    tap = taps.ready("--comm", "curl", "--format", "json")
    where = f"{NAME}:{server.port}"
    command = [require_command("curl"), "-sSkv", "--tls-max", most, "--resolve", f"{where}:{server.host}"]
    curl = targets.start([*command, f"https://{where}/small/12"])
    assert curl.wait() == 0, curl.errors
    said = re.search(rb"SSL connection using (\S+) / (\S+)", curl.errors)
    assert said, curl.errors
    version, suite = said[1].decode(), said[2].decode()
    assert b"server accepted http/1.1" in curl.errors
    server.finish()
    ended = tap.stop_clean()
    kinds = told(ended, curl.pid)
    assert [kind for kind, _ in kinds][:2] == [Kind.TLS, Kind.DATA]
    fact = only(fact for _, fact in kinds if fact)
    assert (fact.version, fact.cipher) == (VERSIONS[version], SUITES[suite])
    assert (fact.alpn, fact.sni) == ("http/1.1", NAME)
    lines = map(json.loads, ended.out.splitlines())
    exchange = only(line for line in lines if line["type"] == "exchange" and line["process"]["pid"] == curl.pid)
    shown = exchange["connection"]["tls"]
    assert shown["version"] == version.replace("v", " ")
    assert (shown["alpn"], shown["sni"]) == ("http/1.1", NAME)


def test_what_was_not_agreed_on_is_not_told(targets: Targets, taps: Taps) -> None:
    """A client that names nobody and offers nothing, at a server that does neither."""
    server = targets.server()
    target = targets.ready("transfer", *server.address, 100, 100)
    tap = taps.ready()
    target.go()
    target.finish()
    server.finish()
    ended = tap.stop_clean()
    for pid in (target.pid, server.pid):
        fact = only(fact for _, fact in told(ended, pid) if fact)
        assert (fact.version, fact.alpn, fact.sni) == (0x0304, "", "")
        assert fact.cipher in SUITES.values()


@pytest.mark.core
def test_one_object_for_connections_one_after_another(targets: Targets, taps: Taps) -> None:
    """Each is told of by itself."""
    server = targets.server()
    target = targets.ready("reuse", *server.address, 100, "clear")
    tap = taps.ready("--pid", target.pid)
    target.go()
    target.finish()
    server.finish()
    facts = [fact for _, fact in told(tap.stop_clean(), target.pid) if fact]
    assert len(facts) == len({fact.session for fact in facts}) == 3
    assert {fact.version for fact in facts} == {0x0304}
