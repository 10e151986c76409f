# shellcheck shell=bash
# Finds and installs what a fresh Debian lacks.  Sourced after common.sh.
: "${top:?}"

# The version of PostgreSQL to work with: the newest that is here with its
# development files, else the one that this Debian release carries.
postgres_version() {
	local pgxs
	pgxs=$(find /usr/lib/postgresql -maxdepth 5 -name pgxs.mk 2>/dev/null | sort -V | tail -n 1)
	if [ -n "$pgxs" ]; then
		printf '%s\n' "$pgxs" | sed 's,^/usr/lib/postgresql/\([0-9]*\)/.*,\1,'
	else
		apt-cache depends postgresql 2>/dev/null |
			sed -n 's/.*Depends: postgresql-\([0-9]\{1,\}\)$/\1/p' | head -n 1
	fi
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# missing PACKAGE[=PROGRAM]...: those that are not there; a PROGRAM that is
# there will do, whatever package it came from.
missing() {
	local want
	for want in "$@"; do
		is_installed "${want%%=*}" && continue
		case $want in
			*=*) [ -x "/usr/bin/${want#*=}" ] || [ -x "/usr/local/bin/${want#*=}" ] && continue ;;
		esac
		printf '%s ' "${want%%=*}"
	done
}

# as_root COMMAND...
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		# It asks for the password on the terminal, whatever our output goes to.
		sudo "$@"
	else
		return 1
	fi
}

# apt_step TITLE PACKAGE...: says what to do by hand if it cannot be done.
apt_step() {
	local title=$1 log status=0
	shift
	command -v apt-get >/dev/null || die "no apt-get here; install what these Debian packages hold: $*"
	log=$(mktemp "${TMPDIR:-/tmp}/wacta-apt.XXXXXX")
	step "$title" "$log" as_root "$top/test/lib/apt-install.sh" "$@" || status=$?
	rm -f "$log"
	[ "$status" -ne 0 ] || return 0
	say "run this as root, or as a user who may use sudo, or do it by hand:"
	say "  apt-get update && apt-get install --no-install-recommends ${*:-postgresql postgresql-server-dev-all}"
	return 1
}

# install_missing PACKAGE[=PROGRAM]...: quiet when nothing is missing.
install_missing() {
	local lacking
	read -ra lacking <<<"$(missing "$@")"
	[ ${#lacking[@]} -eq 0 ] || apt_step "installing what is missing: ${lacking[*]}" "${lacking[@]}"
}

# prepare_packages: the tool chain, the server and what the tests run with.
# Sets PG_CONFIG, unless the caller has named an installation of their own.
prepare_packages() {
	local wanted=(gcc=gcc libc6-dev perl pkg-config=pkg-config libcurl4-openssl-dev libssl-dev libpq-dev
		libevent-dev libcjose-dev libjansson-dev libipc-run-perl nodejs=node curl=curl openssl=openssl nginx ca-certificates)
	local version
	if [ -z "${PG_CONFIG:-}" ]; then
		version=$(postgres_version)
		# Lists that were never fetched know no postgresql.
		if [ -z "$version" ]; then
			apt_step "fetching the package lists" || return
			version=$(postgres_version)
		fi
		[ -n "$version" ] || die "no package of PostgreSQL to be had from apt-get"
		wanted+=("postgresql-$version" "postgresql-server-dev-$version" "postgresql-$version-cron")
		PG_CONFIG=/usr/lib/postgresql/$version/bin/pg_config
	fi
	install_missing "${wanted[@]}"
}

# Chromium is a third of all packages, and all but the pages can do without it.
prepare_browser() {
	(install_missing chromium=chromium)
}
