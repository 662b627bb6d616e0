# SPDX-License-Identifier: Apache-2.0
"""Which gRPC calls are shown message by message: those that are not over in a moment; the others are one line.

Nobody says beforehand which calls stream. The first message of each side is held until there is a second, or the call
has been open for `GRACE_NS`; what a call that ends before that has said is left to its own line.
"""

from __future__ import annotations

from plaintap.messages import GrpcMessage

GRACE_NS = 500_000_000
CALLS = 256
"""Open ones that are remembered."""

_Call = tuple[int, int]
"""Session and stream."""


class OpenCalls:
    """Each message is handed back once, in order, unless its call ends first."""

    def __init__(self) -> None:
        self._held: dict[_Call, list[GrpcMessage]] = {}
        # Those whose messages are shown as they come; a dict for its order.
        self._shown: dict[_Call, None] = {}

    def __bool__(self) -> bool:
        return bool(self._held or self._shown)

    def take(self, message: GrpcMessage) -> list[GrpcMessage]:
        """What is to be shown now that `message` came."""
        call = (message.connection.session, message.stream)
        if call in self._shown:
            return [message]
        held = self._held.get(call)
        if held is None:
            if len(self._held) >= CALLS:
                del self._held[next(iter(self._held))]
            held = self._held[call] = []
        held.append(message)
        return self._held.pop(call) if message.number > 1 else []

    def due(self, now_ns: int) -> list[GrpcMessage]:
        """What was held of calls that have been open for long enough."""
        calls = [call for call, held in self._held.items() if now_ns - held[0].last_ns >= GRACE_NS]
        return [message for call in calls for message in self._held.pop(call)]

    def is_first(self, message: GrpcMessage) -> bool:
        """Whether `message` is the first that is shown of its call; true once."""
        call = (message.connection.session, message.stream)
        if call in self._shown:
            return False
        if len(self._shown) >= CALLS:
            del self._shown[next(iter(self._shown))]
        self._shown[call] = None
        return True

    def ended(self, session: int, stream: int | None = None) -> None:
        """One call is over, or all of a connection."""
        for calls in (self._held, self._shown):
            for call in [call for call in calls if call[0] == session and stream in (None, call[1])]:
                calls.pop(call)
