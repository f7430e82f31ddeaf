# Unit tests of the pure C++: no server, no PGXS.
#
#   make -f test/unit/unit.mk unit-run       alone, from the repository's root
#   include test/unit/unit.mk                in the top Makefile, after PGXS (it sets no default goal
#                                            that way)
#
# Targets: unit-build, unit-run, unit-clean. Each program prints TAP: prove -e '' build/unit/*
# The directory build/unit holds programs only, so that this pattern works.

UNIT_CXX ?= $(CXX)
UNIT_DIR = build/unit
UNIT_OBJECT_DIR = build/unit-objects

UNIT_NAMES = $(basename $(notdir $(wildcard test/unit/*.cpp)))
UNIT_PURE = src/wire/pgoutput.cpp src/wire/copydata.cpp src/source/snapshot.cpp \
	src/source/timeline.cpp src/target/fold.cpp src/target/fold_rows.cpp

UNIT_PROGRAMS = $(UNIT_NAMES:%=$(UNIT_DIR)/%)
UNIT_PURE_OBJECTS = $(UNIT_PURE:src/%.cpp=$(UNIT_OBJECT_DIR)/src/%.o)
UNIT_TEST_OBJECTS = $(UNIT_NAMES:%=$(UNIT_OBJECT_DIR)/test/%.o)

# Only when something is built: the probe runs the compiler.
UNIT_SANITIZE = $(eval UNIT_SANITIZE := $$(shell \
	echo 'int main() {}' | $(UNIT_CXX) -x c++ - -o /dev/null -fsanitize=address,undefined \
	2>/dev/null && echo -fsanitize=address,undefined -fno-sanitize-recover=undefined))$(UNIT_SANITIZE)

UNIT_CXXFLAGS = -std=c++20 -Wall -Wextra -Wshadow -Wno-register -Werror -g -O1 \
	-fno-omit-frame-pointer $(UNIT_SANITIZE) -Isrc -Itest/unit -MMD -MP

.PHONY: unit-build unit-run unit-clean

unit-build: $(UNIT_PROGRAMS)

unit-run: unit-build
	prove -e '' $(UNIT_PROGRAMS)

unit-clean:
	rm -rf $(UNIT_DIR) $(UNIT_OBJECT_DIR)

$(UNIT_PROGRAMS): $(UNIT_DIR)/%: $(UNIT_OBJECT_DIR)/test/%.o $(UNIT_PURE_OBJECTS)
	@mkdir -p $(@D)
	$(UNIT_CXX) $(UNIT_CXXFLAGS) -o $@ $^

$(UNIT_TEST_OBJECTS): $(UNIT_OBJECT_DIR)/test/%.o: test/unit/%.cpp
	@mkdir -p $(@D)
	$(UNIT_CXX) $(UNIT_CXXFLAGS) -c -o $@ $<

$(UNIT_PURE_OBJECTS): $(UNIT_OBJECT_DIR)/src/%.o: src/%.cpp
	@mkdir -p $(@D)
	$(UNIT_CXX) $(UNIT_CXXFLAGS) -c -o $@ $<

-include $(UNIT_PURE_OBJECTS:.o=.d) $(UNIT_TEST_OBJECTS:.o=.d)
