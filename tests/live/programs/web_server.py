# SPDX-License-Identifier: Apache-2.0
"""web_server.py SITE uvicorn|gunicorn CERTIFICATE KEY HOST: one of them, from the folder SITE, with TLS.

The answer to a request is as long as its path says. Prints "ready" and its port; serves until it is terminated.
"""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any


def answer(path: str) -> tuple[bytes, list[tuple[str, str]]]:
    size = int(path.rpartition("/")[2])
    return path.encode().ljust(size)[:size], [("Content-Type", "text/plain"), ("Content-Length", str(size))]


Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


async def asgi(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    body, headers = answer(scope["path"])
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": 200, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    environ["wsgi.input"].read()
    body, headers = answer(environ["PATH_INFO"])
    start("200 OK", headers)
    return [body]


def run_uvicorn(listener: socket.socket, certificate: str, key: str) -> None:
    uvicorn = importlib.import_module("uvicorn")
    config = uvicorn.Config(
        asgi, http="h11", loop="asyncio", lifespan="off", log_level="error", ssl_certfile=certificate, ssl_keyfile=key
    )
    print("ready", listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def run_gunicorn(listener: socket.socket, certificate: str, key: str) -> None:
    port = listener.getsockname()[1]

    class Application(importlib.import_module("gunicorn.app.base").BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            settings = {
                "bind": f"fd://{listener.fileno()}",
                "worker_class": "gthread",
                "threads": 24,  # each holds one while it waits for the first request
                "keepalive": 30,
                "loglevel": "error",
                "certfile": certificate,
                "keyfile": key,
                "post_worker_init": lambda _: print("ready", port, flush=True),
            }
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return wsgi

    Application().run()


def main() -> None:
    site, kind, certificate, key, host = sys.argv[1:]
    sys.argv[1:] = []
    sys.path.insert(0, site)
    listener = socket.create_server((host, 0), backlog=1024)
    {"uvicorn": run_uvicorn, "gunicorn": run_gunicorn}[kind](listener, certificate, key)


if __name__ == "__main__":
    main()
