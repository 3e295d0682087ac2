/*
 * Cells are handed out from one space of numbers, in pages; each thread's slab mirrors the pages it
 * has touched. Besides the slabs there are two pages for all threads: `retired`, into which the
 * slab of an ending thread is added, and `set`, the bases of gauges. A value is the sum of all of
 * them.
 *
 * Bounds of a label set are kept in raw units, so observing compares integers, and a sum of
 * nanoseconds is exact.
 */
#include "observe/metric.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/utf8.h"

#include <pthread.h>

enum {
	FAMILIES_MAX = 1024,
	FIRST_SERIES = 8,
};

struct series {
	struct metric metric; /* first: what callers hold points here */
	uint64_t hash;        /* of the label values */
	char *labels;         /* values one after another, each ended by a NUL */
	size_t labels_size;
};

struct metric_family {
	const struct metric_def *def;
	uint64_t scale;
	size_t label_count;
	struct series **series;
	size_t count, cap, max;
	struct series other; /* beyond `max`; shown once it has been used */
	bool other_used;
	bool (*read)(void *arg, int64_t *ret); /* NULL: counted in cells */
	void *arg;
};

const uint64_t metric_http_bounds[14] = { 5 * MILLISECOND, 10 * MILLISECOND, 25 * MILLISECOND,
	50 * MILLISECOND, 75 * MILLISECOND, 100 * MILLISECOND, 250 * MILLISECOND, 500 * MILLISECOND,
	750 * MILLISECOND, 1 * SECOND, 2500 * MILLISECOND, 5 * SECOND, 7500 * MILLISECOND,
	10 * SECOND };

_Thread_local struct metric_slab *metric_slab;

/* Guards all below, but for the numbers in pages. */
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static struct metric_family *families[FAMILIES_MAX];
static size_t family_count;
static uint32_t next_cell;
static struct metric_slab *slabs; /* of living threads */
static uint64_t overflows;        /* times a series was refused */

/* Written by any thread, with atomic additions; present for every cell that was handed out. */
static struct metric_page *_Atomic retired[METRIC_PAGES_MAX];
static struct metric_page *_Atomic set[METRIC_PAGES_MAX];

static pthread_key_t slab_key; /* its destructor sees threads end */
static pthread_once_t slab_key_once = PTHREAD_ONCE_INIT;

/* --- cells ---------------------------------------------------------------- */

static _Atomic uint64_t *cell_of(struct metric_page *_Atomic *pages, uint32_t cell)
{
	struct metric_page *page =
		atomic_load_explicit(&pages[cell / METRIC_PAGE_CELLS], memory_order_acquire);

	return page ? &page->cells[cell % METRIC_PAGE_CELLS] : NULL;
}

/* Makes the page that holds the cell, if need be. False without memory. */
static bool need_page(struct metric_page *_Atomic *pages, uint32_t cell)
{
	struct metric_page *_Atomic *place = &pages[cell / METRIC_PAGE_CELLS];
	struct metric_page *page;

	if (atomic_load_explicit(place, memory_order_acquire))
		return true;

	page = mem_zalloc(sizeof(*page));
	if (!page)
		return false;
	atomic_store_explicit(place, page, memory_order_release);
	return true;
}

/* `count` cells in a row, in one page. */
static int take_cells(uint32_t count, uint32_t *ret)
{
	uint32_t first = next_cell;

	if (first % METRIC_PAGE_CELLS + count > METRIC_PAGE_CELLS)
		first += METRIC_PAGE_CELLS - first % METRIC_PAGE_CELLS;
	if (first + count > METRIC_PAGE_CELLS * METRIC_PAGES_MAX)
		return fail(ERR_FULL, "more than %d metric cells",
			METRIC_PAGE_CELLS * METRIC_PAGES_MAX);
	if (!need_page(retired, first) || !need_page(set, first))
		return err_wrap("while making room for a metric");

	next_cell = first + count;
	*ret = first;
	return 0;
}

