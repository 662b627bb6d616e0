# SPDX-License-Identifier: Apache-2.0
"""What a calibration in progress can be told by."""

from __future__ import annotations

MEMORY_NAME = "plaintap-calibration"
"""Of its copies of libraries in memory: no capture looks into those that are its user's."""
