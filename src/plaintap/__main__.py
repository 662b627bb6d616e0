# SPDX-License-Identifier: Apache-2.0
"""`python -m plaintap` is the command `plaintap`."""

import sys

from plaintap.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
