#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh SERIES[-arm64] [PYTEST_ARGUMENT...]: the live suite's core in a guest with Debian's kernel of this series, emulated
# in software, or Go's rows in one of arm64; its output as it comes, its exit status at the end. As root. Kernels and the
# guests' roots are kept in $PLAINTAP_VM_CACHE, by default ~/.cache/plaintap/vm. PLAINTAP_VM_MIRROR names a Debian mirror
# other than the host's.
set -eu

die() {
	echo "vm: $*" >&2
	exit 1
}
[ $# -gt 0 ] && [ -n "$1" ] || die "which kernel? make vm-test K=6.1, K=6.12 or K=6.1-arm64"
series=${1%-arm64} arch=amd64
[ "$1" = "$series" ] || arch=arm64
console_name=vm-$1.log
shift
tools=$(cd "$(dirname "$0")" && pwd -P)
tree=$(cd "$tools/../.." && pwd -P)
cache=${PLAINTAP_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plaintap/vm}
PATH=$PATH:/usr/sbin:/sbin
# A run takes minutes; past this the guest hangs.
limit_s=${PLAINTAP_VM_LIMIT_S:-1200}
# So much longer do the tests wait for anything than on a host.
slowness=10
nothing_collected=5 # pytest's status for it

[ "$(id -u)" = 0 ] || die "needs root, to make the guest's root"
[ "$(dpkg --print-architecture)" = amd64 ] || die "needs an amd64 host"
grep -q '^ID=debian' /etc/os-release || die "needs a Debian host: its programs must run in the guest"
codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# The host's own mirror, by whatever name its sources know this release.
mirror=${PLAINTAP_VM_MIRROR:-$(
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(RELEASE) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		awk -v codename="$codename" '$1 == codename || $2 == "Debian" { print $NF; exit }'
)}
[ -n "$mirror" ] || die "this host's apt knows no Debian mirror: name one, PLAINTAP_VM_MIRROR=http://…"

mkdir -p "$cache"
# Two guests run beside each other; making what they share is one's work.
exec 9>"$cache/lock"
flock 9
kernel=$("$tools/kernel.sh" "$series" "$arch" "$cache" "$mirror")
if [ "$arch" = arm64 ]; then
	system=$("$tools/root-arm64.sh" "$cache" "$mirror")
	root=$system.img
else
	root=$("$tools/root.sh" "$cache" "$mirror")
fi
flock -u 9
exec 9>&-

work=$(mktemp -d)
trap 'trap "" INT TERM; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# ---- the initial memory disk: busybox, the modules that reach the disks, those that a capture of packets needs ----

mkdir -p "$work/initial/bin" "$work/initial/modules" "$work/initial/proc" "$work/initial/sys" "$work/initial/dev"
if [ "$arch" = arm64 ]; then
	cp "$system/bin/busybox" "$work/initial/bin/"
else
	cp "$(command -v busybox)" "$work/initial/bin/"
fi
install -m 755 "$tools/init" "$work/initial/init"
for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk \
	crc16 crc32c_generic crc32c-intel libcrc32c mbcache jbd2 ext4 \
	inet_diag tcp_diag udp_diag sch_ingress cls_bpf cls_u32 veth tun llc stp garp mrp 8021q; do
	# What is not there is in the kernel itself.
	file=$(find "$kernel" -name "$module.ko*" | head -n 1)
	case $file in
	*.xz) xz -dc "$file" >"$work/initial/modules/$module.ko" ;;
	*.zst) zstd -qdc "$file" >"$work/initial/modules/$module.ko" ;;
	*.ko) cp "$file" "$work/initial/modules/" ;;
	esac
done
(cd "$work/initial" && find . | cpio --quiet -o -H newc) | gzip -1 >"$work/initial.gz"

# ---- what is brought along: this tree with its .venv, the interpreter behind that, the compiled test programs ----

brought=$work/brought
mkdir -p "$brought/programs"
bring() { # PATH TAR_ARGUMENT...: a copy at the same path
	path=$1
	shift
	mkdir -p "$brought$path"
	tar -C "$path" "$@" -cf - . | tar -C "$brought$path" -xf -
	echo "$path" >>"$brought/paths"
}
{
	echo "cd '$tree' || exit 1"
	echo "export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1"
	echo "export PLAINTAP_REQUIRE_LIVE=1 PLAINTAP_TEST_SLOWNESS=$slowness PLAINTAP_TEST_PROGRAMS=/brought/programs"
} >"$brought/start"
if [ "$arch" = arm64 ]; then
	# Of what is captured there only Go: its rows of `make test`, built here.
	bring "$tree" --exclude=./.git --exclude=./build --exclude=./dist --exclude=./.venv
	"$tools/venv-arm64.sh" "$tree" "$system" "$brought$tree/.venv"
	GOARCH=arm64 PYTHONPATH=$tree/tests/live "$tree/.venv/bin/python" -m harness.golang "$brought/programs" ||
		die "cannot compile the test programs"
	cat "$tools/start-arm64" >>"$brought/start"
