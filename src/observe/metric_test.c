/* Metrics: values over threads that come and go, limits, exact text, and every page read by a
 * strict little parser of the exposition formats. */
#include "observe/metric.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* --- a strict reader ------------------------------------------------------ */

struct reader {
	struct str families[64]; /* in their order; none may come back */
	size_t family_count;
	struct str seen[512]; /* name and labels of every sample */
	size_t seen_count;
	struct str type;
	bool openmetrics;

	/* The histogram being read. */
	double last_bound, last_count;
	bool infinite;
};

static bool cut_prefix(struct str *rest, struct str prefix)
{
	if (!str_starts(*rest, prefix))
		return false;
	*rest = str_from(*rest, prefix.len);
	return true;
}

static struct str cut_name(struct str *rest)
{
	size_t len = 0;

	while (len < rest->len && (rest->at[len] == '_' || rest->at[len] == ':' ||
					  (rest->at[len] >= 'a' && rest->at[len] <= 'z') ||
					  (len && rest->at[len] >= '0' && rest->at[len] <= '9')))
		len++;
	*rest = str_from(*rest, len);
	return str_of(rest->at - len, len);
}

/* "value" with escapes; the text is given as it stands. */
static bool cut_quoted(struct str *rest, struct str *ret)
{
	const char *start = rest->at + 1;

	if (!cut_prefix(rest, S("\"")))
		return false;
	while (rest->len && rest->at[0] != '"') {
		if (rest->at[0] == '\n')
			return false;
		if (rest->at[0] == '\\' && (rest->len < 2 || !memchr("\\\"n", rest->at[1], 3)))
			return false;
		*rest = str_from(*rest, rest->at[0] == '\\' ? 2 : 1);
	}
	*ret = str_of(start, (size_t)(rest->at - start));
	return cut_prefix(rest, S("\""));
}

/* {a="b",le="c"}; stores the value of le. */
static bool cut_labels(struct str *rest, struct str *ret_le)
{
	*ret_le = str_of(NULL, 0);
	if (!cut_prefix(rest, S("{")))
		return true;

	do {
		struct str name = cut_name(rest), value;

		if (!name.len || !cut_prefix(rest, S("=")) || !cut_quoted(rest, &value))
			return false;
		if (str_eq(name, S("le")))
			*ret_le = value;
	} while (cut_prefix(rest, S(",")));
	return cut_prefix(rest, S("}"));
}

static bool read_number(struct str text, double *ret)
{
	char at[64];
	char *end;

	if (text.len == 0 || text.len >= sizeof(at))
		return false;
	memcpy(at, text.at, text.len);
	at[text.len] = 0;
	*ret = strtod(at, &end);
	return *end == 0;
}

/* Buckets increase, end with +Inf, and agree with the count. */
static bool check_histogram(struct reader *reader, struct str suffix, struct str le, double value)
{
	double bound;

	if (str_eq(suffix, S("_bucket"))) {
		if (!le.at || !read_number(le, &bound))
			return false;
		if (reader->infinite) { /* the next series begins */
			reader->infinite = false;
			reader->last_bound = -1;
			reader->last_count = 0;
		}
		if (bound <= reader->last_bound || value < reader->last_count)
			return false;
		reader->last_bound = bound;
		reader->last_count = value;
		reader->infinite = str_eq(le, S("+Inf"));
		return true;
	}
	if (str_eq(suffix, S("_count")))
		return reader->infinite && value == reader->last_count;
	return reader->infinite && str_eq(suffix, S("_sum"));
}

static bool read_sample(struct reader *reader, struct str line)
{
	struct str start = line, family = reader->families[reader->family_count - 1];
	struct str name = cut_name(&line), suffix = str_from(name, family.len), le;
	double value;

	if (!str_starts(name, family) || !cut_labels(&line, &le))
		return false;
	start.len -= line.len;
	for (size_t i = 0; i < reader->seen_count; i++)
		if (str_eq(reader->seen[i], start))
			return false;
	CHECK(reader->seen_count < LEN(reader->seen));
	reader->seen[reader->seen_count++] = start;

	if (!cut_prefix(&line, S(" ")) || !read_number(line, &value))
		return false;
	if (str_eq(reader->type, S("histogram")))
		return check_histogram(reader, suffix, le, value);
	if (le.at)
		return false;
	if (reader->openmetrics && str_eq(reader->type, S("counter")))
		return str_eq(suffix, S("_total")) && value >= 0;
	if (reader->openmetrics && str_eq(reader->type, S("info")))
		return str_eq(suffix, S("_info")) && value == 1;
	return suffix.len == 0;
}

