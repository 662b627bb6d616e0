#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes .venv with plaintap in it, from what the host has and the lock files say.
#   setup.sh run   what using plaintap needs
#   setup.sh dev   what `make test`, `make lint` and the other verbs need as well
#   setup.sh matrix what `make matrix` needs besides
#   setup.sh bench what `make bench` needs besides
#   setup.sh vm    what `make vm-test` needs besides
#   setup.sh fuzz  what `make fuzz` needs besides
# Says what it does before doing it, and does nothing when nothing changed since the last time.
# PYTHON chooses the interpreter; one without headers or venv is passed over for Debian's.
set -eu

level=${1:-run}
root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
venv=$root/.venv
log=$root/build/setup.log
PATH=$PATH:/usr/sbin:/sbin
unset PYTHONPATH PYTHONHOME

say() { echo "setup: $*" >&2; }
die() {
	say "$*"
	exit 1
}

case $level in
run) lock=run ;;
dev | matrix | bench | vm) lock=dev ;;
fuzz) lock=fuzz ;;
*) die "unknown level '$level', expected run, dev, matrix, bench, vm or fuzz" ;;
esac

# ---- what the last time left: one stamp for the packages of a level, one for the sources ----

want_packages() { # LEVEL LOCK
	{
		echo "$1"
		cat "requirements/$2.lock" tools/setup.sh
	} | cksum
}
want_sources() {
	{
		echo "$root"
		find src bpf native proto meson.build pyproject.toml -type f ! -name '*.pyc' -printf '%p %T@ %s\n' |
			LC_ALL=C sort
	} | cksum
}
stamp_is() { [ -f "$venv/setup.$1" ] && [ "$(cat "$venv/setup.$1")" = "$2" ]; }

packages=$(want_packages "$level" "$lock")
sources=$(want_sources)
up_to_date() { [ -x "$venv/bin/python" ] && stamp_is "$level" "$packages" && stamp_is sources "$sources"; }
up_to_date && exit 0

# ---- one at a time: two makes in one tree must not write one .venv ----

if command -v flock >/dev/null; then
	exec 9<"$root"
	if ! flock -n 9; then
		say "waiting for another set-up of this tree"
		flock 9
		sources=$(want_sources)
		up_to_date && exit 0
	fi
fi
mkdir -p build 2>/dev/null || true
for place in "$root" "$root/build" "$venv"; do
	[ ! -e "$place" ] || [ -w "$place" ] || die "cannot write $place: it belongs to $(stat -c %U "$place")"
done
: >"$log"

# ---- Debian packages, by what is missing rather than by name: any origin will do ----

missing=
need() { # PACKAGE TEST...: the package is needed unless the test succeeds or it is there already
	needed=$1
	shift
	"$@" >/dev/null 2>&1 || is_installed "$needed" || missing="$missing $needed"
}
is_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q ' ok installed$'; }
any_command() {
	for name in "$@"; do
		! command -v "$name" >/dev/null || return 0
	done
	return 1
}
good_python() {
	"$1" - <<-'END' 2>/dev/null
		import ensurepip, os, sys, sysconfig, venv
		header = os.path.join(sysconfig.get_path("include"), "Python.h")
		sys.exit(sys.version_info < (3, 11) or not os.path.exists(header))
	END
}
find_missing() {
	missing=
	python=
	for candidate in "${PYTHON:-python3}" /usr/bin/python3; do
		if good_python "$candidate"; then
			python=$candidate
			break
		fi
	done
	for package in python3 python3-dev python3-venv; do
		need "$package" test -n "$python"
	done
	need gcc any_command cc gcc
	need libc6-dev test -e /usr/include/stdio.h
	need pkg-config any_command pkg-config pkgconf
	need libbpf-dev pkg-config --atleast-version=1.1 libbpf
	need clang any_command clang clang-21 clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14
	need llvm any_command llvm-strip llvm-strip-21 llvm-strip-20 llvm-strip-19 llvm-strip-18 \
		llvm-strip-17 llvm-strip-16 llvm-strip-15 llvm-strip-14
	# The schema in proto/ becomes what the protobuf form is written by.
	need protobuf-compiler any_command protoc
	# The sample that bare `make run` opens with: the host's own client and a throw-away certificate.
	need curl any_command curl
	need openssl any_command openssl
	[ "$level" != run ] || return 0
	need nginx any_command nginx
	need tcpdump any_command tcpdump
	need tshark any_command tshark
	need wget any_command wget
	need gnutls-bin any_command gnutls-cli
	need libssl-dev test -e /usr/include/openssl/ssl.h
	# Tests fetch packages of other suites than the host's.
	need debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
	for package in $bpftool_packages; do
		need "$package" bpftool version
	done
	case $level in
	matrix)
		need npm any_command npm
		need chromium any_command chromium
		need nghttp2-client any_command nghttp
		need nodejs any_command node
		need systemd any_command systemd-analyze
		need wrk any_command wrk
		;;
	bench)
		need wrk any_command wrk
		need nodejs any_command node
		need golang-go any_command go
		;;
	vm)
		need qemu-system-x86 any_command qemu-system-x86_64
		need qemu-system-arm any_command qemu-system-aarch64
		need binutils-aarch64-linux-gnu any_command aarch64-linux-gnu-ld
		need busybox-static is_static busybox
		need debootstrap any_command debootstrap
		need debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
		need e2fsprogs any_command mke2fs
		need cpio any_command cpio
		need xz-utils any_command xz
		need zstd any_command zstd
		;;
	esac
}
is_static() { any_command "$1" && ! ldd "$(command -v "$1")"; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}
can_be_root() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; }
reason() { grep -E '^(E:|ERROR|.*[Ee]rror:)' "$log" | tail -n 1 | cut -c 1-200; }