else
	bring "$tree" --exclude=./.git --exclude=./build --exclude=./dist
	base=$("$tree/.venv/bin/python" -c 'import sys; print(sys.base_prefix)')
	case $base in
	/usr | /usr/local) ;; # of the same release as the guest's
	*) bring "$base" --exclude=./lib/python*/test --exclude=./lib/python*/site-packages --exclude='*.a' ;;
	esac
	PYTHONPATH=$tree/tests/live "$tree/.venv/bin/python" -m harness.target "$brought/programs" ||
		die "cannot compile the test programs"
	# Which files have rows to run is found here, and what they compile to written beside the copy, which takes the
	# tree's place for that: in the guest it takes half a minute.
	for rows in core sockets; do
		# shellcheck disable=SC2016 # of the shell inside
		unshare --mount sh -euc '
			mount --bind "$1$2" "$2"
			cd "$2"
			shift 2
			PYTHONPATH= exec .venv/bin/python -m pytest -p no:cacheprovider --collect-only -qq tests/live "$@"
		' sh "$brought" "$tree" -m "core and $rows" "$@" >"$work/collected" 2>&1 || [ $? = "$nothing_collected" ] || {
			tail -n 20 "$work/collected" >&2
			die "pytest cannot collect the tests"
		}
		sed -n 's/^\(tests\/live\/[^:]*\.py\): [0-9]*$/\1/p' "$work/collected" >"$brought/$rows"
	done
	[ -s "$brought/core" ] || die "no row of the core is chosen by: $*"
	cat "$tools/start" >>"$brought/start"
fi
for argument; do
	printf '%s\n' "$argument"
done >"$brought/arguments"
truncate -s 1500M "$work/brought.img"
mke2fs -q -t ext4 -O ^metadata_csum_seed,^orphan_file -d "$brought" "$work/brought.img"

# ---- the guest: its kernel's words in a file, the tests' here, their status in another file ----

console=$tree/build/$console_name
mkdir -p "$tree/build"
: >"$work/status"
vmlinuz=$(find "$kernel" -name 'vmlinuz*' | head -n 1)
boot() { # QEMU ARGUMENT...
	qemu=$1
	shift
	timeout -k 10 "$limit_s" "$qemu" "$@" -accel tcg -m 2048 -smp 1 -nodefaults -display none -no-reboot \
		-kernel "$vmlinuz" -initrd "$work/initial.gz" \
		-drive "file=$root,if=virtio,format=raw,snapshot=on" \
		-drive "file=$work/brought.img,if=virtio,format=raw" </dev/null
}
words="quiet loglevel=4 oops=panic panic=-1"
boot_amd64() {
	# What QEMU 7.2 gets wrong, and guests of some minutes meet: after cmpxchg16b an interrupt finds wrong flags (a
	# double fault), and with two processors one runs what the other has just patched (static keys, probes) as it was
	# (an int3).
	boot qemu-system-x86_64 -M pc -cpu max,-cx16 \
		-serial "file:$console" -serial stdio -serial "file:$work/status" -append "console=ttyS0 $words"
}
boot_arm64() {
	# The machine has one port of its own; ttyS0 only gives the others the numbers that they have elsewhere.
	boot qemu-system-aarch64 -M virt -cpu cortex-a72 -serial "file:$console" \
		-chardev null,id=none -chardev stdio,id=tests -chardev "file,id=status,path=$work/status" \
		-device pci-serial,chardev=none -device pci-serial,chardev=tests -device pci-serial,chardev=status \
		-append "console=ttyAMA0 $words"
}
echo "vm: booting $(basename "$kernel")" >&2
"boot_$arch" &&
	ended="the guest ended without a word" || ended="no end within $limit_s s, or no guest at all"

status=$(sed -n 's/^status \([0-9]*\).*/\1/p' "$work/status")
[ -n "$status" ] || {
	tail -n 40 "$console" >&2
	die "$ended (its console's last lines are above, all in $console)"
}
exit "$status"