static bool begin_family(struct reader *reader, struct str line)
{
	struct str name = cut_name(&line);

	for (size_t i = 0; i < reader->family_count; i++)
		if (str_eq(reader->families[i], name))
			return false;
	CHECK(reader->family_count < LEN(reader->families));
	reader->families[reader->family_count++] = name;
	reader->infinite = true;
	return cut_prefix(&line, S(" ")) && line.len > 0;
}

static bool read_type(struct reader *reader, struct str line)
{
	struct str name = cut_name(&line);

	if (!reader->family_count || !str_eq(name, reader->families[reader->family_count - 1]) ||
		!cut_prefix(&line, S(" ")))
		return false;
	reader->type = line;
	return str_eq(line, S("counter")) || str_eq(line, S("gauge")) ||
	       str_eq(line, S("histogram")) || (reader->openmetrics && str_eq(line, S("info")));
}

static bool page_valid(struct str page, bool openmetrics)
{
	static struct reader reader;

	reader = (struct reader){ .openmetrics = openmetrics };
	if (!str_ends(page, S("\n")))
		return false;
	page.len--;
	while (page.at) {
		struct str line = str_cut(&page, '\n');
		bool ok;

		if (openmetrics && str_eq(line, S("# EOF")))
			return !page.at;
		if (cut_prefix(&line, S("# HELP ")))
			ok = begin_family(&reader, line);
		else if (cut_prefix(&line, S("# TYPE ")))
			ok = read_type(&reader, line);
		else
			ok = reader.family_count && read_sample(&reader, line);
		if (!ok)
			return test_note(
				false, __FILE__, __LINE__, "bad line: %.*s", STR_ARG(line));
	}
	return !openmetrics;
}

static struct buf page;

static struct str write_page(enum metric_format format)
{
	if (!page.limit)
		buf_init(&page, MEGABYTE);
	buf_reset(&page);
	EXPECT_INT(metric_write(&page, format), 0);
	EXPECT(page_valid(buf_str(&page), format == METRIC_OPENMETRICS));
	return buf_str(&page);
}

static bool shows(enum metric_format format, struct str text)
{
	struct str all = write_page(format);

	return test_note(str_find(all, text) >= 0, __FILE__, __LINE__, "no %.*s in\n%.*s",
		STR_ARG(text), STR_ARG(all));
}

/* --- text ----------------------------------------------------------------- */

static const struct metric_def requests = { .name = "http_requests_total",
	.help = "Requests, by method \\ and\n\"route\".",
	.kind = METRIC_COUNTER,
	.labels = { "method", "route" },
	.max_series = 3 };

TEST(metric_counter_text)
{
	struct metric_family *family = metric_register(&requests);
	const struct str values[] = { S("GET"), S("/a\\b\"c\nd\xFF") };
	const struct metric *series;

	REQUIRE(family != NULL);
	EXPECT(str_find(write_page(METRIC_TEXT), S("http_requests")) < 0); /* no series yet */
	series = metric_series(family, values);
	EXPECT(series == metric_series(family, values));
	metric_count(series, 3);
	metric_count(series, 4);
	EXPECT_INT(metric_value(series), 7);

	shows(METRIC_TEXT,
		S("# HELP http_requests_total Requests, by method \\\\ and\\n\"route\".\n"
		  "# TYPE http_requests_total counter\n"
		  "http_requests_total{method=\"GET\",route=\"/a\\\\b\\\"c\\nd\xEF\xBF\xBD\"}"
		  " 7\n"));
	shows(METRIC_OPENMETRICS,
		S("# HELP http_requests Requests, by method \\\\ and\\n\\\"route\\\".\n"
		  "# TYPE http_requests counter\nhttp_requests_total{method="));
	EXPECT(str_ends(write_page(METRIC_OPENMETRICS), S("\n# EOF\n")));
}