/* Under `registry`. */
static uint64_t cell_value(uint32_t cell)
{
	uint64_t value = atomic_load_explicit(cell_of(retired, cell), memory_order_relaxed) +
			 atomic_load_explicit(cell_of(set, cell), memory_order_relaxed);

	for (struct metric_slab *slab = slabs; slab; slab = slab->next) {
		_Atomic uint64_t *place = cell_of(slab->pages, cell);

		if (place)
			value += atomic_load_explicit(place, memory_order_relaxed);
	}
	return value;
}

/* --- slabs ---------------------------------------------------------------- */

/* A thread ends: its numbers go to the retired ones. */
static void retire_slab(void *arg)
{
	struct metric_slab *slab = arg;

	metric_slab = NULL;
	(void)pthread_mutex_lock(&registry);
	if (slab->next)
		slab->next->prev = slab->prev;
	if (slab->prev)
		slab->prev->next = slab->next;
	else
		slabs = slab->next;

	for (uint32_t cell = 0; cell < next_cell; cell++) {
		_Atomic uint64_t *place = cell_of(slab->pages, cell);
		uint64_t value = place ? atomic_load_explicit(place, memory_order_relaxed) : 0;

		if (value)
			atomic_fetch_add_explicit(
				cell_of(retired, cell), value, memory_order_relaxed);
	}
	(void)pthread_mutex_unlock(&registry);

	for (size_t i = 0; i < METRIC_PAGES_MAX; i++)
		mem_free(slab->pages[i], sizeof(struct metric_page));
	mem_free(slab, sizeof(*slab));
}

static void make_slab_key(void)
{
	CHECK(pthread_key_create(&slab_key, retire_slab) == 0);
}

/* Gives the thread a slab. Without memory it goes on without one. */
static void make_slab(void)
{
	struct metric_slab *slab = mem_zalloc(sizeof(*slab));

	if (!slab)
		return;

	(void)pthread_once(&slab_key_once, make_slab_key);
	if (pthread_setspecific(slab_key, slab) != 0) {
		mem_free(slab, sizeof(*slab));
		return;
	}

	(void)pthread_mutex_lock(&registry);
	slab->next = slabs;
	if (slabs)
		slabs->prev = slab;
	slabs = slab;
	(void)pthread_mutex_unlock(&registry);
	metric_slab = slab;
}

/* Once a page is there, metric_add does not come back: the recursion is one level deep. */
void metric_add_slow(uint32_t cell, uint64_t n) /* NOLINT(misc-no-recursion) */
{
	if (!metric_slab)
		make_slab();

	if (metric_slab && need_page(metric_slab->pages, cell))
		metric_add(cell, n);
	else
		atomic_fetch_add_explicit(cell_of(retired, cell), n, memory_order_relaxed);
}

void metric_gauge_set(const struct metric *gauge, int64_t value)
{
	atomic_store_explicit(cell_of(set, gauge->cell), (uint64_t)value, memory_order_relaxed);
}

int64_t metric_value(const struct metric *metric)
{
	int64_t value;

	(void)pthread_mutex_lock(&registry);
	value = (int64_t)cell_value(metric->cell);
	(void)pthread_mutex_unlock(&registry);
	return value;
}

/* --- families ------------------------------------------------------------- */

static bool name_ok(struct str name, bool label)
{
	for (size_t i = 0; i < name.len; i++) {
		char byte = name.at[i];
		bool digit = byte >= '0' && byte <= '9';

		if (!(byte >= 'a' && byte <= 'z') && byte != '_' && !(digit && i > 0) &&
			(label || byte != ':'))
			return false;
	}
	return name.len > 0 && !(label && str_starts(name, S("__")));
}

