# pg_livesync: PGXS makefile.  `make help` lists what can be made.
#
#   PG_CONFIG=/path/pg_config   the server to build for and install into
#   WERROR=1                    warnings are errors (make test and make lint set it)
#   V=1                         show the compiler's command lines
#
# Never `make -j2 clean install`: make would run both at once.

EXTENSION = pg_livesync
MODULE_big = pg_livesync
PGFILEDESC = "pg_livesync - keeps tables of another PostgreSQL server in sync"
DATA = $(sort $(wildcard pg_livesync--*.sql))

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))

# Objects of strict builds live apart, so that switching does not compile everything again.
BUILD = build/$(if $(WERROR),strict,plain)
SOURCES = $(sort $(wildcard src/*/*.cpp))
OBJS = $(SOURCES:src/%.cpp=$(BUILD)/%.o)
EXTRA_CLEAN = build

PG_CONFIG ?= $(if $(shell command -v pg_config),pg_config,/usr/lib/postgresql/15/bin/pg_config)
CLANG_FORMAT ?= $(or $(shell command -v clang-format-14),clang-format)
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

.DEFAULT_GOAL = all

ifneq ($(wildcard $(PGXS)),)

# LLVM bitcode is compiled with flags of its own, which know neither -std nor C++20.
override with_llvm = no

SHLIB_LINK = $(libpq) -Wl,--version-script=pg_livesync.map

include $(PGXS)

# The server's headers are system headers: they are not ours to warn about.  PGDLLEXPORT is empty
# before PostgreSQL 16; defined here, symbols marked with it are exported on all versions.
# Exceptions stay enabled although none are used: without them the compiler would emit no
# .gcc_except_table, by which `make lint` finds destructors that ereport() would skip.
LIVESYNC_CXXFLAGS = -std=c++20 -fno-rtti -fvisibility=hidden \
	-Wall -Wextra -Wshadow -Wno-register $(if $(WERROR),-Werror) \
	'-DPGDLLEXPORT=__attribute__((visibility("default")))'
LIVESYNC_CPPFLAGS = -Isrc -isystem $(includedir_server) -isystem $(includedir) \
	$(patsubst -I/%,-isystem /%,$(filter-out -I. -I./,$(CPPFLAGS)))
LIVESYNC_COMPILE = $(CXX) $(CXXFLAGS) $(LIVESYNC_CXXFLAGS) $(LIVESYNC_CPPFLAGS)

# $(call changed,file,text): write the text to the file unless that is what it holds.
changed = mkdir -p $(dir $(1)); printf '%s\n' $(2) | cmp -s - $(1) || printf '%s\n' $(2) >$(1)

# A change of compiler, flags or server version makes everything anew ...
$(BUILD)/compiled-with: FORCE
	@$(call changed,$@,"$(subst ",\",$(LIVESYNC_COMPILE)) $(VERSION)")

# ... and so does linking objects of the other kind of build.
build/linked-from: FORCE
	@$(call changed,$@,"$(BUILD) $(VERSION)")

$(BUILD)/%.o: src/%.cpp $(BUILD)/compiled-with
	@mkdir -p $(@D)
	$(if $(V),,@echo 'C++ $<';) $(LIVESYNC_COMPILE) -MMD -MP -c -o $@ $<

$(BUILD)/%.s: src/%.cpp
	@$(LIVESYNC_COMPILE) -S -o $@ $<

$(shlib): pg_livesync.map build/linked-from

-include $(OBJS:.o=.d)

.PHONY: objects
objects: $(OBJS)

else

.PHONY: all install objects
all install objects:
	@echo 'No PostgreSQL to build for: "$(PG_CONFIG) --pgxs" names no file.' >&2
	@echo 'Run tools/setup, which installs what is missing on Debian, or set PG_CONFIG.' >&2
	@exit 1

.PHONY: clean
clean:
	rm -rf build pg_livesync.so

endif

-include test/unit/unit.mk
-include test/fuzz/fuzz.mk

.PHONY: help setup demo demo-stop bench test lint format unit fuzz FORCE
FORCE:

help:
	@echo 'make                 build pg_livesync.so'
	@echo 'make install         install it into the server of PG_CONFIG ($(PG_CONFIG))'
	@echo 'make demo            two servers, live load, a copy that catches up; about two minutes'
	@echo 'make demo-stop       stop the demo and remove its servers'
	@echo 'make test            everything: build, install, lint, unit, fuzz, pg_regress, pgTAP, TAP'
	@echo 'make bench           times it beside what people use today; about five minutes (SCALE, RUNS,'
	@echo '                     WORKLOADS; bench/run --help has more)'
	@echo 'make lint            the mechanical checks of the code'
	@echo 'make format          clang-format over src/ and test/'
	@echo 'make unit            unit tests of the code that needs no server'
	@echo 'make fuzz            fuzz the decoders (FUZZ_SECONDS, default 10 for each)'
	@echo 'make setup           install the Debian packages that all of this needs'
	@echo 'make clean           remove what was built'
	@echo
	@echo 'test/run STAGE...    some of the tests: see test/run --help'

setup:
	@tools/setup

demo:
	@demo/run

demo-stop:
	@demo/stop

bench:
	@bench/run $(if $(SCALE),--scale $(SCALE)) $(if $(RUNS),--runs $(RUNS)) $(WORKLOADS)

test:
	@test/run

lint:
	@tools/lint

format:
	find $(wildcard src test/unit test/fuzz) -name '*.[ch]pp' -print0 | xargs -0 -r $(CLANG_FORMAT) -i

unit:
	@test/run unit

fuzz:
	@test/run fuzz
