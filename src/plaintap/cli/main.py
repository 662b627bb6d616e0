# SPDX-License-Identifier: Apache-2.0
"""Where the command line begins and ends: the only place that prints errors and makes exit codes.

Exit codes: 0, 1 failure or a loss under --strict, 2 wrong use, 130 interrupted before anything
was attached; `run` hands on its program's.
"""

from __future__ import annotations

import errno
import gc
import os
import re
import select
import sys
from collections.abc import Callable, MutableMapping, Sequence

import click

from plaintap.cli.completion import answer_shell
from plaintap.cli.invocation import Invocation, SessionApi
from plaintap.cli.root import ROOT, unknown_flag
from plaintap.cli.stderr import say
from plaintap.errors import OutputError, PlaintapError, UsageError

INTERRUPTED = 130
KEPT_BYTES = 8 << 20
"""Several batches' worth of payload."""
GARBAGE_OBJECTS = 20_000
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def _import_session() -> SessionApi:
    """The session, in a process that is all its own: its memory is tuned for batches."""
    from plaintap import _native, session  # noqa: PLC0415 - the parsers and the native extension, not for --help

    _native.keep_freed_memory(KEPT_BYTES)
    gc.freeze()  # what was imported is never garbage
    gc.set_threshold(GARBAGE_OBJECTS)
    return session


def main(
    arguments: Sequence[str] | None = None,
    *,
    environ: MutableMapping[str, str] | None = None,
    import_session: Callable[[], SessionApi] = _import_session,
) -> int:
    """Runs one call and returns its exit code; whatever goes wrong is printed here."""
    _open_standard_streams()
    invocation = Invocation(
        arguments=sys.argv[1:] if arguments is None else arguments,
        environ=os.environ if environ is None else environ,
        import_session=import_session,
    )
    try:
        code = answer_shell(ROOT, invocation.environ)
        return _invoke(invocation) if code is None else code
    except KeyboardInterrupt:
        say("plaintap: interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outer edge: whatever escaped is a bug and is called one
        if isinstance(error, BrokenPipeError) and _reader_has_gone():  # nothing is wrong
            _leave_stdout()
            return 0
        told = _told(error, invocation.arguments)
        if told is None:
            _confess(error, debug=invocation.debug or _asks_debug(invocation.arguments))
            return 1
        _complain(told.message, told.hint)
        return told.exit_code


def _invoke(invocation: Invocation) -> int:
    try:
        with ROOT.make_context("plaintap", list(invocation.arguments), obj=invocation) as context:
            code: int = ROOT.invoke(context)
    except click.exceptions.Exit as request:  # how click ends after --help
        code = request.exit_code
    if sys.stdout:  # None when it was closed before Python started
        sys.stdout.flush()
    return code


def _open_standard_streams() -> None:
    """/dev/null for those that were closed: the first file we open would be taken for one."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:  # the lowest free number is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _reader_has_gone() -> bool:
    """Of standard output; other pipes that break are our own business."""
    poll = select.poll()
    poll.register(1, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _leave_stdout() -> None:
    """What is left in it goes nowhere; Python would complain when it flushes at exit."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - without pathlib, which --help need not wait for
        os.dup2(nowhere.fileno(), 1)


def _told(error: Exception, arguments: Sequence[str]) -> PlaintapError | None:
    """What the user is told of an error that is no bug."""
    if isinstance(error, PlaintapError):
        return error
    if isinstance(error, click.ClickException):
        return _wrong_use(error, arguments)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        _leave_stdout()
        return OutputError(f"cannot write: {os.strerror(error.errno).lower()}")
    return None


def _wrong_use(error: click.ClickException, arguments: Sequence[str]) -> UsageError:
    """A mistake click found, in our form."""
    if isinstance(error, click.NoSuchOption):
        return unknown_flag(error.option_name, error.ctx)
    if isinstance(error, click.UsageError) and error.ctx:
        path = error.ctx.command_path
    else:  # click's parser does not tell whose flag lacks its value
        path = " ".join(["plaintap", *(word for word in arguments[:1] if word in ROOT.commands)])
    if isinstance(error, click.MissingParameter) and error.param is not None:
        message = f"`{path}` needs {error.param.human_readable_name}"
    else:
        text = re.sub(r"^Option '(.+?)'", r"\1", error.format_message().rstrip("."))
        message = text[:1].lower() + text[1:]
    return UsageError(message, hint=f"`{path} --help` shows what it takes")


def _asks_debug(arguments: Sequence[str]) -> bool:
    return any(word in ("-d", "--debug") for word in arguments)


def _complain(message: str, hint: str | None) -> None:
    say(f"plaintap: {message}")
    if hint:
        say(f"  hint: {hint}")


def _confess(error: Exception, *, debug: bool) -> None:
    if debug:
        import traceback  # noqa: PLC0415 - only for bugs

        traceback.print_exception(error)
    _complain(
        f"this is a bug in plaintap: {type(error).__name__}: {error}",
        None if debug else "the same command with -d shows where it happened",
    )
