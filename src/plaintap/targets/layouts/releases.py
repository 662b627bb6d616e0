# SPDX-License-Identifier: Apache-2.0
"""Version texts such as `1.1.1v+quic` taken apart, and their order."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

OPENSSL: Final = "OpenSSL"
AWS_LC: Final = "AWS-LC"
GNUTLS: Final = "GnuTLS"
_FAMILIES: Final = {"o": OPENSSL, "a": AWS_LC, "g": GNUTLS}
"""By the first letter of how they are named."""

_TEXT = re.compile(
    r"(?:(?P<family>openssl|aws-?lc|gnutls)[ _-]?)?"
    r"(?P<numbers>\d{1,2}\.\d{1,2}\.\d{1,2})(?P<letter>[a-z]{0,2})"
    r"(?:(?:[-+]| (?=fips))(?P<suffix>[a-z][\w.+-]{0,40}))?",
    re.ASCII | re.IGNORECASE,
)
_EARLIER = re.compile(r"(?:dev|pre|alpha|beta)[\d.]*", re.ASCII)
_QUIC = re.compile(r"quic\d*", re.ASCII)


class Release(NamedTuple):
    """What a version text says."""

    family: str
    flavour: str
    """Sources of their own with structs of their own: `quic`; else empty."""
    numbers: tuple[int, ...]
    letter: str
    final: bool
    """Not a beta or a development state, which stands before the release of its number."""
    plain: bool
    """Nothing was added that nobody here knows the meaning of."""

    @property
    def order(self) -> tuple[tuple[int, ...], str, bool]:
        """Among releases of one family and flavour."""
        return self.numbers, self.letter, self.final

    @property
    def series(self) -> tuple[str, str, tuple[int, ...]]:
        """The minor version: up to 1.1.1 the letters are patches, since then the third number."""
        lettered = self.family == OPENSSL and self.numbers[0] < 3
        return self.family, self.flavour, self.numbers[: 3 if lettered else 2]


def parse_release(text: str) -> Release | None:
    """The release that a text names, `openssl ` before it or not; None when it is none of these."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        return None
    suffix = (match["suffix"] or "").lower()
    earlier = bool(_EARLIER.match(suffix))
    quic = bool(_QUIC.fullmatch(suffix))
    return Release(
        family=_FAMILIES[(match["family"] or OPENSSL)[0].lower()],
        flavour="quic" if quic else "",
        numbers=tuple(map(int, match["numbers"].split("."))),
        letter=match["letter"].lower(),
        final=not earlier,
        # FIPS builds have other algorithms, not other structs.
        plain=not suffix or quic or earlier or suffix == "fips",
    )
