# SPDX-License-Identifier: Apache-2.0
"""What is shown of a handshake whose keys were written - and that it is never a secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plaintap.messages import Secrets
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.registry import FORMATS, make_formatter

Make = Callable[..., Any]
AGREED = "93.184.216.34:443  TLS 1.3 TLS_AES_256_GCM_SHA384"
HEAD = "14:03:07.412  curl[8123]       ·  "


def shown(secrets: Secrets, offset_ns: int, **options: Any) -> str:
    options = {"verbose": 1, "clock_offset_ns": offset_ns} | options
    return make_formatter("text", FormatOptions(**options)).format(secrets)


def test_one_line_per_handshake(make_secrets: Make, offset_ns: int) -> None:
    line = "93.184.216.34:443  TLS 1.3 TLS_AES_256_GCM_SHA384  5 secrets  libssl 3.0.22\n"
    assert shown(make_secrets(), offset_ns) == HEAD + line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"version": 0x0303, "cipher": 0xC02F, "gathered": 1},
            "93.184.216.34:443  TLS 1.2 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256  1 secret  libssl 3.0.22",
        ),
        ({"version": 0, "cipher": 0, "library": ""}, "93.184.216.34:443  5 secrets"),
        ({"version": 0x0304, "cipher": 0, "library": "a\x1b[31m"}, "93.184.216.34:443  TLS 1.3  5 secrets  a\\x1b[31m"),
        (
            {"missing": ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "EXPORTER_SECRET"), "gathered": 3},
            f"{AGREED}  3 secrets  without CLIENT_HANDSHAKE_TRAFFIC_SECRET, EXPORTER_SECRET  libssl 3.0.22",
        ),
        (
            {"missing": ("CLIENT_EARLY_TRAFFIC_SECRET",), "library": ""},
            f"{AGREED}  5 secrets  resumed: no key for early data, if it had any",
        ),
    ],
)
def test_what_is_known_of_it(make_secrets: Make, offset_ns: int, changes: dict[str, Any], words: str) -> None:
    assert shown(make_secrets(**changes), offset_ns) == f"{HEAD}{words}\n"


def test_without_an_address(make_secrets: Make, make_owner: Make, offset_ns: int) -> None:
    assert shown(make_secrets(owner=make_owner(socket=None)), offset_ns).startswith(f"{HEAD}?  TLS 1.3 ")


def test_while_more_is_to_come_nothing_is_shown(make_secrets: Make, offset_ns: int) -> None:
    assert shown(make_secrets(gathered=0), offset_ns) == ""


def test_only_verbose_shows_it(make_secrets: Make, offset_ns: int) -> None:
    assert shown(make_secrets(), offset_ns, verbose=0) == ""
    assert shown(make_secrets(), offset_ns, verbose=0, hex_dump=True) == ""


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("verbose", [0, 1, 2])
@pytest.mark.parametrize("hex_dump", [False, True])
def test_no_form_shows_a_secret(make_secrets: Make, name: str, verbose: int, hex_dump: bool) -> None:
    secret = b"\xde\xad\xbe\xef" * 12
    options = FormatOptions(verbose=verbose, hex_dump=hex_dump)
    text = make_formatter(name, options).format(make_secrets(lines=(("CLIENT_RANDOM", secret),)))
    assert "deadbeef" not in text.replace(" ", "").lower()
