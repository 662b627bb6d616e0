# SPDX-License-Identifier: Apache-2.0
"""`plaintap` and `plaintap all`: everything on the host; and what all capturing commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from plaintap.cli.command import Command
from plaintap.cli.invocation import Settings
from plaintap.cli.listening import capture_and_listen, refuse_what_cannot_listen
from plaintap.config import AllConfig, CaptureConfig, CommonConfig
from plaintap.config_show import STANDARD_OUTPUT
from plaintap.errors import UsageError
from plaintap.options import options

OPTIONS = (*options(AllConfig), *options(CommonConfig))


def filter_words() -> click.Argument:
    """Words that are no flag: one packet filter, for captures of packets."""
    return click.Argument(["filter_words"], nargs=-1, required=False, metavar="")


def given_filter_words(settings: Settings, context: click.Context) -> Sequence[str]:
    """Those of the command line. UsageError where they mean nothing."""
    words: Sequence[str] = context.params.get("filter_words", ())
    if words and not settings.common.wants_packets:
        hint = f"to start a program and capture it: plaintap run -- {' '.join(words)}; to narrow: --pid, --comm"
        raise UsageError("filter words need -m pcap", hint=hint)
    if words and settings.typed("pcapfilter"):
        raise UsageError("--pcapfilter and filter words are two filters", hint="join them with `and`")
    return words


def refuse_what_cannot_work(config: CaptureConfig) -> None:
    """UsageError for options that would leave nothing to see, or never end."""
    common = config.common
    if common.count and common.format == "none":
        hint = "--duration ends it after a time"
        raise UsageError("--count does not go with --format none, which makes no exchanges of what it sees", hint=hint)
    if not common.sample:
        return
    filters = {"--pid": common.pid, "--uid": common.uid is not None, "--cgroup_path": common.cgroup_path}
    filters["--comm"] = common.comm not in (None, "curl")
    for name, narrows in filters.items():
        if narrows:
            hint = "capture without --sample, or without the filter"
            raise UsageError(f"--sample does not go with {name}: the curl it starts would be left out", hint=hint)


def refuse_wrong_keys(settings: Settings) -> None:
    """UsageError for what does not go with a key log, or not without one."""
    common = settings.common
    label = settings.typed("keylogfile")
    if label and not common.wants_keylog:
        hint = f"to write keys: -m keylog {label} FILE"
        raise UsageError(f"{label} names the file of -m keylog, which was not asked for", hint=hint)
    if common.wants_keylog and common.wants_text and common.keylogfile == STANDARD_OUTPUT and common.format != "none":
        hint = "-m keylog alone, or -k FILE"
        raise UsageError("-k -: standard output is where the text goes, and keys between it are no key log", hint=hint)
    if (
        common.wants_keylog
        and common.record
        and os.path.realpath(common.record) == os.path.realpath(common.keylog_path)
    ):
        raise UsageError(f"--record and -k are the same file, {common.record}", hint="give two names")
    if common.count and not common.wants_text:
        hint = "--duration ends a capture after a time, a replay ends by itself"
        raise UsageError("--count does not go without -m text: keys and packets make no exchanges", hint=hint)


PACKET_FIELDS = ("ifname", "pcapfilter", "pcapfile", "snaplen", "rotate_bytes", "rotate_s", "rotate_files")


def refuse_wrong_packets(settings: Settings) -> None:
    """UsageError for what does not go with packets, or not without them."""
    common = settings.common
    for label in filter(None, map(settings.typed, PACKET_FIELDS)):
        if not common.wants_packets:
            raise UsageError(f"{label} is of -m pcap, which was not asked for", hint="to capture packets: -m pcap")
    if not common.wants_packets:
        return
    if common.rotate_files and not (common.rotate_bytes or common.rotate_s):
        hint = "-C MB begins another file by size, -G TIME by time"
        raise UsageError("-W says how many files are kept, but there is only one", hint=hint)
    if common.packets_path == STANDARD_OUTPUT:
        _refuse_shared_output(common)
        return
    others = {"-k": common.keylog_path if common.wants_keylog else None, "--record": common.record}
    for flag, path in others.items():
        if path and os.path.realpath(path) == os.path.realpath(common.packets_path):
            raise UsageError(f"{flag} and -w are the same file, {path}", hint="give two names")


def _refuse_shared_output(common: CommonConfig) -> None:
    if common.wants_keylog and common.keylogfile == STANDARD_OUTPUT:
        raise UsageError("-k - and -w - would both write standard output", hint="-k FILE, or -w FILE")
    if common.wants_text and common.format != "none":
        hint = "-m pcap alone, or -w FILE"
        raise UsageError("-w -: standard output is where the text goes, and packets between it are no file", hint=hint)
    if common.rotate_bytes or common.rotate_s:
        raise UsageError("-w -: standard output is one file, -C and -G begin others", hint="-w FILE")


def start(settings: Settings, config: CaptureConfig, *, command: Sequence[str] | None = None) -> int:
    """Runs the session; returns the exit code."""
    refuse_wrong_keys(settings)
    refuse_wrong_packets(settings)
    refuse_what_cannot_listen(config.common)
    if command and config.common.listen:
        raise UsageError("--listen does not go with `run`", hint="plaintap --listen on, and the command beside it")
    if command and config.common.wants_packets and config.common.pcapfile == STANDARD_OUTPUT:
        raise UsageError("-w -: standard output is the command's, and packets between it are no file", hint="-w FILE")
    if command and config.common.wants_keylog and config.common.keylogfile == STANDARD_OUTPUT:
        raise UsageError("-k -: standard output is the command's, and keys between it are no key log", hint="-k FILE")
    refuse_what_cannot_work(config)
    # The session brings the native extension and the parsers, which help and mistakes need not wait for.
    from plaintap.cli.reporter import Reporter  # noqa: PLC0415

    reporter = Reporter(
        debug=config.common.debug,
        ready_fd=config.common.ready_fd,
        mapsize_kb=config.common.mapsize,
        environ=settings.invocation.environ,
    )
    session = settings.invocation.import_session()
    if config.common.listen:
        return capture_and_listen(config, reporter)
    if config.common.sample:
        from plaintap.cli.sample import capture_sample  # noqa: PLC0415 - brings ssl, which only it needs

        return capture_sample(config, session, reporter)
    return session.capture(config, command=command, reporter=reporter)


def capture_all(context: click.Context) -> int:
    """What `plaintap` does without a command."""
    settings = Settings(context)
    words = given_filter_words(settings, context)
    return start(settings, settings.modules(settings.load(AllConfig).modules, filter_words=words))


COMMAND = Command(
    "all",
    purpose="capture what every process says inside TLS; the same as no command",
    usage="all [FLAGS]",
    action=capture_all,
    examples=[
        ("all", "all TLS of this host"),
        ("all --pid 611 -v", "one process with its bodies"),
        ("all --duration 10s --record day.ptap", "ten seconds, kept for replay"),
    ],
    options=OPTIONS,
    arguments=[filter_words()],
)
