# SPDX-License-Identifier: Apache-2.0
"""The one-line form: what stands in which column of an exchange's line, and the left part of all other lines.

`exchange` runs once per exchange of the host: what it needs is remembered per connection, header
value, size and second. Widths and cutting are columns.py's, colours palette.py's.
"""

from __future__ import annotations

from plaintap.events import Socket
from plaintap.messages import Connection, Exchange, GrpcCall, Request, Response
from plaintap.outputs import who
from plaintap.outputs.columns import (
    DURATION_COLUMNS,
    KIND_COLUMNS,
    MARK_COLUMNS,
    PEER_COLUMNS,
    SIZE_COLUMNS,
    STATUS_COLUMNS,
    Layout,
    Memo,
    WallClock,
    cut_end,
    cut_middle,
    pad,
)
from plaintap.outputs.escape import cells, escape, escape_bytes
from plaintap.outputs.kinds import NONE
from plaintap.outputs.linecells import Cells
from plaintap.outputs.palette import Palette
from plaintap.outputs.pieces import Piece
from plaintap.outputs.remarks import extras, header, losses

ASKED = "→"
WAS_ASKED = "←"
ABOUT = "·"

_ARROW_COLUMNS = 4
# Durations are remembered in whole microseconds below the first, in tenths of a millisecond from there.
_COARSE_US = 100
_FIRST_ERROR = 400
_REDIRECTS = frozenset(range(300, 400))
_SWITCHED = 101
_SCHEME = "https://"
_HTTP2 = "h2"
_CONNECTIONS = 8192
_LEAST_EXTRA_COLUMNS = 12

_Seen = tuple[Socket | None, str, str, int, str]


