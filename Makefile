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

PACKAGES := openssl libargon2 libcrypt zlib libbrotlienc libpcre2-8 sqlite3 libpq libcurl libutf8proc

# --- flags -------------------------------------------------------------------

CPPFLAGS := -D_GNU_SOURCE -Isrc $(shell pkg-config --cflags-only-I $(PACKAGES) 2>/dev/null) -MMD -MP
CFLAGS   := -std=gnu17 -g -fno-omit-frame-pointer -fvisibility=hidden -pthread \
            -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wvla \
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
FLAGS_coverage := -O0 -DBULKHEAD_DEBUG -DBULKHEAD_FAULTS -DBULKHEAD_COVERAGE --coverage -fPIE \
                  -Wno-maybe-uninitialized # which guesses without optimisation

ifeq ($(FLAGS_$(FLAVOUR)),)
$(error FLAVOUR is one of release debug asan tsan fuzz coverage, not "$(FLAVOUR)")
endif
CFLAGS  += $(FLAGS_$(FLAVOUR))
LDFLAGS += $(if $(filter fuzz,$(FLAVOUR)),,-pie)
LDFLAGS += $(filter -fsanitize=address% -fsanitize=thread --coverage,$(FLAGS_$(FLAVOUR)))

# --- what modules see --------------------------------------------------------

# Their headers. What these declare is listed in src/exports.list.
API_HEADERS := \
	base/arena.h base/buf.h base/check.h base/embed.h base/err.h base/list.h base/mem.h \
	base/num.h base/str.h base/time_text.h base/utf8.h base/version.h \
	crypto/base64.h crypto/digest.h crypto/random.h crypto/uuid.h \
	fiber/fiber.h fiber/scope.h fiber/stack.h fiber/sync.h fiber/timer.h \
	http/accept.h http/caller.h http/compress.h http/h1_chunk.h http/h1_parse.h \
	http/idempotency_key.h http/limiter.h http/match.h http/module.h http/request.h \
	http/route.h http/router.h http/status.h http/target.h \
	json/names.h json/number.h json/reader.h json/writer.h \
	loop/ready.h \
	modules/audit/audit.h modules/jobs/jobs.h \
	net/address.h net/stream.h \
	observe/clock.h observe/log.h observe/metric.h observe/span.h observe/trace.h \
	schema/format.h schema/problem.h schema/schema.h \
	store/cache.h store/db.h store/notice.h store/page.h store/statement.h \
	rest/db.h rest/page.h rest/write.h

# For the linker: no program exports those names, and the server has each of them as bh_x, too.
HIDDEN   := $(OUT)/hidden.ld
EXPORTED := $(OUT)/exported.ld

# What changes the layout of structs in those headers.
API_FLAGS := $(filter -DBULKHEAD_DEBUG -fsanitize=address% -fsanitize=thread,$(FLAGS_$(FLAVOUR)))

PREFIX  ?= /usr/local
DESTDIR ?=

# --- sources, by wildcard ----------------------------------------------------

SOURCES := $(sort $(shell find src -name '*.c'))
TESTS   := $(filter %_test.c,$(SOURCES))
MAIN    := src/main.c
LIBRARY := $(filter-out $(TESTS) $(MAIN),$(SOURCES))
SWITCH  := $(wildcard src/fiber/switch_$(shell $(CC) -dumpmachine | cut -d- -f1).S)

