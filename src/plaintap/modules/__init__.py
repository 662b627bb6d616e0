# SPDX-License-Identifier: Apache-2.0
"""The capture modules: what to probe in which library, and the keeping of it attached."""
