# SPDX-License-Identifier: Apache-2.0
"""The first and the last line of a capture, from plain values; every loss counter has its words here."""

from __future__ import annotations

from collections.abc import Sequence

from plaintap.messages import Totals
from plaintap.outputs.escape import escape
from plaintap.outputs.sizes import count, exact_bytes, long_duration, size

_SEPARATOR = " · "
_MOST_LIBRARIES = 6

# Counters that name how often something happened: noun, plural, what it was.
_COUNTED: dict[str, tuple[str, str, str]] = {
    "map_full": ("call", "", "a kernel table was full"),
    "unmatched_returns": ("call", "", "only the return was seen"),
    "too_deep": ("call", "", "nested too deep"),
    "missed_runs": ("probe run", "", "skipped by the kernel"),
    "sessions_evicted": ("session", "", "the kernel's table was full, their streams began anew"),
    "evicted_connections": ("connection", "", "evicted, too many at once"),
    "undecodable_records": ("record", "", "not understood"),
    "parser_failures": ("stream", "", "the parser failed"),
    "output_failures": ("batch of messages", "batches of messages", "a form failed at them"),
    "output_unread": ("write", "", "nobody read the output any more"),
    "watch_lost": ("mapping notice", "", "a new library may have been missed"),
    "sessions_without_secrets": ("connection", "", "ended before their keys were found"),
    "secrets_refused": ("handshake", "", "secrets that were not whole, or contradicted each other"),
    "keylog_lost": ("secret set", "secret sets", "could not be written"),
    "packets_dropped": ("packet", "", "ring full"),
    "packet_owners": ("socket", "", "its process could not be noted"),
    "not_held": ("process", "processes", "not stopped at a new library, its first bytes may be missing"),
}
# That it happened is all there is to say.
_SAID: dict[str, str] = {
    "recording_failed": "the end of the recording: it could not be written",
    "keylog_failed": "the key log: it could not be opened",
    "packets_failed": "the end of the packets: they could not be written",
    "unfinished_recording": "the end of the recording: it was cut, or its capture was killed",
}
# Numbers of bytes alone.
_BYTES: dict[str, str] = {"cut_recording_bytes": "the recording ends inside a record"}
# Pairs `<name>_records`, `<name>_bytes` (or only one of them).
_PAIRED: dict[str, str] = {
    "ring_full": "ring full",
    "unread": "the target's memory could not be read",
    "beyond_ceiling": "beyond what one call may carry",
}
_SINK = "the output could not take them"


def ready_line(
    version: str,
    process_count: int,
    libraries: Sequence[str],
    process_with_tls_count: int,
    seconds: float,
    *,
    keys_to: str = "",
    packets_to: str = "",
) -> str:
    """`plaintap 0.1 · 214 processes · 3 TLS libraries in 41 of them (…) · attached in 0.31 s · keys to …`."""
    found = "no TLS library in any of them yet"
    if libraries:
        names = [escape(name) for name in libraries[:_MOST_LIBRARIES]]
        if len(libraries) > _MOST_LIBRARIES:
            names.append(f"{len(libraries) - _MOST_LIBRARIES} more")
        number = count(len(libraries), "TLS library", "TLS libraries")
        found = f"{number} in {process_with_tls_count:,} of them ({', '.join(names)})"
    processes = count(process_count, "process", "processes")
    parts = [f"plaintap {version}", processes, found, f"attached in {seconds:.2f} s"]
    places = {"keys": keys_to, "packets": packets_to}
    return _SEPARATOR.join([*parts, *(f"{what} to {escape(place)}" for what, place in places.items() if place)])


def summary_line(totals: Totals, *, mapsize_kb: int | None = None) -> str:
    """`3 min 12 s · 41 processes · … · nothing lost`, or what was lost and, where there is one, the way out.

    Lost bytes are exact, never rounded. With the ring's size per CPU the hint names twice that.
    """
    parts = [
        long_duration(totals.duration_s),
        count(totals.processes, "process", "processes"),
        count(totals.connections, "connection"),
    ]
    if totals.secret_sets is not None:
        parts.append(count(totals.secret_sets, "secret set"))
    if totals.packets is not None:
        parts.append(count(totals.packets, "packet"))
    if totals.secret_sets is None or totals.exchanges or totals.bytes:
        parts += [count(totals.exchanges, "exchange"), size(totals.bytes)]
    if totals.unattributed:
        parts.append(f"{count(totals.unattributed, 'connection')} without an address")
    lost = loss_words(totals, mapsize_kb=mapsize_kb)
    parts.append(f"lost {'; '.join(lost)}" if lost else "nothing lost")
    return _SEPARATOR.join(parts)


def loss_words(totals: Totals, *, mapsize_kb: int | None = None) -> list[str]:
    """One phrase per kind of loss, such as `3 records (49,152 bytes): ring full - try --mapsize 16384`."""
    losses = {name: number for name, number in totals.losses.items() if number}
    words = []
    explained_bytes = 0
    for name, reason in _PAIRED.items():
        records = losses.pop(f"{name}_records", 0)
        lost_bytes = losses.pop(f"{name}_bytes", 0)
        explained_bytes += lost_bytes
        if records or lost_bytes:
            words.append(f"{_amount(records, 'record', lost_bytes)}: {reason}{_remedy(name, mapsize_kb)}")
    # Gaps are those losses seen from the streams; only what exceeds them is news.
    gap_bytes = max(losses.pop("gap_bytes", 0), totals.lost_bytes)
    if gap_bytes > explained_bytes:
        words.append(f"{exact_bytes(gap_bytes - explained_bytes)}: {'more ' if explained_bytes else ''}gaps in streams")
    for name, (noun, plural, reason) in _COUNTED.items():
        if number := losses.pop(name, 0):
            words.append(f"{count(number, noun, plural)}: {reason}")
    words += [f"{exact_bytes(losses.pop(name))}: {reason}" for name, reason in _BYTES.items() if name in losses]
    words += [words_said for name, words_said in _SAID.items() if losses.pop(name, 0)]
    dropped, dropped_bytes = losses.pop("sink_dropped", 0), losses.pop("sink_dropped_bytes", 0)
    if dropped or dropped_bytes:
        words.append(f"{_amount(dropped, 'write', dropped_bytes)}: {_SINK}")
    # A counter this version has no words for is still named.
    words.extend(f"{escape(name)} {number:,}" for name, number in losses.items())
    return words


def _amount(number: int, noun: str, lost_bytes: int) -> str:
    if not number:
        return exact_bytes(lost_bytes)
    return f"{count(number, noun)} ({exact_bytes(lost_bytes)})" if lost_bytes else count(number, noun)


def _remedy(name: str, mapsize_kb: int | None) -> str:
    if name != "ring_full":
        return ""
    return f" - try --mapsize {mapsize_kb * 2}" if mapsize_kb else " - try a larger --mapsize"
