#!/bin/bash
# Installs Debian packages for the tests and the demo: apt-install.sh PACKAGE...
# Without a package it only brings the package lists up to date.
#
# Runs as root.  Must touch no PostgreSQL cluster: a new server package makes
# none (a drop-in for postgresql-common says so while we install), and an
# installed server is not upgraded, since that would restart its clusters.
# Nor is a service started, such as that of nginx on port 80.
set -euo pipefail

dropin_dir=/etc/postgresql-common/createcluster.d
dropin=$dropin_dir/wacta-install.conf
policy=/usr/sbin/policy-rc.d
made_policy=
made_dirs=()

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@"
}

# The lists may be older than what the mirrors hold, and another apt-get may
# have them locked: both pass.
update_lists() {
	local try
	for try in 1 2 3; do
		apt update && return
		echo "apt-get update failed (try $try of 3)"
		sleep 5
	done
	return 1
}

refuse_upgrades() {
	local upgraded
	upgraded=$(apt -s --no-install-recommends install "$@" |
		sed -n 's/^Inst \(postgresql-[0-9]*\) \[.*/\1/p')
	[ -z "$upgraded" ] || {
		echo "this would upgrade $upgraded and restart its clusters; install by hand: $*" >&2
		return 1
	}
}

forbid_clusters() {
	local dir
	for dir in /etc/postgresql-common "$dropin_dir"; do
		[ -d "$dir" ] || { mkdir "$dir" && made_dirs=("$dir" "${made_dirs[@]}"); }
	done
	printf '%s\n' '# Temporary, while the tests of wacta install packages.' \
		'create_main_cluster = false' >"$dropin"
}

# Debian's own switch: 101 is "not allowed".
forbid_services() {
	[ ! -e "$policy" ] || return 0
	made_policy=$policy
	printf '%s\n' '#!/bin/sh' 'exit 101' >"$policy"
	chmod 755 "$policy"
}

allow_clusters() {
	local dir
	rm -f "$dropin" ${made_policy:+"$made_policy"}
	for dir in "${made_dirs[@]}"; do
		rmdir "$dir" 2>/dev/null || true
	done
}

trap allow_clusters EXIT
trap 'exit 1' INT TERM HUP
update_lists
[ $# -gt 0 ] || exit 0
refuse_upgrades "$@"
forbid_clusters
forbid_services
apt --no-install-recommends install "$@"
