#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# root-arm64.sh CACHE MIRROR: prints the folder that guests of arm64 have as their root, as IMAGE beside it, FOLDER.img;
# made in CACHE when it is not there. It is the system that things are compiled for, too. Packages are unpacked but not
# configured, for nothing of arm64 runs on this host.
set -eu

cache=$1 mirror=$2
codename=bookworm
packages="base-files base-passwd bash bpftool busybox-static ca-certificates coreutils dash grep iproute2 kmod libbpf1 libc-bin
	libelf1 openssl procps python3 sed tcpdump tshark util-linux zlib1g"
compiling="libbpf-dev libc6-dev libgcc-12-dev libpython3-dev linux-libc-dev"
tree=$cache/root-arm64-$codename-$(cat "$0" | cksum | cut -d ' ' -f 1)
if [ ! -e "$tree.img" ]; then
	echo "vm: making the guests' root, Debian $codename for arm64" >&2
	# shellcheck source=tools/vm/apt.sh
	. "$(dirname "$0")/apt.sh"
	apt_of "$codename" arm64 "$cache" "$mirror"
	rm -rf "$cache"/root-arm64-*
	failed() {
		tail -n 5 "$apt/log" >&2
		echo "vm: $1 (all of it in $apt/log)" >&2
		exit 1
	}
	apt_news || failed "apt-get update failed"
	# shellcheck disable=SC2086 # lists of words
	timeout 900 apt-get install -y -qq --no-install-recommends --download-only $packages $compiling \
		>"$apt/log" 2>&1 </dev/null || failed "cannot fetch the packages"
	mkdir "$tree"
	for package in "$apt"/archives/*.deb; do
		dpkg-deb -x "$package" "$tree"
	done
	rm -f "$apt"/archives/*.deb
	# What their scripts would have done, as far as tests meet it.
	cp "$tree/usr/share/base-passwd/passwd.master" "$tree/etc/passwd"
	cp "$tree/usr/share/base-passwd/group.master" "$tree/etc/group"
	echo 'tcpdump:x:100:65534::/nonexistent:/usr/sbin/nologin' >>"$tree/etc/passwd"
	printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"
	echo 'hosts: files' >"$tree/etc/nsswitch.conf"
	truncate -s 1500M "$tree.img.part"
	mke2fs -q -t ext4 -d "$tree" "$tree.img.part"
	mv "$tree.img.part" "$tree.img"
fi
echo "$tree"
