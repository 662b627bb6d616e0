# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Read by others: apt with a configuration of its own, so that the host's sources and packages stay as they are.

apt_of() { # SUITE ARCHITECTURE CACHE MIRROR: from here on apt finds and checks that suite's packages; sets $apt
	apt=$3/apt-$1
	[ "$2" = amd64 ] || apt=$apt-$2
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	# Empty: else apt weighs the host's packages, which are of another release.
	: >"$apt/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $4 $1 main" >"$apt/sources.list"
	cat >"$apt/apt.conf" <<-END
		APT::Architecture "$2";
		APT::Architectures { "$2"; };
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
}

apt_news() { # asked for once a day
	[ -z "$(find "$apt/updated" -mmin -1440 2>/dev/null)" ] || return 0
	timeout 300 apt-get update -qq >"$apt/log" 2>&1 || return 1
	touch "$apt/updated"
}
