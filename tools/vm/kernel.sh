#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kernel.sh SERIES CACHE MIRROR: prints the folder of Debian's newest cloud kernel of this series, unpacked in CACHE.
# apt finds and checks it, with a configuration of its own: the host's sources and packages stay as they are. Its news
# are asked for once a day; without a network what is in CACHE serves.
set -eu

series=$1 cache=$2 mirror=$3
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
case $series in
6.1) suite=bookworm ;;
6.12) suite=trixie ;;
*)
	echo "vm: no Debian release known with kernel '$series', expected 6.1 or 6.12" >&2
	exit 2
	;;
esac

apt=$cache/apt-$suite
kernels=$cache/kernel-$series
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$kernels"
# Empty: else apt weighs the host's packages, which are of another release.
: >"$apt/status"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$apt/sources.list"
cat >"$apt/apt.conf" <<END
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Acquire::Languages "none";
APT::Sandbox::User "root"; // the cache may lie where apt's own user cannot go
END
export APT_CONFIG="$apt/apt.conf"

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

if [ -z "$(find "$apt/updated" -mmin -1440 2>/dev/null)" ]; then
	timeout 300 apt-get update -qq >"$apt/log" 2>&1 || failed "apt-get update failed"
	touch "$apt/updated"
fi
# The package without a version depends on the newest.
package=$(apt-cache depends --important linux-image-cloud-amd64 2>>"$apt/log" |
	sed -n "s/.* Depends: \(linux-image-$series[.-].*\)/\1/p" | head -n 1)
[ -n "$package" ] || failed "apt has no linux-image-$series.*-cloud-amd64 in $suite"

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
