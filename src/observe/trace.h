/*
 * W3C Trace Context, Level 2: the headers that tie the work of several services together. Pure: no
 * clock, no random source, no memory.
 *
 * A request's `traceparent` is read strictly. When it is missing, or there is more than one, or
 * trace_parse refuses it, a new trace starts and `tracestate` is ignored.
 */
#ifndef OBSERVE_TRACE_H
#define OBSERVE_TRACE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(default)

enum {
	TRACE_PARENT_LEN = 55, /* 00-<32 hex>-<16 hex>-<2 hex> */
	TRACE_ID_LEN = 32,     /* hex digits of a trace id */
	TRACE_SPAN_LEN = 16,   /* hex digits of a span id */
	TRACE_RANDOM_LEN = 24, /* random bytes that a new trace takes */

	TRACE_STATE_MEMBERS = 32,
	TRACE_STATE_MIN = 512,   /* bytes of tracestate that must at least be passed on */
	TRACE_STATE_MAX = 16640, /* 32 members of greatest size; longer ones are refused unread */
};

enum trace_flag {
	TRACE_SAMPLED = 1, /* somebody records this trace */
	TRACE_RANDOM = 2,  /* the last 7 bytes of the trace id are random */
};

/* One span's place in a trace. The ids are never zero. */
struct trace {
	uint64_t high, low; /* the trace id, its first eight bytes in `high` */
	uint64_t span;      /* the span's id */
	uint8_t flags;      /* enum trace_flag; unknown bits are not kept */
};

/*
 * Reads the value of a traceparent header (white space around it already taken off). False and
 * untouched when it is not well-formed: wrong length, upper-case digits, an id of zeros, version
 * ff. A higher version is read as far as version 00 goes.
 */
bool trace_parse(struct str header, struct trace *ret);

/* A new trace, with the random flag, from TRACE_RANDOM_LEN bytes of a good random source. */
struct trace trace_start(const uint8_t random[TRACE_RANDOM_LEN], bool sampled);

/* A child of `parent` in the same trace with the same flags; `random` becomes its id. */
struct trace trace_child(const struct trace *parent, uint64_t random);

/* Writes the traceparent header, always version 00: TRACE_PARENT_LEN bytes, no NUL. */
void trace_write(char *at, const struct trace *trace);

/* Write the ids alone in hex: TRACE_ID_LEN and TRACE_SPAN_LEN bytes, no NUL. */
void trace_write_id(char *at, const struct trace *trace);
void trace_write_span(char *at, uint64_t span);

/*
 * True when a tracestate value (several headers joined by commas in their order) may be passed on:
 * members of the right form, at most TRACE_STATE_MEMBERS of them, no key twice. Empty members are
 * allowed. An invalid one is dropped whole, without touching traceparent.
 */
bool trace_state_valid(struct str state);

/*
 * Writes the tracestate to send on into `at`, at most `size` bytes; returns its length. `state` is
 * valid or empty. When `key` is not empty, `key=value` (both of the right form) comes first and a
 * former member of that key goes. What does not fit is left out in whole members: first those of
 * more than 128 bytes, then from the right. With size >= TRACE_STATE_MIN our own member of at most
 * that size always stays.
 */
size_t trace_state_write(char *at, size_t size, struct str state, struct str key, struct str value);

#pragma GCC visibility pop

#endif
