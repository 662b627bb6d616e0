# SPDX-License-Identifier: Apache-2.0
"""`--listen`: the modules of the command line in captures of their own, which the API shows and changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from plaintap.config import CaptureConfig, CommonConfig
from plaintap.errors import UsageError

if TYPE_CHECKING:
    from plaintap.cli.reporter import Reporter
    from plaintap.messages import Message


def refuse_what_cannot_listen(common: CommonConfig) -> None:
    """UsageError for options that are of one capture from beginning to end."""
    if common.listen is None:
        certified = (common.tls_cert or common.tls_key) and not (common.ecaptureq or "").startswith("wss:")
        if common.token_file or certified or common.listen_insecure:
            raise UsageError(
                "--token-file, --tls-cert, --tls-key and --listen-insecure are of --listen", hint="--listen on"
            )
        return
    if common.record:
        raise UsageError(
            "--record does not go with --listen: modules come and go", hint="one capture: without --listen"
        )
    if common.count:
        raise UsageError("--count does not go with --listen: each module would count its own", hint="--duration")
    if common.sample:
        raise UsageError("--sample does not go with --listen", hint="plaintap --sample")
    if "har" in (common.format or ""):
        raise UsageError("--format har does not go with --listen: its file is one document", hint="--format json:FILE")


def capture_and_listen(config: CaptureConfig, reporter: Reporter) -> int:
    """Until a signal; the exit code."""
    # What HTTP needs is 120 ms that no other capture should wait for.
    from plaintap.api.feed import Feed  # noqa: PLC0415
    from plaintap.api.routes import Api  # noqa: PLC0415
    from plaintap.api.server import Server  # noqa: PLC0415
    from plaintap.session.ecaptureq import SharedEcaptureq  # noqa: PLC0415
    from plaintap.session.host import ModuleHost  # noqa: PLC0415
    from plaintap.session.logs import LoggedReporter  # noqa: PLC0415

    common = config.common
    server = Server(common)
    clients: SharedEcaptureq | None = None
    try:
        feed = Feed(_encoder(common))
        logged = LoggedReporter(reporter)
        watch: Callable[[Sequence[Message]], None] = feed.show
        if common.ecaptureq:
            clients = SharedEcaptureq(common, notice=reporter.notice)
            logged.log_to(clients.log)
            watch = _both(feed.show, clients.show)
        host = ModuleHost(config, reporter=logged, watch=watch)
        host.start()
        try:
            server.start(Api(host, feed))
            logged.notice(f"configuration API at {server.url}; on this host also `plaintap ctl`")
            if server.token_is_ours:
                reporter.notice(f"its token, told only here: {server.token}")
            reporter.say_ready()
            host.wait()
        finally:
            server.close()
            code: int = host.close()
    finally:
        server.close()
        if clients:
            clients.close()
    return code


def _both(
    one: Callable[[Sequence[Message]], None], other: Callable[[Sequence[Message]], None]
) -> Callable[[Sequence[Message]], None]:
    def show(messages: Sequence[Message]) -> None:
        one(messages)
        other(messages)

    return show


def _encoder(common: CommonConfig) -> Callable[[Sequence[Message]], bytes]:
    from plaintap.outputs.json_lines import JsonFormatter  # noqa: PLC0415
    from plaintap.protocols.bodies import decode_body  # noqa: PLC0415
    from plaintap.runtime.recording import clock_offset_ns  # noqa: PLC0415
    from plaintap.session.outputs import BODY_MAX_BYTES  # noqa: PLC0415

    limit_bytes = common.body_limit or BODY_MAX_BYTES
    return JsonFormatter(
        clock_offset_ns=clock_offset_ns(),
        body_limit=common.body_limit,
        decode_body=partial(decode_body, limit_bytes=limit_bytes),
    ).encode
