# shellcheck shell=bash
# What the scripts of `make check` and `make demo` share: messages, timed steps,
# the working directory outside the checkout, and running as an unprivileged
# user.  Sourced with $top set to the checkout; starts nothing by itself.
: "${top:?}" "${PG_CONFIG:=}"

say() { printf '%s\n' "$*"; }

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# step TITLE LOG COMMAND...: runs a long command with its output in LOG; prints
# a line when it starts, every 20 s, and with the time it took.  If it fails,
# the end of LOG says why, and so does the caller's exit status.
step() {
	local title=$1 log=$2 started=$SECONDS beat status=0
	shift 2
	say "$title ..."
	# The sleep of an ended beat goes on: it must hold neither output nor lock.
	(while sleep 20 >/dev/null 2>&1 9>&- && kill -0 $$ 2>/dev/null; do
		say "  ... $((SECONDS - started)) s"
	done) &
	beat=$!
	"$@" >"$log" 2>&1 </dev/null || status=$?
	kill "$beat" 2>/dev/null || true
	wait "$beat" 2>/dev/null || true
	if [ "$status" -ne 0 ]; then
		say "  failed after $((SECONDS - started)) s; the end of $log:"
		tail -n 40 "$log" | sed 's/^/  | /'
		return "$status"
	fi
	say "  done in $((SECONDS - started)) s"
}

# PostgreSQL refuses to run as root: as root, the work is done by user postgres.
worker_uid() {
	if [ "$(id -u)" -ne 0 ]; then
		id -u
	else
		id -u postgres 2>/dev/null || die "there is no user postgres to run PostgreSQL as"
	fi
}

# as_worker COMMAND...: as that user, in an environment of its own, so that a
# PGHOST or a proxy of the caller's changes nothing.  Needs $work.
as_worker() {
	local become=()
	[ "$(id -u)" -ne 0 ] || become=(setpriv --reuid=postgres --regid=postgres --init-groups)
	"${become[@]}" env -i \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		HOME="$work" TMPDIR="$work/tmp" LANG=C.UTF-8 \
		CI="${CI:-}" TESTS="${TESTS:-}" PG_CONFIG="$PG_CONFIG" \
		WACTA_DEMO_NO_BROWSER="${WACTA_DEMO_NO_BROWSER:-}" \
		PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-60}" \
		"$@" 9>&-
}

# The directory that the working directories of this checkout lie in.  Its name
# has no space, is the same for each run from this checkout by this user, and
# is short, because the path of a Unix socket holds 107 bytes.
work_base() {
	local tmp=${TMPDIR:-/tmp}
	usable_tmp "$tmp" || tmp=/tmp
	printf '%s/wacta-%s-%s\n' "$tmp" "$(id -u)" "$(printf %s "$top" | cksum | cut -d' ' -f1)"
}

usable_tmp() {
	case $1 in
		*[!A-Za-z0-9/._-]*) return 1 ;;
	esac
	[ ${#1} -le 40 ] && [ -d "$1" ] && work=/ as_worker test -w "$1"
}

# make_work NAME: sets $work to this checkout's directory NAME, making it.
# The name can be guessed, so what stands there must be the worker's own.
make_work() {
	local base uid
	base=$(work_base)
	uid=$(worker_uid)
	if mkdir -m 700 "$base" 2>/dev/null; then
		[ "$(id -u)" -ne 0 ] || chown postgres: "$base"
	fi
	if [ -L "$base" ] || [ ! -d "$base" ] || [ "$(stat -c %u "$base")" != "$uid" ]; then
		die "$base exists and is not a directory of the right user: remove it"
	fi
	work=$base/$1
	cd /
	as_worker mkdir -p "$work/tmp" "$work/log"
}

# lock_work WHAT: one run at a time in $work; held until this script ends.
lock_work() {
	exec 9>>"$work.lock"
	flock -n 9 || die "another $1 of this checkout is running ($work)"
}
