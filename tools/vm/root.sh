#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# root.sh CACHE MIRROR: prints the ext4 image that guests have as their root, made in CACHE when it is not there.
# It is of the host's own Debian release, so that what was compiled here runs in it; nothing of this tree is in it.
set -eu

cache=$1 mirror=$2
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# What plaintap loads, what the tests look with, and what they capture.
packages=ca-certificates,libbpf1,libelf1,zlib1g,bpftool,iproute2,kmod,procps
packages=$packages,python3,curl,openssl,nginx-light,tcpdump,tshark
size=1500M

codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
image=$cache/root-$codename-$(echo "$packages $size" | cksum | cut -d ' ' -f 1).img
if [ ! -e "$image" ]; then
	echo "vm: making the guests' root, Debian $codename with $packages" >&2
	tree=$cache/root.part
	rm -rf "$tree" "$cache"/root-*.img
	DEBIAN_FRONTEND=noninteractive timeout 1200 debootstrap --variant=minbase --keyring="$keyring" \
		--include="$packages" "$codename" "$tree" "$mirror" >"$cache/root.log" 2>&1 </dev/null || {
		tail -n 5 "$cache/root.log" >&2
		echo "vm: debootstrap failed (all of it in $cache/root.log)" >&2
		exit 1
	}
	rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
	printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"
	# Old kernels do not mount what newer versions of mke2fs make by default.
	truncate -s "$size" "$image.part"
	mke2fs -q -t ext4 -O ^metadata_csum_seed,^orphan_file -d "$tree" "$image.part"
	rm -rf "$tree"
	mv "$image.part" "$image"
fi
echo "$image"
