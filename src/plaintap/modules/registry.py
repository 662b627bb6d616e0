# SPDX-License-Identifier: Apache-2.0
"""The capture modules by name. To add one: a file with its plan, a line here, a test file."""

from __future__ import annotations

from plaintap.modules.base import Module
from plaintap.modules.gnutls import GNUTLS
from plaintap.modules.gotls import GOTLS
from plaintap.modules.openssl import OPENSSL

MODULES: dict[str, Module] = {module.name: module for module in (OPENSSL, GOTLS, GNUTLS)}
