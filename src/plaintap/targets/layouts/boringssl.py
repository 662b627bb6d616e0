# SPDX-License-Identifier: Apache-2.0
"""Layouts of BoringSSL and AWS-LC, x86-64: where the client random and the BIOs are. Holds numbers only.

No secrets: these libraries hand them, with their labels, to ssl_log_secret as they are made.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from plaintap.targets.layouts.model import Family, Layout, LayoutRow

# BoringSSL has no version to tell its ages apart. What is here is the same in all of them; not so the descriptor in a
# BIO (at 24, since 2024 at 32). The version left SSL in 2025: since then 0x4000, which is none, is at its place.
_BORINGSSL: Final = Layout(
    family=Family.BORINGSSL,
    version=16,
    s3=48,
    client_random=48,
    rbio=24,
    wbio=32,
    bio_method=0,
)
_AWS_LC: Final = structs.replace(_BORINGSSL, bio_num=48)
_AWS_LC_1_29: Final = structs.replace(_AWS_LC, rbio=32, wbio=40, s3=56)
_AWS_LC_1_51: Final = structs.replace(_AWS_LC_1_29, bio_num=56)

BORINGSSL: Final = LayoutRow(
    first="BoringSSL",
    last="BoringSSL",
    layout=_BORINGSSL,
    measured=("android-libboringssl 13 (Debian 12)", "workerd 1.20240620.1"),
)

_HEADERS: Final = "computed by a compiler from the headers of"

AWS_LC_ROWS: Final[tuple[LayoutRow, ...]] = (
    LayoutRow(first="AWS-LC 1.20.0", last="AWS-LC 1.26.0", layout=_AWS_LC, otherwise=f"{_HEADERS} 1.20.0 and 1.26.0"),
    LayoutRow(
        first="AWS-LC 1.29.0",
        last="AWS-LC 1.49.0",
        layout=_AWS_LC_1_29,
        otherwise=f"{_HEADERS} 1.29.0, 1.30.1, 1.32.0, 1.46.0 and 1.49.0",
    ),
    LayoutRow(
        first="AWS-LC 1.51.2",
        last="AWS-LC 5.12.0",
        layout=_AWS_LC_1_51,
        otherwise=f"{_HEADERS} 1.51.2, 1.55.0, 1.61.2, 1.71.0 and 5.12.0",
    ),
)
"""In the order of versions, with gaps where releases between two different ones were not looked at."""
