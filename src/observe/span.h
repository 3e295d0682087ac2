/*
 * Spans: what the program did, when, for how long, and on whose behalf. A span lives on the stack
 * of whoever does the work; when it ends and its trace is sampled, a copy goes into the ring of the
 * thread, where an exporter finds it. A full ring overwrites its oldest record: tracing never waits
 * and never fails, it forgets, and counts what it forgot.
 */
#ifndef OBSERVE_SPAN_H
#define OBSERVE_SPAN_H

#include "base/str.h"
#include "observe/trace.h"

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)

enum {
	SPAN_ATTRIBUTES_MAX = 8,
	SPAN_TEXT_MAX = 256, /* bytes of all text attributes of a span together */
};

/* The numbers are those of OTLP. */
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };

enum span_status { SPAN_UNSET, SPAN_OK, SPAN_ERROR };

/* Text when `text_len` or `is_text` says so, else a number. */
struct span_attribute {
	const char *key; /* static */
	int64_t number;
	uint16_t text_at, text_len; /* in the span's `text` */
	uint32_t is_text;
};

struct span {
	struct trace
		trace; /* its own place: for the traceparent it sends and the log lines it causes */
	uint64_t parent;   /* span id; 0: none */
	struct str name;   /* static, or as long-lived as a route */
	uint64_t start_ns; /* clock_now_ns; in what span_read gives: since 1970 */
	uint64_t end_ns;   /* the same */
	uint8_t kind;      /* enum span_kind */
	uint8_t status;    /* enum span_status */
	uint8_t attribute_count;
	uint8_t attributes_lost; /* there was no room for so many */
	uint16_t text_len;
	struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
	char text[SPAN_TEXT_MAX];
};

/* Begins a span that is `trace` itself: the root of a new trace (parent 0), or the server's span of
 * a request whose traceparent named `parent`. */
void span_start(struct span *span, const struct trace *trace, uint64_t parent, struct str name,
	enum span_kind kind);

/* Begins a span below another; `random` becomes its id. */
void span_start_child(struct span *span, const struct span *parent, uint64_t random,
	struct str name, enum span_kind kind);

/* Adds an attribute. The key is static; text is copied and cut to what room there is. Nothing when
 * the span is not sampled; counted when it has SPAN_ATTRIBUTES_MAX already. */
void span_int(struct span *span, const char *key, int64_t number);
void span_str(struct span *span, const char *key, struct str text);

/* Ends it. */
void span_end(struct span *span, enum span_status status);

static inline struct str span_attribute_text(
	const struct span *span, const struct span_attribute *attribute)
{
	return str_of(span->text + attribute->text_at, attribute->text_len);
}

/* --- the machinery -------------------------------------------------------- */

/* Gives the calling thread a ring for `capacity` records (a power of two; 0: 256), about half a
 * kilobyte each. Threads without one share one of 256, under a mutex. ERR_NO_MEMORY, ERR_FULL. */
int span_thread_attach(size_t capacity);

/* Lets go of it; records nobody has read move to the shared ring. A thread must call it before it
 * ends. */
void span_thread_detach(void);

/*
 * Copies up to `max` records that were not read before, oldest first within a thread, and returns
 * their number; 0 when there are none. For one reader at a time (a mutex sees to that), on any
 * thread. Times come as nanoseconds since 1970, converted now: a step of the wall clock since the
 * span's end shifts them by as much.
 */
size_t span_read(struct span *ret, size_t max);

/* Records that were overwritten before somebody read them, as far as the reader has noticed. */
uint64_t span_dropped(void);

#pragma GCC visibility pop

#endif
