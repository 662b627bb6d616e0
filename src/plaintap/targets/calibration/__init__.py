# SPDX-License-Identifier: Apache-2.0
"""Finds the layout of a TLS library by letting it shake hands with itself and looking where known values lie.

`calibrator.py` is the way in. The library is a stranger's code: it runs in a child that can do nothing but compute
(confined/), and what the child says is a stranger's claim.
"""
