#!/bin/sh
# Makes a private PostgreSQL tree: test/lib/private-postgres.sh TREE
#
# PostgreSQL finds its library and share directories relative to the program
# that runs.  So a tree with copied programs and, entry by entry, links to the
# system's libraries and share files is an installation of its own:
# `make install DESTDIR=TREE` adds wacta to it, the system's stays as it is, and
# no root is needed.  Prints the tree's directory of programs.
#
# PG_CONFIG names the pg_config of the installation to mirror.
set -eu

die() {
	echo "private-postgres.sh: $*" >&2
	exit 1
}

# link_entries FROM TO: TO becomes a real directory, its entries are links.
link_entries() {
	mkdir -p "$2"
	for entry in "$1"/*; do
		ln -sfn "$entry" "$2/"
	done
}

# real_dir FROM TO: as link_entries, where FROM's parent was linked already.
real_dir() {
	[ -d "$1" ] || return 0
	rm -f "$2"
	link_entries "$1" "$2"
}

[ $# -eq 1 ] || die "usage: private-postgres.sh TREE"
tree=$1
pg_config=${PG_CONFIG:-pg_config}
command -v "$pg_config" >/dev/null || die "no pg_config: install postgresql-server-dev"

bindir=$("$pg_config" --bindir)
libdir=$("$pg_config" --pkglibdir)
sharedir=$("$pg_config" --sharedir)
[ -x "$bindir/postgres" ] || die "no server in $bindir: install the package of this server version"

rm -rf "$tree"
mkdir -p "$tree$bindir"
cp -L "$bindir"/* "$tree$bindir/"
# What `make install` writes into must not be reached through a link.
link_entries "$libdir" "$tree$libdir"
real_dir "$libdir/bitcode" "$tree$libdir/bitcode"
link_entries "$sharedir" "$tree$sharedir"
real_dir "$sharedir/extension" "$tree$sharedir/extension"

# A wacta that the system already has must not be taken for the one under test.
rm -rf "$tree$libdir"/wacta*.so "$tree$libdir"/bitcode/wacta* \
	"$tree$sharedir"/extension/wacta*
echo "$tree$bindir"
