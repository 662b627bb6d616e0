# SPDX-License-Identifier: Apache-2.0
"""Protocols: sans-I/O parsers from a connection's bytes to messages, one file each, and a registry that guesses."""
