# SPDX-License-Identifier: Apache-2.0
"""gRPC's status codes by their names."""

from __future__ import annotations

STATUS_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""By `grpc-status`."""


def status_name(status: int | None) -> str | None:
    """`NOT_FOUND` of 5; None for one that has no name, or none."""
    return STATUS_NAMES[status] if status is not None and 0 <= status < len(STATUS_NAMES) else None


def status_words(status: int | None) -> str:
    """The same for people: "" of OK and of none, `status 99` of one without a name."""
    return (status_name(status) or f"status {status}") if status else ""
