# SPDX-License-Identifier: Apache-2.0
"""plaintap: what the processes of a Linux host say inside TLS, in plaintext."""

__version__ = "0.1.0"
__all__ = ["__version__"]