class Lines:
    """Makes whole lines; one per formatter, since it remembers what it has shown."""

    def __init__(self, *, layout: Layout, palette: Palette, clock: WallClock, name_peers: bool = False) -> None:
        self._layout = layout
        self._name_peers = name_peers
        self._palette = palette
        self._clock = clock.text if layout.clock else _no_time
        self._time_gap = "  " if layout.clock else ""
        self._process_columns = layout.process
        # By session: socket and comm this was made for, process column, columns for method and URL, peer column.
        self._connections: dict[int, _Seen] = {}
        made = Cells(layout=layout, palette=palette)
        self._methods, self._kinds, self._statuses = made.methods, made.kinds, made.statuses
        self._sizes, self._durations = made.sizes, made.durations
        self._durations_of_errors, self._no_kind = made.durations_of_errors, made.kinds[b""]
        self._authorities: Memo[str, str] = Memo(lambda host: _SCHEME + escape(host))
        self._hosts: Memo[bytes, str] = Memo(lambda host: _SCHEME + escape_bytes(host))

    def exchange(self, exchange: Exchange) -> str:
        """Time, process, method, URL, status, type, size, duration, peer, remarks."""
        request = exchange.request
        response = exchange.response
        if request is None or response is None or response.status == _SWITCHED or exchange.grpc:
            return self._uncommon(exchange)
        connection = exchange.connection
        seen = self._connections.get(connection.session)
        if seen is None or seen[0] is not connection.socket or seen[1] != connection.comm:
            seen = self._see(connection)
        _, _, process, room, peer = seen
        method, columns = self._methods[request.method]
        room -= columns
        target = request.target
        if request.authority and target[:1] == "/":
            url = self._authorities[request.authority] + target
        else:
            for name, value in request.headers:
                if len(name) == 4 and name.lower() == b"host" and value and target[:1] == "/":
                    url = self._hosts[value] + target
                    break
            else:
                url = self._odd_url(request, exchange)
        # Printable is safe (no controls, no bidi), ASCII is one column each.
        url = url.ljust(room) if len(url) <= room and url.isascii() and url.isprintable() else self._fit(url, room)
        for name, value in response.headers:
            if len(name) == 12 and name.lower() == b"content-type":
                kind = self._kinds[value]
                break
        else:
            kind = self._no_kind
        status = response.status
        if (
            status in _REDIRECTS
            or request.body_bytes
            or request.missing_bytes
            or response.missing_bytes
            or not (request.complete and response.complete)
            or exchange.notes
            or exchange.pushed
        ):
            url, peer = self._remark(url, peer, exchange)
        start_ns = request.first_ns
        us = (response.last_ns - start_ns) // 1000
        if us >= _COARSE_US:
            us -= us % _COARSE_US
        duration = (self._durations if status < _FIRST_ERROR else self._durations_of_errors)[us]
        line = (
            f"{self._clock(start_ns)}{process}{ASKED if exchange.outgoing else WAS_ASKED}  {method}{url}"
            f"{self._statuses[status]}{kind}{self._sizes[response.body_bytes]}{duration}{peer}"
        )
        return f"{line}\n" if peer else f"{line.rstrip()}\n"

    def left(self, connection: Connection, ts_ns: int, arrow: str) -> str:
        """Time, process and arrow as on every line."""
        return f"{self._clock(ts_ns)}{self._of(connection)[2]}{arrow}  "

    def piece(self, connection: Connection, piece: Piece) -> str:
        """A line about bytes that are no exchange: what they are, their beginning, escaped, and their number."""
        _, _, process, room, peer = self._of(connection)
        name, columns = self._methods[piece.name]
        preview = _preview(piece.data, max(0, room - columns))
        kind = f"{cut_end(piece.word, KIND_COLUMNS - 1):<{KIND_COLUMNS}}" if self._layout.kind else ""
        blank = " " * (self._layout.duration * (DURATION_COLUMNS + MARK_COLUMNS))
        note = f"  {self._palette.paint(self._palette.bad, '; '.join(piece.notes))}" if piece.notes else ""
        arrow = ASKED if piece.sent else WAS_ASKED
        size_text = (
            " " * (self._layout.size * SIZE_COLUMNS) if piece.size_bytes is None else self._sizes[piece.size_bytes]
        )
        return (
            f"{self._clock(piece.ts_ns)}{process}{arrow}  {name}{preview}"
            f"{'':{STATUS_COLUMNS}}{kind}{size_text}{blank}{peer}{note}"
        ).rstrip() + "\n"

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""
        self._connections.pop(connection.session, None)

    def _of(self, connection: Connection) -> _Seen:
        seen = self._connections.get(connection.session)
        if seen is None or seen[0] is not connection.socket or seen[1] != connection.comm:
            return self._see(connection)
        return seen

    def _see(self, connection: Connection) -> _Seen:
        process = who.process(connection)
        if self._layout.tight:
            pid = f"[{connection.pid}]"
            name_columns = self._layout.process_most - len(pid)
            process = f"{cut_middle(escape(connection.comm), name_columns) or who.UNKNOWN}{pid}"
        columns = cells(process)
        if self._process_columns < columns <= self._layout.process_most:
            self._process_columns = columns
            self._connections.clear()
        elif len(self._connections) >= _CONNECTIONS:
            self._connections.clear()
        process = pad(process, self._process_columns)
        room = self._layout.url_end - self._layout.time - cells(process) - _ARROW_COLUMNS
        peer = ""
        if self._layout.peer:
            named = self._name_peers and connection.peer
            address = (who.process(named) if named else who.peer(connection.socket)) or who.UNKNOWN
            peer = f"  {address if self._layout.tail is None else cut_middle(address, PEER_COLUMNS - 2)}"
        seen = (connection.socket, connection.comm, f"{self._time_gap}{process} ", room, peer)
        self._connections[connection.session] = seen
        return seen

    def _odd_url(self, request: Request, exchange: Exchange) -> str:
        """The URL of any request; `exchange` does the usual ones itself."""
        target = request.target
        if target[:1] != "/":
            if target != "*" and target:
                return target  # absolute form, or CONNECT's host:port
            target = f" {target or (who.UNKNOWN if exchange.protocol == _HTTP2 else '')}"
        if request.authority:
            return self._authorities[request.authority] + target
        host = header(request, b"host")
        if host:
            return self._hosts[host] + target
        return f"{_SCHEME}{who.server(exchange.connection.socket, outgoing=exchange.outgoing)}{target}"

    def _fit(self, url: str, columns: int) -> str:
        """Escaped, cut where there is a terminal, padded. Everything here is TLS, so the scheme is the first to go."""
        if not (url.isascii() and url.isprintable()):
            url = escape(url)
        if self._layout.tail is None or cells(url) <= columns:
            return pad(url, columns)
        url = url.removeprefix(_SCHEME)
        if url.isascii() and len(url) > columns:
            return cut_middle(url, columns)  # fills its columns
        return pad(cut_middle(url, columns), columns)

    def _remark(self, url: str, peer: str, exchange: Exchange) -> tuple[str, str]:
        """URL column and what stands behind the duration, with losses and extras.

        Losses are never cut; for them the peer gives way. Extras go behind the peer, else into
        blanks of the URL column, else they are left out.
        """
        found = extras(exchange)
        extra = "  ".join(found)
        lost = "; ".join(losses(exchange))
        lost_columns = len(lost) + 2 if lost else 0
        if lost:
            lost = f"  {self._palette.paint(self._palette.bad, lost)}"
        free = self._layout.tail
        wanted = lost_columns + (cells(extra) + 2 if extra else 0)
        if not wanted:
            return url, peer
        if free is None or cells(peer) + wanted <= free:
            peer = pad(peer, PEER_COLUMNS) if free is None or PEER_COLUMNS + wanted <= free else peer
            return url, f"{peer}{lost}  {extra}" if extra else f"{peer}{lost}"
        blanks = len(url) - len(url.rstrip()) - 2
        extra = next((text for text in (extra, *found) if cells(text) <= blanks), "")
        if extra or (found and blanks >= _LEAST_EXTRA_COLUMNS):
            url = f"{url.rstrip()}  {pad(extra or cut_middle(found[0], blanks), blanks)}"
        return url, f"{peer if cells(peer) + lost_columns <= free else ''}{lost}"

    def _uncommon(self, exchange: Exchange) -> str:
        """One side missing, a switch to another protocol, or a call."""
        request, response = exchange.request, exchange.response
        _, _, process, room, peer = self._of(exchange.connection)
        method, columns = self._methods["grpc" if exchange.grpc else request.method if request else who.UNKNOWN]
        url = self._odd_url(request, exchange) if request else "request not seen"
        if exchange.grpc:
            url = f"{exchange.grpc.service}/{exchange.grpc.method}"
            status, rest = self._call(exchange, exchange.grpc)
        elif response is None:
            status, rest = "---", self._instead("no response")
        else:
            status = str(response.status or who.UNKNOWN)
            rest, url = self._numbers(request, response, url)
        color = self._palette.status(response.status) if response else ""
        if exchange.grpc and exchange.grpc.status:
            color = self._palette.bad
        first = request or response
        time = self._clock(first.first_ns if first else 0)
        arrow = ASKED if exchange.outgoing else WAS_ASKED
        status = f"  {self._palette.paint(color, f'{status:>3}')}  "
        url, peer = self._remark(self._fit(url, room - columns), peer, exchange)
        line = f"{time}{process}{arrow}  {method}{url}{status}{rest}{peer}"
        return f"{line.rstrip()}\n"

    def _call(self, exchange: Exchange, call: GrpcCall) -> tuple[str, str]:
        """Status of a call; what it sent and received, and how long it took."""
        status = "---" if call.status is None else "OK" if not call.status else str(call.status)
        columns = self._layout.kind * KIND_COLUMNS + self._layout.size * SIZE_COLUMNS
        counts = pad(cut_end(f"{call.sent} ↑ {call.received} ↓", columns), columns)
        request, response = exchange.request, exchange.response
        if request is None or response is None:
            return status, pad(counts, self._layout.numbers)
        us = (response.last_ns - request.first_ns) // 1000
        return status, counts + (self._durations_of_errors if call.status else self._durations)[us]

    def _instead(self, words: str) -> str:
        """Words where type, size and duration stand otherwise."""
        columns = self._layout.numbers
        return pad(cut_end(words, columns), columns)

    def _numbers(self, request: Request | None, response: Response, url: str) -> tuple[str, str]:
        """Type, size and duration of an uncommon exchange, and its URL."""
        if response.status == _SWITCHED and request:
            if header(response, b"upgrade").lower() == b"websocket":
                return self._instead("websocket open"), url.replace(_SCHEME, "wss://", 1)
            return self._instead("upgraded"), url
        kind = self._kinds[header(response, b"content-type")]
        elapsed = f"{NONE:>{DURATION_COLUMNS}}{'':{MARK_COLUMNS}}" if self._layout.duration else ""
        return f"{kind}{self._sizes[response.body_bytes]}{elapsed}", url


def _no_time(_ts_ns: int) -> str:
    """For a terminal too narrow for one."""
    return ""


def _preview(data: bytes, columns: int) -> str:
    """The beginning of `data`, escaped, in exactly so many columns."""
    head = data[: columns + 1]
    if head.isascii() and (text := head.decode("ascii")).isprintable():
        return text.ljust(columns) if len(text) <= columns else cut_end(text, columns)
    # A character is at most four bytes and, but for combining ones, at least a column.
    text = data[: 4 * columns + 4].decode("utf-8", "surrogateescape")[: columns + 1]
    return pad(cut_end(escape(text), columns), columns)
