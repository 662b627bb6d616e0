# SPDX-License-Identifier: Apache-2.0
"""The client behind `plaintap ctl`: finds the capture, asks it, says the answer to a person."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click

from plaintap.errors import OutputError, TargetError, UsageError, reason
from plaintap.outputs.escape import escape
from plaintap.outputs.sizes import count, exact_bytes, long_duration

SOCKETS = Path("/run/plaintap")
TIMEOUT_S = 60.0
_HINT = "start one with --listen on"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


class Client:
    """One capture. Raises UsageError and TargetError where it cannot be found."""

    def __init__(self, *, url: str | None, token_file: str | None, ca: str | None, pid: int | None) -> None:
        self._headers = {"Content-Type": "application/json"}
        if token_file:
            from plaintap.api.server import read_token  # noqa: PLC0415 - brings the server, which few need

            self._headers["Authorization"] = f"Bearer {read_token(token_file)}"
        self._url = url
        self._ca = ca
        self._path = None if url else _socket_of(pid)

    def _connection(self) -> http.client.HTTPConnection:
        if self._path:
            return _UnixConnection(self._path)
        parts = urlsplit(self._url or "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"--url: expected http://HOST:PORT or https://HOST:PORT, got {self._url!r}", hint=_HINT)
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        context = ssl.create_default_context(cafile=self._ca)
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=context)

    def open(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> http.client.HTTPResponse:
        """The answer's head. Raises OutputError when nobody answers."""
        connection = self._connection()
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, body=data, headers=self._headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise OutputError(f"cannot ask {self._url or self._path}: {why}", hint=_HINT) from error

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Status and decoded answer."""
        response = self.open(method, path, body)
        data = response.read()
        try:
            return response.status, json.loads(data)
        except ValueError:
            return response.status, {"msg": data[:200].decode(errors="replace")}


def _socket_of(pid: int | None) -> Path:
    if pid is not None:
        path = SOCKETS / f"{pid}.sock"
        if not path.exists():
            raise TargetError(f"no plaintap with --listen has pid {pid}", hint="plaintap ctl, without --pid")
        return path
    try:
        found = [path for path in SOCKETS.glob("*.sock") if _is_alive(path)]
    except PermissionError as error:
        raise TargetError(
            f"cannot look into {SOCKETS}: {reason(error)}", hint="run it as the user that captures"
        ) from error
    if not found:
        hint = _HINT if os.geteuid() == 0 else "run it as root, or give --url and --token-file"
        raise TargetError("no plaintap with --listen runs on this host", hint=hint)
    if len(found) > 1:
        pids = ", ".join(path.stem for path in found)
        raise UsageError(f"several captures run: pid {pids}", hint="--pid chooses one")
    return found[0]


def _is_alive(path: Path) -> bool:
    return path.stem.isdecimal() and stat.S_ISSOCK(path.lstat().st_mode) and Path(f"/proc/{path.stem}").exists()


def act(client: Client, action: str, words: Sequence[str], *, as_json: bool) -> int:
    """Asks for one action and prints what comes of it; the exit code."""
    if action == "events":
        return _events(client)
    method, path, body = _request(action, words)
    status, said = client.ask(method, path, body)
    if status != 200:
        raise OutputError(f"refused: {escape(str(said.get('msg')))}", hint=None)
    if as_json:
        click.echo(json.dumps(said))
    elif action == "status":
        _say_status(said)
    elif action == "config":
        for key, value in said["data"].items():
            click.echo(f"{key} = {escape(json.dumps(value))}")
    else:
        click.echo(escape(f"{words[0]}: {'closed' if action == 'stop' else 'in force'}"))
    return 0


def _request(action: str, words: Sequence[str]) -> tuple[str, str, Mapping[str, Any] | None]:
    if action == "status":
        return "GET", "/", None
    if not words:
        raise UsageError(f"ctl {action}: which module?", hint=f"for example: plaintap ctl {action} tls")
    module = quote(words[0], safe="")
    if action == "set":
        return "POST", f"/{module}", dict(map(_setting, words[1:]))
    return ("GET", f"/config/{module}", None) if action == "config" else ("POST", f"/close/{module}", {})


def _setting(word: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise UsageError(f"ctl set: expected KEY=VALUE, got {word!r}", hint="for example pid=123")
    return key, value or None


def _say_status(status: Mapping[str, Any]) -> None:
    click.echo(f"plaintap[{status['pid']}], running for {long_duration(status['uptime_s'])}")
    for module in status["modules"]:
        facts = [count(module["connections"], "connection"), count(module["exchanges"], "exchange")]
        facts.append(exact_bytes(module["bytes"]))
        click.echo(f"{module['module']}: {module['state']}{': ' + escape(module['why']) if module.get('why') else ''}")
        click.echo(f"  {count(len(module['targets']), 'target')} · {' · '.join(facts)}")
        for where, number in module["losses"].items():
            click.echo(f"  lost: {where} {number:,}")


def _events(client: Client) -> int:
    response = client.open("GET", "/events")
    if response.status != 200:
        raise OutputError("the events are refused", hint=None)
    while line := response.readline():
        name, _, value = line.partition(b": ")
        if name == b"data":
            click.echo(value.rstrip(b"\n"))
    return 0
