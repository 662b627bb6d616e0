# SPDX-License-Identifier: Apache-2.0
"""Where the fields lie in the structs of TLS libraries, as data: what a layout is, tables of them, finding one."""
