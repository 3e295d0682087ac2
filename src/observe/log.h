/*
 * Structured log lines: `log_info("mail sent", LOG_STR("to", domain), LOG_DURATION(took_ns))`.
 *
 * A line is one JSON object (or, on a terminal, coloured text): time, level, msg, the fields of the
 * context that hangs on the fiber, then the fields of the call. The calling thread formats it into
 * its own ring; one writer thread takes the lines from all rings and writes them out. The calling
 * thread never waits for the disk and, but for waking a writer that sleeps, makes no system call.
 * When its ring is full the line is dropped and counted, and the log says so as soon as it can.
 * Lines of one thread keep their order; lines of different threads carry their time.
 *
 * Values whose field name says "secret" are replaced by "[redacted]" (observe/log_redact.h). Before
 * log_open and after log_close nothing is logged. Not for signal handlers, and not for the child of
 * a fork.
 */
#ifndef OBSERVE_LOG_H
#define OBSERVE_LOG_H

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdint.h>

#pragma GCC visibility push(default)

enum log_level {
	LOG_TRACE,
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
	LOG_FATAL,
	LOG_OFF, /* as a threshold: nothing is logged */
};

enum log_format {
	LOG_AUTO,   /* LOG_PRETTY on a terminal, else LOG_JSON */
	LOG_JSON,   /* one object a line */
	LOG_PRETTY, /* for people */
};

enum {
	LOG_LINE_MAX =
		8192, /* bytes of a line; fields beyond are left out, "truncated":true says so */
	LOG_VALUE_MAX = 2048, /* bytes of a text value as written; a longer one ends in "[cut]" */
	LOG_CONTEXT_MAX = 16, /* contexts above one another that a line looks at */
};

/* --- fields --------------------------------------------------------------- */

enum log_kind {
	LOG_KIND_STR,
	LOG_KIND_I64,
	LOG_KIND_U64,
	LOG_KIND_MS,
	LOG_KIND_BOOL,
	LOG_KIND_ERR
};

/* A name and a value. Made by the macros below; lives as long as the call. */
struct log_field {
	struct str key; /* a string literal: what is known of it is remembered by its address */
	enum log_kind kind;
	union {
		struct str text;
		int64_t i64;
		uint64_t u64; /* also nanoseconds of LOG_KIND_MS */
		bool truth;
		const struct err *err;
	};
};

/* The key must be a string literal. */
#define LOG_KEY(literal) S_INIT("" literal "")

#define LOG_STR(name, value)                                                                       \
	{                                                                                          \
		.key = LOG_KEY(name), .kind = LOG_KIND_STR, .text = (value)                        \
	}
#define LOG_INT(name, value)                                                                       \
	{                                                                                          \
		.key = LOG_KEY(name), .kind = LOG_KIND_I64, .i64 = (value)                         \
	}
#define LOG_U64(name, value)                                                                       \
	{                                                                                          \
		.key = LOG_KEY(name), .kind = LOG_KIND_U64, .u64 = (value)                         \
	}
#define LOG_BOOL(name, value)                                                                      \
	{                                                                                          \
		.key = LOG_KEY(name), .kind = LOG_KIND_BOOL, .truth = (value)                      \
	}

/* Nanoseconds, written as milliseconds with three decimals. LOG_DURATION calls it "durationMs". */
#define LOG_MS(name, value_ns)                                                                     \
	{                                                                                          \
		.key = LOG_KEY(name), .kind = LOG_KIND_MS, .u64 = (value_ns)                       \
	}
#define LOG_DURATION(value_ns) LOG_MS("durationMs", value_ns)

/* The current error slot: "error":{"code":"IO","text":"outermost: ...: cause","at":"file.c:12"}. */
#define LOG_ERR                                                                                    \
	{                                                                                          \
		.key = LOG_KEY("error"), .kind = LOG_KIND_ERR, .err = err_last()                   \
	}

/* --- lines ---------------------------------------------------------------- */

/* log_info("message", fields...): the message is a string literal, too, so that it can be searched
 * for; what varies is a field. A level that is off costs one load and one branch. */
#define log_trace(message, ...) LOG_AT(LOG_TRACE, message, ##__VA_ARGS__)
#define log_debug(message, ...) LOG_AT(LOG_DEBUG, message, ##__VA_ARGS__)
#define log_info(message, ...)  LOG_AT(LOG_INFO, message, ##__VA_ARGS__)
#define log_warn(message, ...)  LOG_AT(LOG_WARN, message, ##__VA_ARGS__)
#define log_error(message, ...) LOG_AT(LOG_ERROR, message, ##__VA_ARGS__)
#define log_fatal(message, ...) LOG_AT(LOG_FATAL, message, ##__VA_ARGS__) /* the caller ends */

