# SPDX-License-Identifier: Apache-2.0
"""The type column."""

from __future__ import annotations

import pytest

from plaintap.outputs.kinds import kind_name


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        (b"", "-"),
        (b"application/json; charset=utf-8", "json"),
        (b"application/vnd.github.v3+json", "json"),
        (b"text/plain", "text"),
        (b"Text/HTML", "html"),
        (b"text/event-stream", "sse"),
        (b"application/octet-stream", "bin"),
        (b"image/svg+xml", "svg"),
        (b"image/png", "png"),
        (b"font/woff2", "woff2"),
        (b"application/grpc-web+proto", "grpc"),
        (b"application/grpc", "grpc"),
        (b"application/jsonl", "json"),
        (b"multipart/form-data; boundary=x", "multi"),
        (b"application/x-www-form-urlencoded", "form"),
        (b"application/vnd.ms-excel", "ms-ex"),
        (b"application/x-tar", "tar"),
        (b"nonsense", "-"),
        (b"a/\x1b[2J", "\\x1b["),
    ],
)
def test_kind_name(content_type: bytes, name: str) -> None:
    assert kind_name(content_type) == name
