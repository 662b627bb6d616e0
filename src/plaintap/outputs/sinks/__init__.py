# SPDX-License-Identifier: Apache-2.0
"""Sinks: where formatted output goes, one file each."""
