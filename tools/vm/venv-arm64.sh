#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# venv-arm64.sh TREE ROOT VENV: makes VENV for the guest whose root is ROOT, as TREE/tools/setup.sh makes .venv: what the
# lock says, as wheels for arm64, and this tree, cross-compiled.
set -eu

tree=$1 root=$2 venv=$3
site=$venv/lib/python3.11/site-packages
build=$tree/build/arm64
mkdir -p "$site" "$venv/bin"

# ---- the packages, fetched once for each lock ----

wheels=$build/wheels-$(cksum <"$tree/requirements/dev.lock" | cut -d ' ' -f 1)
pip() { "$tree/.venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
if [ ! -d "$wheels" ]; then
	rm -rf "$build"/wheels-*
	mkdir -p "$build"
	pip install --quiet --no-deps --require-hashes --only-binary :all: --no-compile --python-version 3.11 \
		--platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
		--implementation cp --abi cp311 --abi abi3 --abi none \
		-r "$tree/requirements/dev.lock" --target "$wheels.part"
	mv "$wheels.part" "$wheels"
fi
cp -r "$wheels/." "$site"

# ---- this tree ----

cat >"$build/cross.ini" <<END
[binaries]
c = ['clang', '--target=aarch64-linux-gnu', '--sysroot=$root']
strip = 'llvm-strip'
pkg-config = 'pkg-config'
[built-in options]
c_link_args = ['--ld-path=/usr/bin/aarch64-linux-gnu-ld']
[properties]
sys_root = '$root'
pkg_config_libdir = '$root/usr/lib/aarch64-linux-gnu/pkgconfig'
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
END
PATH=$tree/.venv/bin:$PATH
rm -rf "$build/meson" "$build/installed"
meson setup --cross-file "$build/cross.ini" --prefix /usr "$build/meson" "$tree" >"$build/log" 2>&1 &&
	DESTDIR="$build/installed" meson install -C "$build/meson" >>"$build/log" 2>&1 || {
	tail -n 20 "$build/log" >&2
	exit 1
}
cp -r "$(find "$build/installed" -type d -name plaintap | head -n 1)" "$site"
cp -r "$tree"/.venv/lib/python3*/site-packages/plaintap-*.dist-info "$site"

# ---- what makes a folder a virtual environment ----

printf 'home = /usr/bin\nversion = 3.11\n' >"$venv/pyvenv.cfg"
ln -s /usr/bin/python3.11 "$venv/bin/python"
cat >"$venv/bin/plaintap" <<END
#!$tree/.venv/bin/python
import sys
from plaintap.__main__ import main
sys.exit(main())
END
chmod 755 "$venv/bin/plaintap"