/* Stops the program on a definition that a scraper would refuse or a reader misunderstand. */
static void check_def(const struct metric_def *def)
{
	static const struct str reserved[] = { S_INIT("_bucket"), S_INIT("_sum"), S_INIT("_count"),
		S_INIT("_created") };
	struct str name = str_from_c(def->name);
	uint64_t scale = def->scale ? def->scale : 1;

	CHECK(name_ok(name, false));
	CHECK(def->help && *def->help);
	CHECK(str_ends(name, S("_total")) == (def->kind == METRIC_COUNTER));
	CHECK(str_ends(name, S("_info")) == (def->kind == METRIC_INFO));
	for (size_t i = 0; i < LEN(reserved); i++)
		CHECK(!str_ends(name, reserved[i]));

	for (size_t i = 0; i < METRIC_LABELS_MAX && def->labels[i]; i++) {
		CHECK(name_ok(str_from_c(def->labels[i]), true));
		CHECK(strcmp(def->labels[i], "le") != 0 && strcmp(def->labels[i], "other") != 0);
	}
	CHECK(!def->labels[METRIC_LABELS_MAX]);

	CHECK((def->kind == METRIC_HISTOGRAM) == (def->bound_count > 0));
	CHECK(def->bound_count <= METRIC_BOUNDS_MAX);
	for (size_t i = 1; i < def->bound_count; i++)
		CHECK(def->bounds[i - 1] < def->bounds[i]);

	while (scale % 10 == 0)
		scale /= 10;
	CHECK(scale == 1 && def->scale <= SECOND); /* a power of ten: its decimals are exact */
	CHECK(def->max_series <= METRIC_SERIES_MAX);
}

static size_t count_labels(const struct metric_def *def)
{
	size_t count = 0;

	while (def->labels[count])
		count++;
	return count;
}

/* Gives a series its cells. */
static int place_series(const struct metric_family *family, struct series *series)
{
	uint32_t cell = 0;
	bool histogram = family->def->kind == METRIC_HISTOGRAM;
	uint32_t cells = histogram ? (uint32_t)family->def->bound_count + 2 : 1;
	int error = take_cells(cells, &cell);

	if (error < 0)
		return error;

	series->metric = (struct metric){ .cell = cell,
		.bound_count = (uint32_t)family->def->bound_count,
		.bounds = family->def->bounds };
	return 0;
}

/* A family of this name, if there is one. Under `registry`. */
static struct metric_family *find_family(const struct metric_def *def)
{
	for (size_t i = 0; i < family_count; i++)
		if (strcmp(families[i]->def->name, def->name) == 0)
			return families[i];
	return NULL;
}

/* Under `registry`. */
static struct metric_family *new_family(const struct metric_def *def)
{
	struct metric_family *family;

	if (family_count == FAMILIES_MAX) {
		(void)fail(ERR_FULL, "more than %d metric families", FAMILIES_MAX);
		return NULL;
	}

	family = mem_zalloc(sizeof(*family));
	if (!family)
		return NULL;

	*family = (struct metric_family){ .def = def,
		.scale = def->scale ? def->scale : 1,
		.label_count = count_labels(def),
		.max = def->max_series ? def->max_series : METRIC_SERIES_DEFAULT };
	if (place_series(family, &family->other) < 0) {
		mem_free(family, sizeof(*family));
		return NULL;
	}

	families[family_count++] = family;
	return family;
}

struct metric_family *metric_register(const struct metric_def *def)
{
	struct metric_family *family;

	check_def(def);
	(void)pthread_mutex_lock(&registry);
	family = find_family(def);
	if (!family) {
		family = new_family(def);
	} else if (family->def != def) {
		(void)fail(ERR_CONFLICT, "the metric %s is defined twice", def->name);
		family = NULL;
	}
	(void)pthread_mutex_unlock(&registry);
	return family;
}

/* --- series --------------------------------------------------------------- */

/* The label values as they are kept: well-formed, bounded, each ended by a NUL. */
struct label_text {
	char at[METRIC_LABELS_MAX * (METRIC_LABEL_MAX + 1)];
	size_t len;
};

