/*
 * PCRE2 behind pattern.h: compiling on the heap (counted), matching in the caller's arena, every
 * limit set. Patterns are immutable once compiled and shared by all threads.
 */
#include "schema/pattern.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "schema/pattern_syntax.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
	DEPTH_MAX = 20000,      /* of the interpreter; compiled code is bounded by its stack */
	SEARCH_STEPS_MIN = 200, /* for each place at which a match may start */
	BLOCK_HEAD = 16,
};

struct pattern {
	pcre2_code *code;
	struct str source; /* behind the struct */
	bool whole;
};

/* PCRE2 frees without telling the size. */
static void *heap_alloc(size_t size, void *unused)
{
	size_t *block = mem_alloc(size + BLOCK_HEAD);

	(void)unused;
	if (!block)
		return NULL;
	*block = size + BLOCK_HEAD;
	return (char *)block + BLOCK_HEAD;
}

static void heap_free(void *at, void *unused)
{
	size_t *block = at ? (size_t *)((char *)at - BLOCK_HEAD) : NULL;

	(void)unused;
	if (block)
		mem_free(block, *block);
}

/* The source that the compiler sees, and the code. */
static pcre2_code *compile(
	const struct pattern *pattern, struct str translated, pcre2_compile_context *context)
{
	uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX |
			   PCRE2_MATCH_UNSET_BACKREF | PCRE2_ALLOW_EMPTY_CLASS |
			   PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_UTF_CHECK;
	pcre2_code *code;
	PCRE2_SIZE at;
	char text[160];
	int error;

	if (pattern->whole)
		options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
	code = pcre2_compile((PCRE2_SPTR)(translated.len ? translated.at : ""), translated.len,
		options, &error, &at, context);
	if (code)
		return code;

	if (error == PCRE2_ERROR_HEAP_FAILED) {
		(void)fail(ERR_NO_MEMORY, "no memory to compile a pattern");
		return NULL;
	}
	(void)pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof(text));
	(void)fail(ERR_INVALID, "pattern \"%.*s\": %s", STR_ARG(str_first(pattern->source, 100)),
		text);
	return NULL;
}

/* Compiles under contexts that are needed no longer than that. */
static int compile_within(struct pattern *pattern, struct str translated)
{
	pcre2_general_context *general = pcre2_general_context_create(heap_alloc, heap_free, NULL);
	pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
	int r = 0;

	if (context) {
		(void)pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
		(void)pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
		(void)pcre2_set_parens_nest_limit(context, 50);
		pattern->code = compile(pattern, translated, context);
		r = pattern->code ? 0 : -(int)err_last()->code;
	} else {
		r = fail(ERR_NO_MEMORY, "no memory to compile a pattern");
	}
	/* Without executable memory the interpreter matches, within the same limits. */
	if (pattern->code)
		(void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
	pcre2_compile_context_free(context);
	pcre2_general_context_free(general);
	return r;
}

int pattern_compile(struct str source, bool whole, struct pattern **ret)
{
	struct pattern *pattern;
	struct buf translated;
	int r;

	if (source.len > PATTERN_MAX)
		return fail(ERR_INVALID, "a pattern of %zu bytes; at most %d are taken", source.len,
			PATTERN_MAX);
	if (!utf8_valid(source))
		return fail(ERR_INVALID, "a pattern that is not UTF-8");

	pattern = mem_zalloc(sizeof(*pattern) + source.len);
	if (!pattern)
		return -(int)err_last()->code;
	if (source.len)
		memcpy(pattern + 1, source.at, source.len);
	pattern->source = str_of((char *)(pattern + 1), source.len);
	pattern->whole = whole;

	buf_init(&translated, (size_t)4 * PATTERN_MAX);
	r = pattern_translate(source, &translated);
	if (r == 0)
		r = compile_within(pattern, buf_str(&translated));
	buf_done(&translated);
	if (r < 0) {
		pattern_free(pattern);
		return r;
	}
	*ret = pattern;
	return 0;
}

void pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return;
	pcre2_code_free(pattern->code);
	mem_free(pattern, sizeof(*pattern) + pattern->source.len);
}

struct str pattern_source(const struct pattern *pattern)
{
	return pattern->source;
}

/* --- matching ------------------------------------------------------------------ */

void matcher_init(struct matcher *matcher, struct arena *arena)
{
	*matcher = (struct matcher){ .arena = arena };
}

static void *match_alloc(size_t size, void *arena)
{
	return arena_alloc((struct arena *)arena, size);
}

static void match_free(void *at, void *arena)
{
	(void)at;
	(void)arena;
}

static int prepare(struct matcher *matcher)
{
	pcre2_general_context *general =
		pcre2_general_context_create(match_alloc, match_free, matcher->arena);
	pcre2_match_context *context = general ? pcre2_match_context_create(general) : NULL;
	pcre2_match_data *data = context ? pcre2_match_data_create(1, general) : NULL;

	if (!data)
		return -(int)err_last()->code;

	(void)pcre2_set_depth_limit(context, DEPTH_MAX);
	(void)pcre2_set_heap_limit(context, PATTERN_HEAP_KB);
	matcher->data = data;
	matcher->context = context;
	return 0;
}

/*
 * The steps that the next match may take. They shrink with the number of matches, so that a long
 * list of texts, each just below the limit, does not add up; and PCRE2 counts anew for each place
 * where a search starts.
 */
static uint32_t steps_for(const struct matcher *matcher, const struct pattern *pattern, size_t len)
{
	size_t steps = PATTERN_STEPS_ALL / matcher->matches;

	steps = MIN(MAX(steps, (size_t)PATTERN_STEPS_MIN), (size_t)PATTERN_STEPS_MAX);
	if (!pattern->whole)
		steps = MAX(steps / (len + 1), (size_t)SEARCH_STEPS_MIN);
	return (uint32_t)steps;
}

static int run(const struct pattern *pattern, struct str text, struct matcher *matcher)
{
	PCRE2_SPTR subject = (PCRE2_SPTR)(text.len ? text.at : "");
	int r;

	(void)pcre2_set_match_limit(matcher->context, steps_for(matcher, pattern, text.len));
	r = pcre2_match(pattern->code, subject, text.len, 0, PCRE2_NO_UTF_CHECK, matcher->data,
		matcher->context);
	if (r == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter has more room, in the arena */
		r = pcre2_match(pattern->code, subject, text.len, 0,
			PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, matcher->data, matcher->context);
	return r;
}

static int give_up(struct matcher *matcher)
{
	matcher->gave_up = true;
	return PATTERN_TOO_COMPLEX;
}

int pattern_match(const struct pattern *pattern, struct str text, struct matcher *matcher)
{
	int r;

	if (text.len > PATTERN_TEXT_MAX || matcher->exhausted)
		return give_up(matcher);
	if (!matcher->data && prepare(matcher) < 0)
		return -(int)err_last()->code;

	matcher->matches++;
	r = run(pattern, text, matcher);
	if (r >= 0)
		return PATTERN_YES;
	switch (r) {
	case PCRE2_ERROR_NOMATCH: return PATTERN_NO;
	case PCRE2_ERROR_NOMEMORY: return -(int)err_last()->code;
	case PCRE2_ERROR_MATCHLIMIT:
	case PCRE2_ERROR_DEPTHLIMIT:
	case PCRE2_ERROR_HEAPLIMIT: matcher->exhausted = true; return give_up(matcher);
	default: return fail(ERR_INTERNAL, "matching a pattern failed with PCRE2's %d", r);
	}
}
