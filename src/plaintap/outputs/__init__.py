# SPDX-License-Identifier: Apache-2.0
"""Outputs: forms that turn messages into text, and sinks that take the bytes."""