static void add_value(struct label_text *text, struct str value)
{
	size_t start = text->len;

	while (value.len) {
		uint32_t point = 0;
		size_t took = utf8_read(value, &point);
		char one[UTF8_MAX];
		size_t len = utf8_write(one, took && point ? point : 0xFFFD);

		if (text->len - start + len > METRIC_LABEL_MAX)
			break;
		memcpy(text->at + text->len, one, len);
		text->len += len;
		value = str_from(value, took ? took : 1);
	}
	text->at[text->len++] = 0;
}

/* FNV-1a; only spares comparisons. */
static uint64_t hash_of(const struct label_text *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < text->len; i++)
		hash = (hash ^ (unsigned char)text->at[i]) * 0x100000001b3u;
	return hash;
}

/* Under `registry`, as the rest. NULL when there is none. */
static struct series *find_series(
	const struct metric_family *family, const struct label_text *text, uint64_t hash)
{
	for (size_t i = 0; i < family->count; i++) {
		struct series *series = family->series[i];

		if (series->hash == hash && series->labels_size == text->len &&
			memcmp(series->labels, text->at, text->len) == 0)
			return series;
	}
	return NULL;
}

static bool grow_series(struct metric_family *family)
{
	size_t cap = family->cap ? family->cap * 2 : FIRST_SERIES;
	struct series **series;

	if (family->count < family->cap)
		return true;

	series = mem_resize(family->series, family->cap * sizeof(*series), cap * sizeof(*series));
	if (!series)
		return false;
	family->series = series;
	family->cap = cap;
	return true;
}

/* NULL when the family is full, or memory or cells are. */
static struct series *new_series(
	struct metric_family *family, const struct label_text *text, uint64_t hash)
{
	size_t labels_size = MAX(text->len, 1);
	struct series *series;

	if (family->count == family->max || !grow_series(family))
		return NULL;

	series = mem_zalloc(sizeof(*series) + labels_size);
	if (!series)
		return NULL;
	if (place_series(family, series) < 0) {
		mem_free(series, sizeof(*series) + labels_size);
		return NULL;
	}

	series->hash = hash;
	series->labels = (char *)(series + 1);
	series->labels_size = text->len;
	memcpy(series->labels, text->at, text->len);
	family->series[family->count++] = series;
	return series;
}

const struct metric *metric_series(struct metric_family *family, const struct str *values)
{
	struct label_text text = { .len = 0 };
	struct series *series;
	uint64_t hash;

	for (size_t i = 0; i < family->label_count; i++)
		add_value(&text, values[i]);
	hash = hash_of(&text);

	(void)pthread_mutex_lock(&registry);
	series = find_series(family, &text, hash);
	if (!series)
		series = new_series(family, &text, hash);
	if (!series) {
		series = &family->other;
		family->other_used = true;
		overflows++;
	}
	(void)pthread_mutex_unlock(&registry);
	return &series->metric;
}

const struct metric *metric_register_one(const struct metric_def *def)
{
	struct metric_family *family = metric_register(def);
	const struct metric *metric;

	if (!family)
		return NULL;

	CHECK(family->label_count == 0);
	metric = metric_series(family, NULL);
	if (metric != &family->other.metric)
		return metric;

	(void)fail(ERR_NO_MEMORY, "no room for the metric %s", def->name);
	return NULL;
}

int metric_callback(const struct metric_def *def, bool (*read)(void *arg, int64_t *ret), void *arg)
{
	struct metric_family *family = metric_register(def);

	if (!family)
		return -(int)err_last()->code;

	CHECK(family->label_count == 0 && def->kind != METRIC_HISTOGRAM);
	(void)pthread_mutex_lock(&registry);
	family->read = read;
	family->arg = arg;
	(void)pthread_mutex_unlock(&registry);
	return 0;
}

