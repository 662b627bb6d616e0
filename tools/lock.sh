#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Resolves pyproject.toml into the lock files: exact versions, hashes, no index addresses.
set -eu

cd "$(dirname "$0")/.."
.venv/bin/python -m pip --disable-pip-version-check install --quiet uv
compile() { # OUTPUT ARGUMENT...
	output=$1
	shift
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' --output-file "$output" --group build "$@" pyproject.toml
}
compile requirements/run.lock
compile requirements/dev.lock --group dev --constraint requirements/run.lock
compile requirements/fuzz.lock --group dev --group fuzz --constraint requirements/dev.lock
