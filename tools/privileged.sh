#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a command as root where that can be had (already root, or sudo), else as it is: what then
# cannot be done is for the command to say. sudo drops the environment; what is ours passes.
set -eu

[ "$(id -u)" != 0 ] || exec "$@"
command -v sudo >/dev/null || exec "$@"
[ -t 0 ] || sudo -n true 2>/dev/null || exec "$@"

# Root must not leave files in the tree that its owner cannot write again.
count=$#
for name in $(env | sed -n 's/^\(PLAINTAP_[A-Z0-9_]*\|PYTEST_ADDOPTS\|PYTHONPATH\|NO_COLOR\|TERM\)=.*/\1/p'); do
	eval "value=\$$name"
	set -- "$@" "$name=$value"
done
set -- "$@" PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/run/plaintap-hypothesis
while [ "$count" -gt 0 ]; do
	word=$1
	shift
	set -- "$@" "$word"
	count=$((count - 1))
done
exec sudo env "$@"
