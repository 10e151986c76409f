# shellcheck shell=bash
# How the demo speaks and looks: steps, SQL, HTTP, and waiting for what must
# come true.  Sourced by demo/play; needs $work.
: "${work:?}"
patience=${WACTA_DEMO_PATIENCE:-30}
step_number=0
step_title='the set-up'

# begin TITLE: the next step of the journey.
begin() {
	step_number=$((step_number + 1))
	step_title=$1
	printf '\n%s. %s\n' "$step_number" "$1"
}

note() { printf '   %s\n' "$*"; }

fail() {
	printf '\ndemo: FAILED at step %s (%s): %s\n' "$step_number" "$step_title" "$1" >&2
	for log in cluster gateway double; do
		[ -s "$work/log/$log.log" ] || continue
		printf -- '---- the end of %s\n' "$work/log/$log.log" >&2
		tail -n 15 "$work/log/$log.log" >&2
	done
	printf 'demo: what was started still runs, to be looked at; make demo-stop ends it\n' >&2
	# In a command substitution `exit` would end that alone: demo/play has a trap.
	kill -TERM $$
	exit 1
}

# sql [NAME=VALUE...] < STATEMENT: values only; :'name' stands for a value.
# shellcheck disable=SC2120
sql() {
	local variables=()
	for pair in "$@"; do variables+=(-v "$pair"); done
	psql -XqAt -v ON_ERROR_STOP=1 "${variables[@]}" -d crm
}

# one STATEMENT: its value.
# shellcheck disable=SC2119
one() { sql <<<"$1"; }

# show STATEMENT: its rows, as a person reads them.
show() {
	psql -Xq -v ON_ERROR_STOP=1 -P footer=off -P border=1 -d crm <<<"$1" | sed '/^$/d; s/^/      /' ||
		fail "\"$1\" was refused"
}

# expect WHAT STATEMENT VALUE: polls until the statement gives the value.
expect() {
	local end=$((SECONDS + patience)) got
	while got=$(one "$2") && [ "$got" != "$3" ]; do
		[ "$SECONDS" -lt "$end" ] || fail "expected $1; after $patience s \"$2\" gives \"$got\", not \"$3\""
		sleep 0.1
	done
	[ "$got" = "$3" ] || fail "\"$2\" was refused"
	note "✔ $1"
}

# http EXPECTED_STATUS CURL-ARGUMENT...: the answer's body; any other status fails.
http() {
	local want=$1 answer got
	shift
	answer=$(curl -sS --max-time 20 -w '\n%{http_code}' "$@") || fail "no answer to: curl $*"
	got=${answer##*$'\n'}
	[ "$got" = "$want" ] || fail "HTTP $got, not $want: ${answer:0:400}"
	printf '%s\n' "${answer%$'\n'*}"
}

# wait_until WHAT COMMAND...: until the command succeeds.
wait_until() {
	local what=$1 end=$((SECONDS + patience))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || fail "$what did not come up in $patience s"
		sleep 0.1
	done
}

# secret [BYTES]: random, in hex, without the line end that a file's reader might keep.
secret() { openssl rand -hex "${1:-24}" | tr -d '\n'; }
