# Bulkhead. `make deps` installs what is missing, `make` builds build/release/bulkhead.
#
# FLAVOUR  release debug asan tsan fuzz coverage   (each in build/FLAVOUR, or build/FLAVOUR-clang)
# CC       gcc (default) or clang

FLAVOUR ?= release
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(FLAVOUR),fuzz)
CC := clang
endif
CLANG := $(findstring clang,$(CC))
OUT   := build/$(FLAVOUR)$(if $(filter-out fuzz,$(FLAVOUR)),$(if $(CLANG),-clang))

PACKAGES := openssl libargon2 libcrypt zlib libbrotlienc

# --- flags -------------------------------------------------------------------

CPPFLAGS := -D_GNU_SOURCE -Isrc -MMD -MP
CFLAGS   := -std=gnu17 -g -fno-omit-frame-pointer -fvisibility=hidden -pthread \
            -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wwrite-strings -Wvla \
            -Wpointer-arith -Wformat=2 -Wundef -Wno-missing-field-initializers -Wno-sign-compare \
            $(if $(CLANG),-Wno-gnu-alignof-expression)
HARDEN   := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE
LDFLAGS  := -pthread -Wl,-z,now,-z,relro,-z,noexecstack
LDLIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm

FLAGS_release  := -O2 $(HARDEN)
FLAGS_debug    := -O1 -DBULKHEAD_DEBUG -DBULKHEAD_FAULTS -fstack-protector-strong -fPIE
FLAGS_asan     := -O1 -DBULKHEAD_DEBUG -DBULKHEAD_FAULTS -fsanitize=address,undefined \
                  -fno-sanitize-recover=undefined -fPIE
FLAGS_tsan     := -O1 -DBULKHEAD_DEBUG -DBULKHEAD_FAULTS -fsanitize=thread -fPIE
FLAGS_fuzz     := -O1 -DBULKHEAD_DEBUG -DBULKHEAD_FUZZ -fsanitize=fuzzer-no-link,address,undefined \
                  -fno-sanitize-recover=undefined
FLAGS_coverage := -O0 -DBULKHEAD_DEBUG -DBULKHEAD_FAULTS --coverage -fPIE

ifeq ($(FLAGS_$(FLAVOUR)),)
$(error FLAVOUR is one of release debug asan tsan fuzz coverage, not "$(FLAVOUR)")
endif
CFLAGS  += $(FLAGS_$(FLAVOUR))
LDFLAGS += $(if $(filter fuzz,$(FLAVOUR)),,-pie)
LDFLAGS += $(filter -fsanitize=address% -fsanitize=thread --coverage,$(FLAGS_$(FLAVOUR)))

# --- sources, by wildcard ----------------------------------------------------

SOURCES := $(sort $(shell find src -name '*.c'))
TESTS   := $(filter %_test.c,$(SOURCES))
MAIN    := src/main.c
LIBRARY := $(filter-out $(TESTS) $(MAIN),$(SOURCES))
SWITCH  := $(wildcard src/fiber/switch_$(shell $(CC) -dumpmachine | cut -d- -f1).S)

object   = $(patsubst %,$(OUT)/%.o,$(basename $(1)))
LIB_O   := $(call object,$(LIBRARY) $(SWITCH))
MAIN_O  := $(call object,$(MAIN))
TEST_O  := $(call object,$(TESTS) $(sort $(wildcard tests/*.c)))
FUZZERS := $(patsubst fuzz/%.c,$(OUT)/fuzz-%,$(wildcard fuzz/*.c))
BENCHES := $(patsubst benchmarks/%.c,$(OUT)/bench-%,$(wildcard benchmarks/*.c))

# --- products ----------------------------------------------------------------

.PHONY: all tests fuzzers benches clean format deps dev
.DELETE_ON_ERROR:
all: $(OUT)/bulkhead

$(OUT)/bulkhead: $(MAIN_O) $(LIB_O)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

tests: $(OUT)/unit
$(OUT)/unit: $(TEST_O) $(LIB_O)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

fuzzers: $(FUZZERS)
$(OUT)/fuzz-%: $(OUT)/fuzz/%.o $(LIB_O)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

benches: $(BENCHES)
$(OUT)/bench-%: $(OUT)/benchmarks/%.o $(LIB_O)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(BENCH_LIBS_$*)

$(OUT)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC   $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(OUT)/%.o: %.S Makefile
	@mkdir -p $(@D)
	@echo "  AS   $@"
	@$(CC) $(CPPFLAGS) -g -c -o $@ $<

# The packages that are not there yet, by apt (through sudo when not root).
deps:
	@tests/deps build

# Rebuilds and restarts the server whenever a source changes.
dev:
	@tests/dev

format:
	clang-format -i $(shell find src tests fuzz benchmarks examples -name '*.[ch]' 2>/dev/null)

clean:
	rm -rf build

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
