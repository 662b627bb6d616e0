# SPDX-License-Identifier: Apache-2.0
"""What can be probed on this host: ELF files, the loader's cache, processes' mappings, versions, places in code.

Nothing here attaches or knows a TLS library's functions by name but for its version; modules say what to look for.
"""
