# SPDX-License-Identifier: Apache-2.0
"""load_go.py LIBRARY HOST:PORT PATH: a C library made of Go in a program that is none."""

from __future__ import annotations

import ctypes
import sys

library = ctypes.CDLL(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print("done", library.speak(sys.argv[2].encode(), sys.argv[3].encode()), flush=True)
