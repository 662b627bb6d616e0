# SPDX-License-Identifier: Apache-2.0
"""The kernel side from user space: features, loading, filters, rings, privileges, recordings."""
