# SPDX-License-Identifier: Apache-2.0
"""The HTTP configuration API: a running capture asked and changed, by routes that GUIs of eCapture know."""
