# SPDX-License-Identifier: Apache-2.0
"""Go programs taken apart: their version, functions, types, and the places where a probe sees a call and its result."""