int metric_info(const struct metric_def *def, const struct str *values)
{
	struct metric_family *family;

	CHECK(def->kind == METRIC_INFO);

	family = metric_register(def);
	if (!family)
		return -(int)err_last()->code;
	metric_gauge_set(metric_series(family, values), 1);
	return 0;
}

/* --- text ----------------------------------------------------------------- */

/* Where a page is written to. */
struct page {
	struct buf *buf;
	bool openmetrics;
};

struct str metric_content_type(enum metric_format format)
{
	return format == METRIC_OPENMETRICS
		       ? S("application/openmetrics-text; version=1.0.0; charset=utf-8")
		       : S("text/plain; version=0.0.4; charset=utf-8");
}

static void put_escaped(struct buf *buf, struct str text, bool quotes)
{
	for (size_t i = 0; i < text.len; i++) {
		char byte = text.at[i];

		if (byte == '\n') {
			buf_append(buf, S("\\n"));
		} else {
			if (byte == '\\' || (byte == '"' && quotes))
				buf_byte(buf, '\\');
			buf_byte(buf, byte);
		}
	}
}

/* A raw number in exported units: exact decimals, without zeros at the end. */
static void put_scaled(struct buf *buf, uint64_t raw, uint64_t scale)
{
	uint64_t part = raw % scale;

	buf_u64(buf, raw / scale);
	if (!part)
		return;

	buf_byte(buf, '.');
	for (uint64_t digit = scale / 10; part; digit /= 10) {
		buf_byte(buf, (char)('0' + part / digit));
		part %= digit;
	}
}

static void put_signed(struct buf *buf, int64_t raw, uint64_t scale)
{
	if (raw < 0)
		buf_byte(buf, '-');
	put_scaled(buf, raw < 0 ? 0 - (uint64_t)raw : (uint64_t)raw, scale);
}

/* name="value" pairs of a series, separated by commas. */
static void put_labels(
	struct buf *buf, const struct metric_family *family, const struct series *series)
{
	const char *value = series->labels;

	if (series == &family->other) {
		buf_append(buf, S("other=\"true\""));
		return;
	}
	for (size_t i = 0; i < family->label_count; i++) {
		struct str text = str_from_c(value);

		buf_printf(buf, "%s%s=\"", i ? "," : "", family->def->labels[i]);
		put_escaped(buf, text, true);
		buf_byte(buf, '"');
		value += text.len + 1;
	}
}

/* name_suffix{labels} and the space; `bound` is NULL, or the value of le. */
static void put_sample(struct buf *buf, const struct metric_family *family,
	const struct series *series, const char *suffix, const struct str *bound)
{
	bool labels = family->label_count || series == &family->other;

	buf_printf(buf, "%s%s", family->def->name, suffix);
	if (labels || bound) {
		buf_byte(buf, '{');
		if (labels)
			put_labels(buf, family, series);
		if (bound)
			buf_printf(buf, "%sle=\"%.*s\"", labels ? "," : "", STR_ARG(*bound));
		buf_byte(buf, '}');
	}
	buf_byte(buf, ' ');
}

/* The canonical float of a bound: 0.005, 1.0. The same in both formats, since it is part of a
 * series' identity. */
static struct str bound_text(char at[2 * NUM_TEXT_MAX + 2], uint64_t raw, uint64_t scale)
{
	struct buf buf = { .at = at, .cap = 2 * NUM_TEXT_MAX + 2, .limit = 2 * NUM_TEXT_MAX + 2 };

	put_scaled(&buf, raw, scale);
	if (raw % scale == 0)
		buf_append(&buf, S(".0"));
	return buf_str(&buf);
}

static void put_histogram(
	struct buf *buf, const struct metric_family *family, const struct series *series)
{
	const struct metric *metric = &series->metric;
	uint64_t count = 0;

