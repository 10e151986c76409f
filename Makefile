# wacta: see `make help`
#
# The extension (wacta.so, its SQL script) is built here by PGXS; the courier
# module and the gateway have their own Makefile below src/, since PGXS builds
# one thing a directory.

# These goals need no pg_config, and PGXS has a `check` of its own that refuses:
# they are kept apart from everything below `else`.
ALONE = help check torture fuzz bench demo demo-stop requests

ifneq (,$(filter $(ALONE),$(MAKECMDGOALS)))

OTHERS := $(filter-out $(ALONE),$(MAKECMDGOALS))
.PHONY: $(ALONE) $(OTHERS)

help:
	@echo 'make            build the extension, the courier and the gateway'
	@echo 'make install    put them where pg_config says (DESTDIR=... is heeded)'
	@echo 'make uninstall  remove them from there'
	@echo 'make clean      remove what was built'
	@echo 'make check      install what is missing, build and run all tests in a copy of this tree'
	@echo '                TESTS="regress isolation tap node unit" chooses; also regress:NAME, tap:101*'
	@echo 'make torture    kill, cut and slow everything while messages are sent, and account for each of them;'
	@echo '                TORTURE_FAULTS=20000 TORTURE_SECONDS=3600 SEED=...'
	@echo 'make fuzz       bodies of every kind of wrongness, down the whole inbound path, and bent requests at the gateway;'
	@echo '                FUZZ_SECONDS=600 FUZZ_RUNS=... SEED=...'
	@echo 'make requests   ask a running front door what the tests ask: URL=https://... DOOR=gateway (or postgrest);'
	@echo '                DB=... of a test site, for what needs leads and accounts: it makes some'
	@echo 'make bench      measure, each figure against a named reference; BENCH="drain wire" chooses,'
	@echo '                BENCH="--full ..." takes the sizes of docs/performance.md'
	@echo 'make demo       the whole journey in a private cluster, which stays up to look around in'
	@echo 'make demo-stop  end what make demo left running'
	@echo 'PG_CONFIG=...   the PostgreSQL installation to build for'

# The scripts run make themselves, in their copy, with flags of their own.
check: $(OTHERS)
	@env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS TESTS='$(TESTS)' PG_CONFIG='$(PG_CONFIG)' test/check

torture: $(OTHERS)
	@env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS PG_CONFIG='$(PG_CONFIG)' SEED='$(SEED)' \
	  TORTURE_FAULTS='$(TORTURE_FAULTS)' TORTURE_SECONDS='$(TORTURE_SECONDS)' test/torture/run

fuzz: $(OTHERS)
	@env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS PG_CONFIG='$(PG_CONFIG)' SEED='$(SEED)' \
	  FUZZ_SECONDS='$(FUZZ_SECONDS)' FUZZ_RUNS='$(FUZZ_RUNS)' test/fuzz/run

requests: $(OTHERS)
	@test/requests/run '$(URL)' --door '$(or $(DOOR),gateway)' --db '$(DB)'

bench: $(OTHERS)
	@env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS PG_CONFIG='$(PG_CONFIG)' bench/run $(BENCH)

demo demo-stop: $(OTHERS)
	@env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS PG_CONFIG='$(PG_CONFIG)' demo/$(if $(filter %-stop,$@),stop,run)

$(OTHERS):
	@+$(MAKE) $@

else

EXTENSION    = wacta
EXTVERSION   = $(shell sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" $(EXTENSION).control)
MODULE_big   = $(EXTENSION)
OBJS         = $(patsubst %.c,%.o,$(wildcard src/*.c))
PG_CFLAGS    = -std=gnu99 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
SHLIB_LINK   = $(if $(filter openssl,$(with_ssl)),-lcrypto)
DATA_built   = $(EXTENSION)--$(EXTVERSION).sql
DATA         = $(wildcard src/sql/upgrade/*--*--*.sql)

# The web pages become a module of the script, at its place in the order.
WEB_SRC      = $(sort $(wildcard web/*.html web/*.css web/*.js web/*.svg))
WEB_SQL      = $(if $(WEB_SRC),src/sql/built/79_web.sql)
MODULES_SQL  = $(wildcard src/sql/*.sql) $(WEB_SQL)
SQL_SRC      = $(foreach name,$(sort $(notdir $(MODULES_SQL))),$(filter %/$(name),$(MODULES_SQL)))

# make installcheck: for an installed wacta, in temporary instances of its own.
REGRESS_ALL    = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS        = $(filter install,$(REGRESS_ALL)) $(filter-out install,$(REGRESS_ALL))
REGRESS_OPTS   = --temp-instance=tmp_check_pg --temp-config=test/regress.conf --no-locale --encoding=UTF8
ISOLATION      = $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --temp-instance=tmp_check_iso --temp-config=test/regress.conf \
                 --no-locale --encoding=UTF8

SUBDIRS      = $(patsubst %/Makefile,%,$(wildcard src/courier/Makefile src/gateway/Makefile))
EXTRA_CLEAN  = $(DATA_built) src/sql/built tmp_check tmp_check_pg tmp_check_iso output_iso

PG_CONFIG   ?= pg_config
PGXS        := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(wildcard $(PGXS)))
$(error $(PG_CONFIG) finds no PGXS: install the postgresql-server-dev package of your version, or let `make check` do it)
endif

all: subdirs-all
install: subdirs-install
uninstall: subdirs-uninstall
clean: subdirs-clean

include $(PGXS)

$(OBJS): $(wildcard src/*.h)

$(DATA_built): $(SQL_SRC) $(EXTENSION).control
	cat $(SQL_SRC) > $@

$(WEB_SQL): src/embed-web.sh $(WEB_SRC)
	@mkdir -p $(@D)
	sh src/embed-web.sh $(WEB_SRC) > $@.tmp && mv $@.tmp $@

SUBDIR_GOALS = subdirs-all subdirs-install subdirs-uninstall subdirs-clean
.PHONY: $(SUBDIR_GOALS)
subdirs-install: subdirs-all
$(SUBDIR_GOALS): subdirs-%:
	+@for dir in $(SUBDIRS); do $(MAKE) -C $$dir $* PG_CONFIG='$(PG_CONFIG)' || exit; done

endif
