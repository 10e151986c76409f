# shellcheck shell=bash
# The environment of tests and demo: the private PostgreSQL tree first in PATH,
# PostgreSQL's Perl modules and ours.  Sourced with $top, $work and PG_CONFIG.
: "${top:?}" "${work:?}" "${PG_CONFIG:?}"

pg_bin=$work/pg$("$PG_CONFIG" --bindir)
pg_src=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
export PATH="$pg_bin:$PATH"
export PG_REGRESS=$pg_src/src/test/regress/pg_regress
# shellcheck disable=SC2034
PG_ISOLATION_REGRESS=$pg_src/src/test/isolation/pg_isolation_regress
export PERL5LIB="$top/test/lib:$pg_src/src/test/perl"
# PostgreSQL::Test keeps logs and data below $TESTDIR/tmp_check; files that
# reserve a port are seen by all tests that run at once.
export TESTDIR=$work/tap
export TESTDATADIR=$TESTDIR/tmp_check TESTLOGDIR=$TESTDIR/tmp_check/log	# from 16 on
export PG_TEST_PORT_DIR=$work/tmp/ports
export WACTA_SRC=$top
