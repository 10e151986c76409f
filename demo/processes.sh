# shellcheck shell=bash
# The demo's long-running programs: each is started in a session of its own, so
# that it outlives the terminal, and is known by its pid and the time it began:
# a pid alone may have passed to another process.  Needs $work.
: "${work:?}"
run=$work/run

# began PID: when the process began, in clock ticks since boot; nothing if it is gone.
began() {
	sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

# start_program NAME COMMAND...: output goes to $work/log/NAME.log.
start_program() {
	local name=$1
	shift
	rm -f "$run/$name.pid"			# of a demo that a reboot has ended
	# shellcheck disable=SC2016
	setsid -f bash -c 'echo $$ >"$1.new" && mv "$1.new" "$1" && shift && exec "$@"' \
		bash "$run/$name.pid" "$@" >"$work/log/$name.log" 2>&1 </dev/null
	until [ -s "$run/$name.pid" ]; do sleep 0.02; done
	began "$(cat "$run/$name.pid")" >"$run/$name.began"
}

is_ours() {
	local pid
	[ -s "$run/$1.pid" ] && pid=$(cat "$run/$1.pid") &&
		[ -n "$(began "$pid")" ] && [ "$(began "$pid")" = "$(cat "$run/$1.began")" ]
}

# stop_program NAME [SIGNAL]: politely, then, after 10 s, not.
stop_program() {
	local name=$1 signal=${2:-TERM} try
	is_ours "$name" || return 1
	kill -"$signal" "$(cat "$run/$name.pid")" 2>/dev/null || true
	for try in $(seq 100); do
		is_ours "$name" || break
		[ "$try" -lt 100 ] || kill -KILL "$(cat "$run/$name.pid")" 2>/dev/null || true
		sleep 0.1
	done
	rm -f "$run/$name.pid" "$run/$name.began"
}

# pick_port PREFERRED: that port of 127.0.0.1 if it is free, else the next free one.
pick_port() {
	local port=$1
	while (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null; do
		port=$((port + 1))
	done
	echo "$port"
}