install_packages() {
	command -v apt-get >/dev/null ||
		die "this host has no apt-get: install what Debian calls$missing (python at least 3.11), then try again"
	can_be_root || die "root is needed once: sudo apt-get install --no-install-recommends$missing"
	say "installing Debian packages:$missing"
	had_nginx=$(command -v nginx || true)
	# shellcheck disable=SC2086 # a list of words
	{
		as_root apt-get update -qq -o DPkg::Lock::Timeout=300 &&
			as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
				-o DPkg::Lock::Timeout=300 $missing
	} >>"$log" 2>&1 </dev/null || die "apt-get failed: $(reason) (all of it in build/setup.log)"
	# Tests start their own nginx; the service that Debian starts was not asked for.
	if [ -z "$had_nginx" ] && command -v nginx >/dev/null && [ -d /run/systemd/system ]; then
		as_root systemctl disable --now nginx >>"$log" 2>&1 || true
	fi
	find_missing
}

# Ubuntu packs bpftool with each kernel, behind a common front.
bpftool_packages=bpftool
if grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; then
	bpftool_packages="linux-tools-common linux-tools-$(uname -r)"
	apt-cache show "linux-tools-$(uname -r)" >/dev/null 2>&1 || bpftool_packages="linux-tools-common linux-tools-generic"
fi
find_missing
[ -z "$missing" ] || missing=" ${missing# }"
[ -z "$missing" ] || install_packages
[ -n "$python" ] || die "no python 3.11 or newer with headers and venv: name one, make PYTHON=/path/to/python3"

# ---- .venv, exactly what the lock says ----

usable_venv() {
	[ -x "$venv/bin/python" ] && grep -q " $venv\$" "$venv/pyvenv.cfg" &&
		"$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))'
}
if ! usable_venv 2>/dev/null; then
	say "making .venv with $("$python" --version)"
	rm -rf "$venv" build/meson
	"$python" -m venv "$venv" >>"$log" 2>&1 || die "cannot make .venv: $(reason) (all of it in build/setup.log)"
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@" >>"$log" 2>&1; }

if ! stamp_is "$level" "$packages"; then
	say "installing Python packages from requirements/$lock.lock"
	pip install --retries 2 --require-hashes --only-binary :all: -r "requirements/$lock.lock" ||
		die "cannot install Python packages (is the index reachable?): $(reason) (all of it in build/setup.log)"
fi

# ---- the extension, the BPF objects and the package ----

if ! stamp_is sources "$sources"; then
	say "building plaintap"
	rm -f "$venv/setup.sources"
	# Not editable: its import hook would ask the build system for news at every start.
	PATH=$venv/bin:$PATH pip install --no-build-isolation --no-deps --no-index --force-reinstall \
		--config-settings=build-dir=build/meson "$root" || {
		tail -n 40 "$log" >&2
		die "the build failed (all of it in build/setup.log)"
	}
	echo "$sources" >"$venv/setup.sources"
fi
# Each level holds the ones before it.
case $level in
dev) want_packages run run >"$venv/setup.run" ;;
matrix | bench | vm | fuzz)
	want_packages run run >"$venv/setup.run"
	want_packages dev dev >"$venv/setup.dev"
	;;
esac
echo "$packages" >"$venv/setup.$level"
