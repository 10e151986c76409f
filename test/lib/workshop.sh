# shellcheck shell=bash
# Copies the checkout to the working directory, builds the copy and installs it
# into a private PostgreSQL tree.  Sourced after common.sh; needs $work, which
# make_work sets.
#
# A copy, because the checkout may lie where user postgres cannot read (/root)
# or in a path with a space, which make cannot stand; and because two runs
# must not share objects.
: "${top:?}" "${work=}"

copy_checkout() {
	as_worker rm -rf "$work/src"
	as_worker mkdir -p "$work/src"
	# Read as the caller, who can, and written as the worker.
	tar -C "$top" --exclude=./.git --exclude=node_modules -cf - . |
		as_worker tar -C "$work/src" -xf -
}

# Whatever was built in the checkout came along in the copy: start clean.
build_copy() {
	as_worker make -s -C "$work/src" clean PG_CONFIG="$PG_CONFIG" &&
		as_worker make -s -C "$work/src" -j "$(nproc)" all PG_CONFIG="$PG_CONFIG"
}

install_copy() {
	PG_CONFIG=$PG_CONFIG as_worker "$work/src/test/lib/private-postgres.sh" "$work/pg" &&
		as_worker make -s -C "$work/src" install DESTDIR="$work/pg" PG_CONFIG="$PG_CONFIG" &&
		as_worker "$work/pg$("$PG_CONFIG" --bindir)/postgres" --version
}

# prepare_workshop: from a bare checkout to a private installation.
prepare_workshop() {
	copy_checkout || return
	step "building, with warnings as errors" "$work/log/build.log" build_copy || return
	step "installing into a private PostgreSQL tree" "$work/log/install.log" install_copy
}

# The accessibility checker, by whoever calls, whose npm is set up for it, and handed to the worker, who may not be.
install_checker() {
	local dir status=0
	dir=$(mktemp -d)
	cp "$top"/test/axe/package*.json "$dir"
	(cd "$dir" && timeout 60 npm ci --ignore-scripts --no-audit --no-fund) &&
		tar -C "$dir" -cf - node_modules | as_worker tar -C "$work/src/test/axe" -xf - || status=$?
	rm -rf "$dir"
	return "$status"
}

# prepare_checker: the tests do without it where npm cannot.
prepare_checker() {
	command -v npm >/dev/null && step "installing the accessibility checker" "$work/log/checker.log" install_checker
}
