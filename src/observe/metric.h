/*
 * Counters, gauges and histograms, and their text for Prometheus and OpenMetrics.
 *
 * A family is one name with its label names; a series is a family with label values. Whoever counts
 * keeps the series' pointer, found once. Counting adds to a slab of the calling thread's own: no
 * lock, no shared cache line, a few nanoseconds. What threads counted outlives them. Families and
 * series are never taken away again. A family has a greatest number of series; beyond it counts go
 * to one series labelled other="true", and metric_series_overflows_total says how often that
 * happened.
 *
 * All numbers are integers in a unit of the caller's choice ("raw": nanoseconds, bytes, pieces);
 * the family's scale says how many of them make one exported unit.
 */
#ifndef OBSERVE_METRIC_H
#define OBSERVE_METRIC_H

#include "base/buf.h"
#include "base/check.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdint.h>

#pragma GCC visibility push(default)

enum metric_kind {
	METRIC_COUNTER,   /* only grows; the name ends in _total */
	METRIC_GAUGE,     /* goes up and down */
	METRIC_HISTOGRAM, /* counts observations by upper bounds */
	METRIC_INFO,      /* always 1, its labels say something; the name ends in _info */
};

enum {
	METRIC_LABELS_MAX = 8,
	METRIC_LABEL_MAX = 128, /* bytes of a label value; a longer one is cut */
	METRIC_BOUNDS_MAX = 30,
	METRIC_SERIES_MAX = 10000,   /* of one family, whatever it asks for */
	METRIC_SERIES_DEFAULT = 200, /* of one family that does not say */
	METRIC_PAGE_CELLS = 512,     /* numbers a thread's slab grows by */
	METRIC_PAGES_MAX = 256,      /* ... at most so often */
};

/* Describes a family. Static: it and all it points at live as long as the process. */
struct metric_def {
	const char *name; /* [a-z_:][a-z0-9_:]*, with the unit, as Prometheus' naming rules want */
	const char *help; /* one sentence */
	enum metric_kind kind;
	const char *labels[METRIC_LABELS_MAX + 1]; /* names; ends with NULL */
	const uint64_t *bounds;                    /* histogram: raw, inclusive, increasing */
	size_t bound_count;
	uint64_t scale;    /* raw units in an exported one: 1 (also 0), 1000, ... 1000000000 */
	size_t max_series; /* 0: METRIC_SERIES_DEFAULT */
};

struct metric_family;

/* One series. What it points at is read only. */
struct metric {
	uint32_t cell; /* first number of it in every slab */
	uint32_t bound_count;
	const uint64_t *bounds;
};

/* The bounds of http.server.request.duration (OpenTelemetry), 5 ms to 10 s, in nanoseconds; use
 * with a scale of SECOND. */
extern const uint64_t metric_http_bounds[14];

/* --- registration; takes a mutex ------------------------------------------ */

/*
 * Registers a family; the same definition again gives the same family. A name that breaks the rules
 * of its kind is our own mistake and stops the program (CHECK). NULL with ERR_CONFLICT (another
 * family has the name), ERR_FULL, ERR_NO_MEMORY.
 */
struct metric_family *metric_register(const struct metric_def *def);

/*
 * The series with these label values, in the order of the definition's names; made when new. Never
 * NULL: when the family is full or memory has run out, it is the one labelled other="true". Values
 * are copied; ill-formed UTF-8 in them is replaced.
 */
const struct metric *metric_series(struct metric_family *family, const struct str *values);

/* Registers a family without labels and gives its only series, or NULL. */
const struct metric *metric_register_one(const struct metric_def *def);

/*
 * Registers a family without labels whose value is asked for at each scrape. `read` stores the raw
 * value, or returns false when there is none now; it must not register metrics, and not be slow.
 */
int metric_callback(const struct metric_def *def, bool (*read)(void *arg, int64_t *ret), void *arg);

/* Registers an info metric with its label values. */
int metric_info(const struct metric_def *def, const struct str *values);

/* The metrics every Prometheus client library has of its process: process_cpu_seconds_total,
 * process_resident_memory_bytes, process_start_time_seconds, process_open_fds, process_max_fds. */
int metric_register_process(void);

/* --- counting ------------------------------------------------------------- */

struct metric_page {
	_Atomic uint64_t cells[METRIC_PAGE_CELLS];
};

/* A thread's numbers. Only the thread writes, so adding needs no locked instruction. */
struct metric_slab {
	struct metric_slab *prev, *next;
	struct metric_page *_Atomic pages[METRIC_PAGES_MAX]; /* NULL: nothing counted there yet */
};

extern _Thread_local struct metric_slab *metric_slab;

/* The first count of a thread in a page, or when there is no memory for one. */
void metric_add_slow(uint32_t cell, uint64_t n);

static inline void metric_add(uint32_t cell, uint64_t n) /* NOLINT(misc-no-recursion) */
{
	struct metric_slab *slab = metric_slab;
	struct metric_page *page =
		LIKELY(slab) ? atomic_load_explicit(
				       &slab->pages[cell / METRIC_PAGE_CELLS], memory_order_relaxed)
			     : NULL;
	_Atomic uint64_t *place;

	if (UNLIKELY(!page)) {
		metric_add_slow(cell, n);
		return;
	}
	place = &page->cells[cell % METRIC_PAGE_CELLS];
	atomic_store_explicit(
		place, atomic_load_explicit(place, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Adds to a counter. */
static inline void metric_count(const struct metric *counter, uint64_t n)
{
	metric_add(counter->cell, n);
}

/* Changes a gauge by a positive or negative amount. */
static inline void metric_gauge_add(const struct metric *gauge, int64_t n)
{
	metric_add(gauge->cell, (uint64_t)n);
}

/* Sets what the changes of metric_gauge_add count from; a gauge that is never changed has just this
 * value. The last setter wins. Touches a shared cache line: for now and then. */
void metric_gauge_set(const struct metric *gauge, int64_t value);

/* Counts an observation (raw). */
static inline void metric_observe(const struct metric *histogram, uint64_t value)
{
	uint32_t bucket = 0;

	for (uint32_t i = 0; i < histogram->bound_count; i++)
		bucket += value > histogram->bounds[i];
	metric_add(histogram->cell + bucket, 1);
	metric_add(histogram->cell + histogram->bound_count + 1, value);
}

/* --- reading -------------------------------------------------------------- */

/* A counter's or gauge's value now, of all threads. */
int64_t metric_value(const struct metric *metric);

enum metric_format {
	METRIC_TEXT,        /* text/plain; version=0.0.4; charset=utf-8 */
	METRIC_OPENMETRICS, /* application/openmetrics-text; version=1.0.0; charset=utf-8 */
};

/* The content type of a format. */
struct str metric_content_type(enum metric_format format);

/*
 * Appends all families in the order of registration. Numbers of one series fit each other (a
 * histogram's count is the sum of its buckets); those of different series may be a moment apart.
 * ERR_TOO_LARGE or ERR_NO_MEMORY as the buffer says.
 */
int metric_write(struct buf *buf, enum metric_format format);

#pragma GCC visibility pop

#endif