object   = $(patsubst %,$(OUT)/%.o,$(basename $(1)))
LIB_O   := $(call object,$(LIBRARY) $(SWITCH))
MAIN_O  := $(call object,$(MAIN))
MODEL   := $(sort $(wildcard examples/module-notes/*.c))
TEST_O  := $(call object,$(TESTS) $(sort $(wildcard tests/*.c))) $(OUT)/model.o
FUZZERS := $(patsubst fuzz/%.c,$(OUT)/fuzz-%,$(wildcard fuzz/*.c))
BENCHES := $(patsubst benchmarks/%.c,$(OUT)/bench-%,$(wildcard benchmarks/*.c))
SERVERS := $(patsubst benchmarks/servers/%.c,$(OUT)/server-%,$(wildcard benchmarks/servers/*.c))
LIMITS  := $(patsubst benchmarks/limit/%.c,$(OUT)/limit-%,$(wildcard benchmarks/limit/*.c))

BENCH_LIBS_json := $(shell pkg-config --libs jansson json-c 2>/dev/null)
BENCH_LIBS_schema_native := $(shell pkg-config --libs jansson 2>/dev/null)
LIMIT_LIBS_argon2 := $(shell pkg-config --libs libargon2 2>/dev/null)

# --- products ----------------------------------------------------------------

.PHONY: all tests fuzzers benches servers limits install headers clean format deps dev hooks always
.DELETE_ON_ERROR:
.SECONDARY:
all: $(OUT)/bulkhead

$(OUT)/bulkhead: $(MAIN_O) $(LIB_O) $(HIDDEN) $(EXPORTED) $(OUT)/sources
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) '-Wl,--export-dynamic-symbol=bh_*' -o $@ $(filter %.o %.ld,$^) $(LDLIBS)

tests: $(OUT)/unit
$(OUT)/unit: $(TEST_O) $(LIB_O) $(HIDDEN) $(OUT)/sources
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $(filter %.o %.ld,$^) $(LDLIBS)

# New when the list of sources changed, so that what is removed leaves the program, too.
$(OUT)/sources: always
	@mkdir -p $(@D)
	@echo '$(SOURCES)' | cmp -s - $@ || echo '$(SOURCES)' >$@

fuzzers: $(FUZZERS)
$(OUT)/fuzz-%: $(OUT)/fuzz/%.o $(LIB_O) $(HIDDEN)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS)

benches: $(BENCHES)
$(OUT)/bench-%: $(OUT)/benchmarks/%.o $(LIB_O) $(HIDDEN)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(BENCH_LIBS_$*)

# Our library set up in a way that the program is not.
servers: $(SERVERS)
$(OUT)/server-%: $(OUT)/benchmarks/servers/%.o $(LIB_O) $(HIDDEN)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# What our figures are compared with: programs of their own, without our library.
limits: $(LIMITS)
$(OUT)/limit-%: $(OUT)/benchmarks/limit/%.o
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIMIT_LIBS_$*)

$(OUT)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC   $@"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# The model module with its tests; its names are its own, as in the shared object that it is otherwise.
$(call object,$(MODEL)): CPPFLAGS += -Iexamples/module-notes
$(OUT)/model.o: $(call object,$(MODEL))
	@ld -r -o $@ $^ && objcopy --localize-hidden $@

# Migrations are part of the object that embeds them (MIGRATION_FILE).
$(foreach sql,$(shell find src examples -name '*.sql'),$(eval \
	$(patsubst %,$(OUT)/%.o,$(basename $(wildcard $(dir $(sql))*.c))): $(sql)))

$(OUT)/%.o: %.S Makefile
	@mkdir -p $(@D)
	@echo "  AS   $@"
	@$(CC) $(CPPFLAGS) -g -c -o $@ $<

$(HIDDEN): src/exports.list Makefile
	@mkdir -p $(@D)
	@{ echo 'VERSION { { local:'; sed 's/$$/;/' $<; echo '}; }'; } >$@

$(EXPORTED): src/exports.list Makefile
	@mkdir -p $(@D)
	@sed 's/.*/bh_& = &;/' $< >$@

# The program, the headers for modules, and how to compile against them.
install: all headers
	@echo "  INSTALL $(DESTDIR)$(PREFIX)"
	@install -D $(OUT)/bulkhead $(DESTDIR)$(PREFIX)/bin/bulkhead

headers:
	@tools/install-headers $(DESTDIR)$(PREFIX)/include/bulkhead $(API_HEADERS)
	@mkdir -p $(DESTDIR)$(PREFIX)/lib/pkgconfig
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@FLAGS@|$(API_FLAGS)|' \
		-e "s|@VERSION@|$$(sed -n 's/.*BULKHEAD_VERSION "\(.*\)"/\1/p' src/base/version.h)|" \
		tools/bulkhead.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/bulkhead.pc

# The packages that are not there yet, by apt (through sudo when not root).
deps:
	@tools/deps build

# Rebuilds and restarts the server whenever a source changes.
dev:
	@exec env FLAVOUR=$(FLAVOUR) tools/dev

# Checks before each commit: layout, layers, unit tests, the shape of the message.
hooks:
	git config core.hooksPath .githooks

format:
	@clang-format -i $(shell find src tests fuzz benchmarks examples -name '*.[ch]' 2>/dev/null)

clean:
	rm -rf build

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
