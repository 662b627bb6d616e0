# SPDX-License-Identifier: Apache-2.0
"""`python -m plaintap` is the command `plaintap`; both begin here."""

import sys

_INTERRUPTED = 130


def main() -> int:
    """The exit code; Ctrl-C while the rest is still being imported is no error to show."""
    try:
        from plaintap.cli.main import main as run  # noqa: PLC0415 - within the reach of `except`

        return run()
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