	for (uint32_t i = 0; i <= metric->bound_count; i++) {
		char at[2 * NUM_TEXT_MAX + 2];
		struct str bound = i < metric->bound_count
					   ? bound_text(at, metric->bounds[i], family->scale)
					   : S("+Inf");

		count += cell_value(metric->cell + i);
		put_sample(buf, family, series, "_bucket", &bound);
		buf_u64(buf, count);
		buf_byte(buf, '\n');
	}

	put_sample(buf, family, series, "_sum", NULL);
	put_scaled(buf, cell_value(metric->cell + metric->bound_count + 1), family->scale);
	buf_byte(buf, '\n');
	put_sample(buf, family, series, "_count", NULL);
	buf_u64(buf, count);
	buf_byte(buf, '\n');
}

static void put_value(
	struct buf *buf, const struct metric_family *family, const struct series *series)
{
	uint64_t value = cell_value(series->metric.cell);

	put_sample(buf, family, series, "", NULL);
	if (family->def->kind == METRIC_COUNTER)
		put_scaled(buf, value, family->scale);
	else
		put_signed(buf, (int64_t)value, family->scale);
	buf_byte(buf, '\n');
}

static void put_series(
	const struct page *page, const struct metric_family *family, const struct series *series)
{
	if (family->def->kind == METRIC_HISTOGRAM)
		put_histogram(page->buf, family, series);
	else
		put_value(page->buf, family, series);
}

/* HELP and TYPE. OpenMetrics names the family, without the suffix that its samples carry. */
static void put_head(const struct page *page, const struct metric_def *def)
{
	static const char *const types[] = { [METRIC_COUNTER] = "counter",
		[METRIC_GAUGE] = "gauge",
		[METRIC_HISTOGRAM] = "histogram",
		[METRIC_INFO] = "info" };
	struct str name = str_from_c(def->name);
	const char *type = types[def->kind];

	if (page->openmetrics && def->kind == METRIC_COUNTER)
		name.len -= sizeof("_total") - 1;
	else if (page->openmetrics && def->kind == METRIC_INFO)
		name.len -= sizeof("_info") - 1;
	else if (def->kind == METRIC_INFO)
		type = "gauge";

	buf_printf(page->buf, "# HELP %.*s ", STR_ARG(name));
	put_escaped(page->buf, str_from_c(def->help), page->openmetrics);
	buf_printf(page->buf, "\n# TYPE %.*s %s\n", STR_ARG(name), type);
}

static void put_family(const struct page *page, const struct metric_family *family)
{
	int64_t value;

	if (family->read) {
		if (!family->read(family->arg, &value))
			return;
		put_head(page, family->def);
		buf_printf(page->buf, "%s ", family->def->name);
		put_signed(page->buf, value, family->scale);
		buf_byte(page->buf, '\n');
		return;
	}

	if (family->count == 0 && !family->other_used)
		return;
	put_head(page, family->def);
	for (size_t i = 0; i < family->count; i++)
		put_series(page, family, family->series[i]);
	if (family->other_used)
		put_series(page, family, &family->other);
}

/* Our own: how often a family had no room for a series. */
static void put_overflows(const struct page *page)
{
	static const struct metric_def def = { .name = "metric_series_overflows_total",
		.help = "Times a series was refused because its family was full.",
		.kind = METRIC_COUNTER };

	put_head(page, &def);
	buf_printf(page->buf, "%s %llu\n", def.name, (unsigned long long)overflows);
}

int metric_write(struct buf *buf, enum metric_format format)
{
	struct page page = { .buf = buf, .openmetrics = format == METRIC_OPENMETRICS };

	(void)pthread_mutex_lock(&registry);
	for (size_t i = 0; i < family_count; i++)
		put_family(&page, families[i]);
	put_overflows(&page);
	(void)pthread_mutex_unlock(&registry);

	if (page.openmetrics)
		buf_append(buf, S("# EOF\n"));
	return buf->failed;
}
