# SPDX-License-Identifier: Apache-2.0
"""Joins the stages, and alone may: a source of records, streams, protocols, outputs."""

from plaintap.session.capture import Capture, capture
from plaintap.session.host import ModuleHost
from plaintap.session.pipeline import Reporter
from plaintap.session.replay import replay

__all__ = ["Capture", "ModuleHost", "Reporter", "capture", "replay"]
