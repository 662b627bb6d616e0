#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kernel.sh SERIES ARCHITECTURE CACHE MIRROR: prints the folder of Debian's newest cloud kernel of this series, unpacked
# in CACHE. Without a network what is in CACHE serves.
set -eu

series=$1 arch=$2 cache=$3 mirror=$4
case $series in
6.1) suite=bookworm ;;
6.12) suite=trixie ;;
*)
	echo "vm: no Debian release known with kernel '$series', expected 6.1 or 6.12" >&2
	exit 2
	;;
esac

kernels=$cache/kernel-$series
[ "$arch" = amd64 ] || kernels=$kernels-$arch
mkdir -p "$kernels"
# shellcheck source=tools/vm/apt.sh
. "$(dirname "$0")/apt.sh"
apt_of "$suite" "$arch" "$cache" "$mirror"

unpacked() { find "$kernels" -mindepth 1 -maxdepth 1 -type d ! -name '*.part' | sort -V | tail -n 1; }
failed() {
	have=$(unpacked)
	[ -n "$have" ] || {
		echo "vm: $1 (all of it in $apt/log), and no kernel $series was fetched before" >&2
		exit 1
	}
	echo "vm: $1; taking $(basename "$have"), fetched before" >&2
	echo "$have"
	exit 0
}

apt_news || failed "apt-get update failed"
# The package without a version depends on the newest.
package=$(apt-cache depends --important "linux-image-cloud-$arch" 2>>"$apt/log" |
	sed -n "s/.* Depends: \(linux-image-$series[.-].*\)/\1/p" | head -n 1)
[ -n "$package" ] || failed "apt has no linux-image-$series.*-cloud-$arch in $suite"

if [ ! -d "$kernels/$package" ]; then
	echo "vm: fetching $package" >&2
	rm -rf "$kernels/$package.part"
	mkdir "$kernels/$package.part"
	(cd "$apt/archives" && timeout 600 apt-get download -qq "$package") >>"$apt/log" 2>&1 ||
		failed "cannot fetch $package"
	dpkg-deb -x "$apt/archives/$package"_*.deb "$kernels/$package.part"
	rm -f "$apt/archives/$package"_*.deb
	find "$kernels" -mindepth 1 -maxdepth 1 -type d ! -name "$package.part" -exec rm -rf {} +
	mv "$kernels/$package.part" "$kernels/$package"
fi
echo "$kernels/$package"
