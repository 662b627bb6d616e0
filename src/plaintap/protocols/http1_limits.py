# SPDX-License-Identifier: Apache-2.0
"""How much of an HTTP/1 message is read before it is malformed to us, and the error that says so."""

from __future__ import annotations

import httptools

HEAD_LIMIT_BYTES = 1 << 20
"""A head longer than this is malformed to us; so are trailers, or any other framing that long without a body byte."""
FIELDS_LIMIT = 1000
"""Header fields, and again trailer fields, of a message; with more it is malformed to us."""

HttpError = httptools.HttpParserError
