# The fuzz target of the pgoutput decoder; needs clang with libFuzzer.
#
#   make -f test/fuzz/fuzz.mk fuzz-run FUZZ_SECONDS=120
#   include test/fuzz/fuzz.mk              in the top Makefile, after PGXS
#
# Targets: fuzz-build, fuzz-run, fuzz-corpus (rewrites test/fuzz/corpus from the golden messages),
# fuzz-clean. What the fuzzer learns goes to build/fuzz/found, not into the tree; an input that
# breaks something is left as build/fuzz/crash-*: fix it and add it to test/fuzz/corpus.

FUZZ_CXX ?= clang++
FUZZ_SECONDS ?= 20
# 0: another one each time
FUZZ_SEED ?= 1
FUZZ_DIR = build/fuzz
FUZZ_CXXFLAGS = -std=c++20 -Wall -Wextra -Wshadow -Wno-register -Werror -g -O1 -Isrc -Itest/unit

FUZZ_INPUTS = $(wildcard src/wire/*.hpp) test/unit/walk.hpp test/unit/golden.hpp

.PHONY: fuzz-build fuzz-run fuzz-corpus fuzz-clean

fuzz-build: $(FUZZ_DIR)/pgoutput_fuzz

fuzz-run: fuzz-build
	@mkdir -p $(FUZZ_DIR)/found
	$(FUZZ_DIR)/pgoutput_fuzz -max_total_time=$(FUZZ_SECONDS) -seed=$(FUZZ_SEED) -max_len=4096 -print_final_stats=1 \
		-artifact_prefix=$(FUZZ_DIR)/ $(FUZZ_DIR)/found test/fuzz/corpus

fuzz-corpus: $(FUZZ_DIR)/make_corpus
	@mkdir -p test/fuzz/corpus
	$< test/fuzz/corpus

fuzz-clean:
	rm -rf $(FUZZ_DIR)

$(FUZZ_DIR)/pgoutput_fuzz: test/fuzz/pgoutput_fuzz.cpp src/wire/pgoutput.cpp $(FUZZ_INPUTS)
	@mkdir -p $(@D)
	$(FUZZ_CXX) $(FUZZ_CXXFLAGS) -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -o $@ $(filter %.cpp,$^)

$(FUZZ_DIR)/make_corpus: test/fuzz/make_corpus.cpp $(FUZZ_INPUTS)
	@mkdir -p $(@D)
	$(FUZZ_CXX) $(FUZZ_CXXFLAGS) -o $@ $(filter %.cpp,$^)