TEST(metric_gauge_text)
{
	static const struct metric_def plain = {
		.name = "queue_depth", .help = "Depth.", .kind = METRIC_GAUGE
	};
	static const struct metric_def scaled = {
		.name = "delay_seconds", .help = "Delay.", .kind = METRIC_GAUGE, .scale = SECOND
	};
	const struct metric *depth = metric_register_one(&plain);
	const struct metric *delay = metric_register_one(&scaled);

	REQUIRE(depth && delay);
	metric_gauge_set(depth, 10);
	metric_gauge_add(depth, 5);
	metric_gauge_add(depth, -17);
	metric_gauge_set(delay, -1500 * (int64_t)MILLISECOND);
	shows(METRIC_TEXT, S("\nqueue_depth -2\n"));
	shows(METRIC_TEXT, S("\ndelay_seconds -1.5\n"));
	metric_gauge_set(delay, 1);
	shows(METRIC_OPENMETRICS, S("\ndelay_seconds 0.000000001\n"));
	metric_gauge_set(delay, INT64_MIN);
	shows(METRIC_TEXT, S("\ndelay_seconds -9223372036.854775808\n"));
}

static const struct metric_def duration = { .name = "http_server_request_duration_seconds",
	.help = "Time to answer.",
	.kind = METRIC_HISTOGRAM,
	.bounds = metric_http_bounds,
	.bound_count = LEN(metric_http_bounds),
	.scale = SECOND };

TEST(metric_histogram_text)
{
	const struct metric *histogram = metric_register_one(&duration);

	REQUIRE(histogram != NULL);
	metric_observe(histogram, 0);
	metric_observe(histogram, 5 * MILLISECOND); /* a bound belongs to its bucket */
	metric_observe(histogram, 5 * MILLISECOND + 1);
	metric_observe(histogram, 10 * SECOND);
	metric_observe(histogram, 10 * SECOND + 1);
	shows(METRIC_TEXT, S("# TYPE http_server_request_duration_seconds histogram\n"
			     "http_server_request_duration_seconds_bucket{le=\"0.005\"} 2\n"
			     "http_server_request_duration_seconds_bucket{le=\"0.01\"} 3\n"
			     "http_server_request_duration_seconds_bucket{le=\"0.025\"} 3\n"));
	shows(METRIC_OPENMETRICS, S("_bucket{le=\"1.0\"} 3\n"
				    "http_server_request_duration_seconds_bucket{le=\"2.5\"} 3\n"));
	shows(METRIC_TEXT, S("_bucket{le=\"10.0\"} 4\n"
			     "http_server_request_duration_seconds_bucket{le=\"+Inf\"} 5\n"
			     "http_server_request_duration_seconds_sum 20.010000002\n"
			     "http_server_request_duration_seconds_count 5\n"));
}

TEST(metric_histogram_labels)
{
	static const uint64_t sizes[] = { 100, 1000 };
	static const struct metric_def def = { .name = "body_bytes",
		.help = "Sizes.",
		.kind = METRIC_HISTOGRAM,
		.labels = { "route" },
		.bounds = sizes,
		.bound_count = LEN(sizes) };
	struct metric_family *family = metric_register(&def);

	REQUIRE(family != NULL);
	metric_observe(metric_series(family, &S("/a")), 500);
	metric_observe(metric_series(family, &S("/b")), 5000);
	shows(METRIC_TEXT, S("body_bytes_bucket{route=\"/a\",le=\"1000.0\"} 1\n"));
	shows(METRIC_TEXT, S("body_bytes_sum{route=\"/b\"} 5000\n"
			     "body_bytes_count{route=\"/b\"} 1\n"));
}

TEST(metric_info_and_process)
{
	static const struct metric_def build = { .name = "bulkhead_build_info",
		.help = "What runs here.",
		.kind = METRIC_INFO,
		.labels = { "version" } };
	struct str text;

	EXPECT_INT(metric_info(&build, &S("1.2.3")), 0);
	EXPECT_INT(metric_register_process(), 0);
	shows(METRIC_TEXT, S("# TYPE bulkhead_build_info gauge\n"
			     "bulkhead_build_info{version=\"1.2.3\"} 1\n"));
	shows(METRIC_OPENMETRICS, S("# TYPE bulkhead_build info\n"
				    "bulkhead_build_info{version=\"1.2.3\"} 1\n"));
	text = write_page(METRIC_TEXT);
	EXPECT(str_find(text, S("\nprocess_cpu_seconds_total 0")) > 0);
	EXPECT(str_find(text, S("\nprocess_resident_memory_bytes ")) > 0);
	EXPECT(str_find(text, S("\nprocess_start_time_seconds 1")) > 0);
	EXPECT(str_find(text, S("\nprocess_open_fds ")) > 0);
	EXPECT(str_find(text, S("\nprocess_max_fds ")) > 0);
	EXPECT_STR(metric_content_type(METRIC_TEXT), S("text/plain; version=0.0.4; charset=utf-8"));
}

