# SPDX-License-Identifier: Apache-2.0
"""From what a library keeps of a handshake to the lines of a key log; sans-I/O."""
