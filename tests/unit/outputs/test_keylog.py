# SPDX-License-Identifier: Apache-2.0
"""Lines of a key log, written and read back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.messages import Secrets
from plaintap.outputs.keylog import LINE_MAX_BYTES, keylog_lines, read_lines

MakeSecrets = Callable[..., Secrets]
RANDOM = bytes(range(32))


def test_lines(make_secrets: MakeSecrets) -> None:
    secrets = make_secrets(lines=(("CLIENT_RANDOM", b"\x0a" * 48), ("EXPORTER_SECRET", b"\xff" * 32)))
    head = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    expected = f"CLIENT_RANDOM {head} {'0a' * 48}\nEXPORTER_SECRET {head} {'ff' * 32}\n"
    assert keylog_lines(secrets) == expected.encode()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"CLIENT_RANDOM %s 00ff" % RANDOM.hex().encode(), ("CLIENT_RANDOM", RANDOM)),
        (b"CLIENT_TRAFFIC_SECRET_0 %s 00ff\r\n" % RANDOM.hex().upper().encode(), ("CLIENT_TRAFFIC_SECRET_0", RANDOM)),
        (b"", None),
        (b"# CLIENT_RANDOM %s 00" % RANDOM.hex().encode(), None),
        (b"CLIENT_RANDOM %s " % RANDOM.hex().encode(), None),
        (b"CLIENT_RANDOM %s 00f" % RANDOM.hex().encode(), None),
        (b"CLIENT_RANDOM %s 00" % RANDOM.hex().encode()[2:], None),
        (b"RSA 0011223344556677 00", None),
        (b"\xff\xfe\x00", None),
    ],
)
def test_what_a_line_says(line: bytes, found: tuple[str, bytes] | None) -> None:
    expected = [found] if found else []
    assert list(read_lines(line)) == list(read_lines(line + b"\n")) == expected
    assert list(read_lines(b"\n" + line + b"\n" + line)) == 2 * expected


@given(
    label=st.from_regex(re.compile(r"[A-Z][A-Z0-9_]{0,30}"), fullmatch=True),
    secret=st.binary(min_size=1, max_size=64),
)
def test_what_is_written_is_read(make_secrets: MakeSecrets, label: str, secret: bytes) -> None:
    line = keylog_lines(make_secrets(lines=((label, secret),)))
    assert list(read_lines(line + line)) == 2 * [(label, RANDOM)]
    assert line.endswith(b"\n")
    assert len(line) <= LINE_MAX_BYTES


@given(st.binary(max_size=300))
def test_anything_may_be_in_a_file(line: bytes) -> None:
    assert all(len(client_random) == 32 for _, client_random in read_lines(line))
