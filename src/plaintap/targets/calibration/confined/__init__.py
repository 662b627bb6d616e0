# SPDX-License-Identifier: Apache-2.0
"""What runs in the child that loads a stranger's library: the sandbox, the handshakes, what memory held then.

Started by ../launcher.py as a package of its own named `confined`: it imports the standard library and itself only,
with relative names, and draws no conclusions. Those are ../search.py's, outside.
"""
