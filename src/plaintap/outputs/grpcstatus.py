# SPDX-License-Identifier: Apache-2.0
"""gRPC's status codes by their names (grpc/grpc, doc/statuscodes.md)."""

from __future__ import annotations

_NAMES = (
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED "
    "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS "
    "UNAUTHENTICATED"
).split()


def status_name(status: int | None) -> str | None:
    """`NOT_FOUND` of 5; None for one that has no name, or none."""
    return _NAMES[status] if status is not None and 0 <= status < len(_NAMES) else None