#define LOG_AT(log_level_, message, ...)                                                           \
	do {                                                                                       \
		if (log_enabled(log_level_)) {                                                     \
			const struct log_field log_fields_[] = { __VA_ARGS__ };                    \
			log_write(log_level_, S("" message ""), log_fields_,                       \
				sizeof(log_fields_) / sizeof(struct log_field));                   \
		}                                                                                  \
	} while (0)

extern _Atomic int log_threshold; /* enum log_level; use log_level_set and log_enabled */

static inline bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

/* What the macros call once the level is known to be on. */
void log_write(
	enum log_level level, struct str message, const struct log_field *fields, size_t count);

/* "trace" ... "fatal"; "off". */
struct str log_level_name(enum log_level level);

/* False and untouched when the text names no level. */
bool log_level_parse(struct str text, enum log_level *ret);

/* --- context -------------------------------------------------------------- */

/*
 * What every line of a piece of work carries. Lives on the stack of whoever pushed it. An empty
 * text means "as my parent says"; child fields of all contexts are written, the outermost first.
 */
struct log_context {
	const struct log_context *parent; /* set by log_context_push */
	struct str request_id;
	struct str trace_id;
	struct str span_id;
	struct str tenant_id;
	struct str user_id;
	const struct log_field *fields; /* may be NULL */
	size_t field_count;
};

/* Puts a context above the running fiber's. The members may be filled in later, too. */
void log_context_push(struct log_context *context);

/* Takes it off again; it must be the topmost. */
void log_context_pop(struct log_context *context);

/* The running fiber's topmost context (NULL: none), to hand it to work that starts for it. */
const struct log_context *log_context_now(void);

/* --- the machinery -------------------------------------------------------- */

struct log_options {
	enum log_level level;
	enum log_format format;

	int fd; /* where lines go when `folder` is empty; stays the caller's, stays open */

	/*
	 * Files "<folder>/<name>-2026-11-20.1.log" instead: a new one each UTC day and each time
	 * one has reached `rotate_bytes`. A restart goes on with the last file of the day. The
	 * folder is made when only its last part is missing.
	 */
	struct str folder, name;
	uint64_t rotate_bytes; /* 0: by day only */
	size_t keep_files;     /* rotated files beyond this number are deleted; 0: no limit */
	size_t keep_days;      /* files older than this are deleted; 0: no limit */

	size_t shared_ring_bytes; /* for threads without a ring; a power of two; 0: 256 KB */
};

/*
 * Opens the sink and starts the writer thread. Errors: ERR_INVALID (options), ERR_IO (folder, file,
 * thread), ERR_NO_MEMORY. One log per process; closing and opening again is allowed.
 */
int log_open(const struct log_options *options);

/*
 * Stops logging, writes what the rings hold until `deadline_ns` (clock_now_ns) and frees
 * everything. ERR_TIMEOUT when lines were lost by the deadline; when the writer is stuck inside the
 * kernel (a dead network disk), it is left behind with its memory and the log cannot be opened
 * again.
 */
int log_close(uint64_t deadline_ns);

/* Waits until all lines published before the call are written. ERR_TIMEOUT; ERR_CLOSED. Blocks the
 * thread: for the ends of programs and for tests. */
int log_flush(uint64_t deadline_ns);

/* Changes the threshold while running. */
void log_level_set(enum log_level level);

/* Gives the calling thread a ring of its own (`ring_bytes` a power of two, at least LOG_LINE_MAX;
 * 0: 256 KB). Without it a thread shares one, under a mutex. ERR_NO_MEMORY, ERR_FULL, ERR_CLOSED.
 */
int log_thread_attach(size_t ring_bytes);

/* Lets go of it; what it holds is still written. A thread must call it before it ends. */
void log_thread_detach(void);

/* Opens the current file again by its name, after an external program has moved it away. */
void log_reopen(void);

/*
 * For the handler of SIGSEGV, SIGABRT and the like: stops the writer and writes what the rings hold
 * straight to the sink, for at most 200 ms. Makes only async-signal-safe calls and takes no lock.
 * Best effort: a line the writer was just writing may appear twice, a line being formatted is lost,
 * files do not rotate any more, and a pipe nobody reads is given up.
 */
void log_crash_flush(void);

/* Since log_open (or, when it is closed, until log_close). */
struct log_stats {
	uint64_t lines;   /* published */
	uint64_t dropped; /* refused by a full ring */
	uint64_t lost;    /* taken from a ring but not written: disk full, broken pipe, deadline */
	uint64_t bytes;   /* written */
};

struct log_stats log_stats(void);

/* Registers log_lines_total, log_lines_dropped_total, log_lines_lost_total and
 * log_written_bytes_total with observe/metric.h. Once per process. */
int log_metrics_register(void);

#pragma GCC visibility pop

#endif