/* --- limits --------------------------------------------------------------- */

TEST(metric_series_are_bounded)
{
	struct metric_family *family = metric_register(&requests);
	const struct metric *other;
	static char large[METRIC_LABEL_MAX * 2];

	REQUIRE(family != NULL);
	for (int i = 0; i < 3; i++) {
		char name[] = { (char)('a' + i) };
		const struct str values[] = { S("GET"), str_of(name, 1) };

		metric_count(metric_series(family, values), 1);
	}
	other = metric_series(family, (const struct str[]){ S("GET"), S("d") });
	EXPECT(other == metric_series(family, (const struct str[]){ S("PUT"), S("e") }));
	metric_count(other, 5);
	shows(METRIC_TEXT, S("http_requests_total{other=\"true\"} 5\n"));
	shows(METRIC_TEXT, S("\nmetric_series_overflows_total 2\n"));

	/* Cut values are the same series; a NUL cannot make two out of one. */
	memset(large, 'x', sizeof(large));
	EXPECT(metric_series(family, (const struct str[]){ S("GET"), S("a") }) != other);
	EXPECT(metric_series(family, (const struct str[]){ S("GET\0a"), S("") }) == other);
	EXPECT(metric_series(family, (const struct str[]){ str_of(large, sizeof(large)), S("") }) ==
		other);
}

TEST(metric_register_twice)
{
	static const struct metric_def same = {
		.name = "http_requests_total", .help = "Another.", .kind = METRIC_COUNTER
	};

	EXPECT(metric_register(&requests) == metric_register(&requests));
	EXPECT(metric_register(&same) == NULL);
	EXPECT_INT(err_last()->code, ERR_CONFLICT);
	EXPECT(metric_register_one(&same) == NULL);
	EXPECT_INT(metric_callback(&same, NULL, NULL), -ERR_CONFLICT);
}

static void register_it(void *def)
{
	(void)metric_register(def);
}

TEST(metric_names_are_checked)
{
	static const uint64_t bounds[] = { 2, 1 };
	static struct metric_def bad[] = {
		{ .name = "requests", .help = "x", .kind = METRIC_COUNTER },
		{ .name = "depth_total", .help = "x", .kind = METRIC_GAUGE },
		{ .name = "depth_info", .help = "x", .kind = METRIC_GAUGE },
		{ .name = "depth_count", .help = "x", .kind = METRIC_GAUGE },
		{ .name = "camelCase", .help = "x", .kind = METRIC_GAUGE },
		{ .name = "1st", .help = "x", .kind = METRIC_GAUGE },
		{ .name = "", .help = "x", .kind = METRIC_GAUGE },
		{ .name = "a", .help = "", .kind = METRIC_GAUGE },
		{ .name = "a", .help = "x", .kind = METRIC_GAUGE, .labels = { "le" } },
		{ .name = "a", .help = "x", .kind = METRIC_GAUGE, .labels = { "a:b" } },
		{ .name = "a", .help = "x", .kind = METRIC_GAUGE, .labels = { "__a" } },
		{ .name = "a", .help = "x", .kind = METRIC_GAUGE, .scale = 1024 },
		{ .name = "a", .help = "x", .kind = METRIC_HISTOGRAM },
		{ .name = "a",
			.help = "x",
			.kind = METRIC_HISTOGRAM,
			.bounds = bounds,
			.bound_count = 2 },
	};

	for (size_t i = 0; i < LEN(bad); i++)
		test_note(test_dies(register_it, &bad[i], SIGABRT), __FILE__, __LINE__, "%s (%zu)",
			bad[i].name, i);
}

