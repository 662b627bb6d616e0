#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `make run`: plaintap with the arguments given, else the main job opened by one sample exchange.
set -eu

tools=$(cd "$(dirname "$0")" && pwd -P)
plaintap=$tools/../.venv/bin/plaintap
[ $# -gt 0 ] || set -- --sample
case $1 in
-h | --help | -V | --version | help | completion | replay) exec "$plaintap" "$@" ;;
esac
exec "$tools/privileged.sh" "$plaintap" "$@"
