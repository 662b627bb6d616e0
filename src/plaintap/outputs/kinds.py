# SPDX-License-Identifier: Apache-2.0
"""Short names of media types for the type column: `json` of `application/problem+json; charset=utf-8`."""

from __future__ import annotations

from plaintap.outputs.pretty import media_type

LONGEST = 5
NONE = "-"

_NAMES = {
    "text/plain": "text",
    "text/javascript": "js",
    "application/javascript": "js",
    "application/x-javascript": "js",
    "application/ecmascript": "js",
    "text/event-stream": "sse",
    "text/markdown": "md",
    "application/octet-stream": "bin",
    "application/x-www-form-urlencoded": "form",
    "application/x-ndjson": "json",
    "application/jsonlines": "json",
    "application/jsonl": "json",
    "application/json-seq": "json",
    "application/grpc": "grpc",
    "application/x-protobuf": "proto",
    "application/protobuf": "proto",
    "application/vnd.google.protobuf": "proto",
    "application/x-google-protobuf": "proto",
    "application/msgpack": "msgpk",
    "application/x-msgpack": "msgpk",
    "application/vnd.msgpack": "msgpk",
    "application/dns-message": "dns",
    "application/ocsp-request": "ocsp",
    "application/ocsp-response": "ocsp",
    "application/x-git-upload-pack-result": "git",
    "application/x-git-receive-pack-result": "git",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/x-mpegurl": "m3u8",
    "image/vnd.microsoft.icon": "ico",
    "image/x-icon": "ico",
    "image/svg+xml": "svg",
}


def kind_name(content_type: bytes) -> str:
    """At most `LONGEST` characters; `-` for no content-type."""
    kind = media_type(content_type)
    if not kind:
        return NONE
    if name := _NAMES.get(kind):
        return name
    group, _, subtype = kind.partition("/")
    if group == "multipart":
        return "multi"
    if subtype.startswith("grpc") and group == "application":
        return "grpc"
    name = subtype.rpartition("+")[2] if "+" in subtype else subtype.rpartition(".")[2].removeprefix("x-")
    return name[:LONGEST] or NONE