TEST(metric_page_beyond_its_buffer)
{
	struct buf small;

	REQUIRE(metric_register_one(&duration) != NULL);
	buf_init(&small, 300);
	EXPECT_INT(metric_write(&small, METRIC_TEXT), -ERR_TOO_LARGE);
	EXPECT(small.len <= 300);
	buf_done(&small);
}

/* --- threads -------------------------------------------------------------- */

enum { THREADS = 6, ROUNDS = 20000 };

static const struct metric *counted, *timed, *level;
static struct metric_family *labelled;

static void *hammer(void *arg)
{
	size_t who = (size_t)arg;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		metric_count(counted, 1);
		metric_observe(timed, i % 20 * SECOND);
		metric_gauge_add(level, i % 2 ? 1 : -1);
		if (i % 1000 == 0) {
			char name[] = { (char)('a' + (i / 1000 + who) % 26) };

			struct str value = str_of(name, 1);

			metric_count(metric_series(labelled, &value), 1);
		}
	}
	return NULL;
}

TEST(metric_threads_come_and_go)
{
	static const struct metric_def count_def = {
		.name = "c_total", .help = "C.", .kind = METRIC_COUNTER
	};
	static const struct metric_def level_def = {
		.name = "l", .help = "L.", .kind = METRIC_GAUGE
	};
	static const struct metric_def label_def = {
		.name = "n_total", .help = "N.", .kind = METRIC_COUNTER, .labels = { "name" }
	};
	pthread_t threads[THREADS];

	counted = metric_register_one(&count_def);
	level = metric_register_one(&level_def);
	timed = metric_register_one(&duration);
	labelled = metric_register(&label_def);
	REQUIRE(counted && level && timed && labelled);

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < THREADS; i++)
			REQUIRE(pthread_create(&threads[i], NULL, hammer, (void *)i) == 0);
		for (int i = 0; i < 10; i++)
			(void)write_page(i % 2 ? METRIC_TEXT : METRIC_OPENMETRICS);
		for (size_t i = 0; i < THREADS; i++)
			(void)pthread_join(threads[i], NULL);
	}
	EXPECT_INT(metric_value(counted), 2 * THREADS * ROUNDS);
	EXPECT_INT(metric_value(level), 0);
	shows(METRIC_TEXT, S("_duration_seconds_sum 2280000\n"));
	shows(METRIC_TEXT, S("_duration_seconds_count 240000\n"));
	shows(METRIC_TEXT, S("n_total{name=\"f\"} 12\n"));
}

/* --- no memory ------------------------------------------------------------ */

#ifdef BULKHEAD_FAULTS
static void *count_one(void *arg)
{
	fault_arm(FAULT_MEMORY, *(size_t *)arg);
	metric_count(counted, 1);
	fault_arm(FAULT_MEMORY, 0);
	return NULL;
}

TEST(metric_torture)
{
	static struct metric_def defs[20];
	static const char *const names[] = { "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8",
		"m9", "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9" };

	for (size_t nth = 1; nth < LEN(defs); nth++) {
		struct metric_family *family;
		const struct metric *series;
		bool struck;

		defs[nth] = (struct metric_def){
			.name = names[nth], .help = "M.", .kind = METRIC_GAUGE, .labels = { "a" }
		};
		fault_arm(FAULT_MEMORY, nth);
		family = metric_register(&defs[nth]);
		if (!family) {
			EXPECT_INT(err_last()->code, ERR_NO_MEMORY);
			family = metric_register(&defs[nth]); /* the fault strikes once */
		}
		REQUIRE(family != NULL);
		series = metric_series(family, &S("v")); /* perhaps the overflow series */
		metric_gauge_add(series, 5);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT_INT(metric_value(series), 5);
		(void)write_page(METRIC_TEXT);
		if (!struck)
			break;
	}
}

TEST(metric_thread_without_memory_counts)
{
	static const struct metric_def def = {
		.name = "c_total", .help = "C.", .kind = METRIC_COUNTER
	};
	pthread_t thread;

	counted = metric_register_one(&def);
	REQUIRE(counted != NULL);
	for (size_t nth = 1; nth <= 3; nth++) {
		REQUIRE(pthread_create(&thread, NULL, count_one, &nth) == 0);
		(void)pthread_join(thread, NULL);
		EXPECT_INT(metric_value(counted), nth);
	}
}
#endif
