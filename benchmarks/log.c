/*
 * What a log line costs the thread that logs: processor time of that thread per line, while the
 * writer thread empties its ring into a file and into /dev/null. Beside it, in the same run, the
 * same line made with snprintf and fwrite, and made with our formatter and one write(2) each.
 *
 *     bench-log [lines]
 *
 * Lines come in bursts that fit the ring, and the writer catches up between them outside the clock;
 * so no line is dropped and every line is paid in full. The last part logs without pauses from two
 * threads and counts what really reached the file. No fsync anywhere.
 */
#include "observe/log.h"
#include "observe/clock.h"
#include "observe/log_line.h"
#include "observe/metric.h"
#include "observe/span.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 250, REPEATS = 5 };

static uint64_t thread_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static struct log_context context = {
	.request_id = S_INIT("0190f3b2-7c1e-7a60-9d5b-2f6f6a1c9e11"),
	.trace_id = S_INIT("4bf92f3577b34da6a3ce929d0e0e4736"),
	.span_id = S_INIT("00f067aa0ba902b7"),
	.tenant_id = S_INIT("0190f3b2-0000-7000-8000-00000000002a"),
	.user_id = S_INIT("0190f3b2-1111-7000-8000-000000000007"),
};

/* --- the lines ------------------------------------------------------------ */

typedef void one_line(uint64_t i);

static void fields_0(uint64_t i)
{
	(void)i;
	log_info("request served");
}

static void fields_3(uint64_t i)
{
	log_info("request served", LOG_STR("method", S("GET")), LOG_U64("status", 200 + i % 2),
		LOG_DURATION(1234567 + i));
}

static void fields_6(uint64_t i)
{
	log_info("request served", LOG_STR("method", S("GET")),
		LOG_STR("path", S("/api/v1/projects/42/items")), LOG_U64("status", 200 + i % 2),
		LOG_U64("bytes", 5123 + i), LOG_DURATION(1234567 + i),
		LOG_STR("address", S("203.0.113.77")));
}

static void disabled(uint64_t i)
{
	log_debug("request served", LOG_STR("method", S("GET")), LOG_U64("status", i));
}

/* --- the same line by other means ----------------------------------------- */

static FILE *plain_file;
static int plain_fd;

static int plain_format(char *at, size_t size, uint64_t i)
{
	int64_t us = clock_wall_us();
	time_t second = us / 1000000;
	struct tm tm;
	char date[32];

	(void)gmtime_r(&second, &tm);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	return snprintf(at, size,
		"{\"time\":\"%s.%03dZ\",\"level\":\"info\",\"msg\":\"%s\",\"requestId\":\"%.*s\","
		"\"traceId\":\"%.*s\",\"spanId\":\"%.*s\",\"tenantId\":\"%.*s\",\"userId\":\"%.*"
		"s\","
		"\"method\":\"%s\",\"path\":\"%s\",\"status\":%llu,\"bytes\":%llu,"
		"\"durationMs\":%.3f,\"address\":\"%s\"}\n",
		date, (int)(us / 1000 % 1000), "request served", STR_ARG(context.request_id),
		STR_ARG(context.trace_id), STR_ARG(context.span_id), STR_ARG(context.tenant_id),
		STR_ARG(context.user_id), "GET", "/api/v1/projects/42/items",
		(unsigned long long)(200 + i % 2), (unsigned long long)(5123 + i),
		(double)(1234567 + i) / 1e6, "203.0.113.77");
}

static void plain_fwrite(uint64_t i)
{
	char text[1024];
	int len = plain_format(text, sizeof(text), i);

	(void)fwrite(text, 1, (size_t)len, plain_file);
}

static void plain_write(uint64_t i)
{
	static char text[LOG_LINE_MAX];
	const struct log_field fields[] = { LOG_STR("method", S("GET")),
		LOG_STR("path", S("/api/v1/projects/42/items")), LOG_U64("status", 200 + i % 2),
		LOG_U64("bytes", 5123 + i), LOG_DURATION(1234567 + i),
		LOG_STR("address", S("203.0.113.77")) };
	const struct log_line_parts parts = { .time_us = clock_wall_us(),
		.level = LOG_INFO,
		.message = S("request served"),
		.context = &context,
		.fields = fields,
		.count = LEN(fields) };
	size_t len = log_line_json(text, &parts);

	(void)!write(plain_fd, text, len);
}

/* --- measuring ------------------------------------------------------------ */

/* Best of some repeats, processor nanoseconds of this thread per line. */
static double measure(one_line *line, uint64_t lines, bool logged)
{
	double best = 1e18;

	for (int repeat = 0; repeat < REPEATS; repeat++) {
		uint64_t used = 0;

		for (uint64_t done = 0; done < lines / REPEATS; done += BURST) {
			uint64_t start = thread_ns();

			for (uint64_t i = 0; i < BURST; i++)
				line(i);
			used += thread_ns() - start;
			if (logged)
				CHECK(log_flush(clock_now_ns() + 10 * SECOND) == 0);
		}
		best = MIN(best, (double)used / (double)(lines / REPEATS / BURST * BURST));
	}
	return best;
}

static void measure_log(const char *target, uint64_t lines, double *ret_six)
{
	struct log_context *pushed = &context;

	CHECK(log_thread_attach(0) == 0);
	printf("%-10s 0 fields            %6.0f ns\n", target, measure(fields_0, lines, true));
	printf("%-10s 3 fields            %6.0f ns\n", target, measure(fields_3, lines, true));
	printf("%-10s 6 fields            %6.0f ns\n", target, measure(fields_6, lines, true));
	log_context_push(pushed);
	*ret_six = measure(fields_6, lines, true);
	printf("%-10s 6 fields + context  %6.0f ns\n", target, *ret_six);
	printf("%-10s level off           %6.1f ns\n", target, measure(disabled, lines, false));
	log_context_pop(pushed);
	CHECK(log_stats().dropped == 0);
	log_thread_detach();
	CHECK(log_close(clock_now_ns() + 10 * SECOND) == 0);
}

static void measure_plain(const char *target, const char *path, uint64_t lines, double six)
{
	double with_fwrite, with_write;

	plain_file = fopen(path, "a");
	plain_fd = open(path, O_WRONLY | O_APPEND);
	CHECK(plain_file && plain_fd >= 0);
	with_fwrite = measure(plain_fwrite, lines, false);
	with_write = measure(plain_write, lines, false);
	(void)fclose(plain_file);
	(void)close(plain_fd);
	printf("%-10s snprintf + fwrite   %6.0f ns   ratio of ours %.2f\n", target, with_fwrite,
		six / with_fwrite);
	printf("%-10s format + write(2)   %6.0f ns   ratio of ours %.2f\n", target, with_write,
		six / with_write);
}

/* --- without pauses ------------------------------------------------------- */

static uint64_t storm_lines;

static void *storm(void *arg)
{
	struct log_context mine = context;

	(void)arg;
	CHECK(log_thread_attach(MEGABYTE) == 0);
	log_context_push(&mine);
	for (uint64_t i = 0; i < storm_lines; i++)
		fields_6(i);
	log_context_pop(&mine);
	log_thread_detach();
	return NULL;
}

static void measure_storm(uint64_t lines)
{
	uint64_t start = clock_now_ns();
	pthread_t threads[2];
	struct log_stats stats;
	double seconds;

	storm_lines = lines;
	for (size_t i = 0; i < LEN(threads); i++)
		CHECK(pthread_create(&threads[i], NULL, storm, NULL) == 0);
	for (size_t i = 0; i < LEN(threads); i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(log_flush(clock_now_ns() + 10 * SECOND) == 0);
	seconds = (double)(clock_now_ns() - start) / 1e9;
	stats = log_stats();
	printf("storm      2 threads           %.0f lines/s written to the file, %.0f offered, "
	       "%.0f %% "
	       "dropped\n",
		(double)stats.lines / seconds, (double)(stats.lines + stats.dropped) / seconds,
		100.0 * (double)stats.dropped / (double)(stats.lines + stats.dropped));
	CHECK(log_close(clock_now_ns() + 10 * SECOND) == 0);
}

/* --- neighbours ----------------------------------------------------------- */

static const struct metric *counter, *histogram;

static void count_line(uint64_t i)
{
	metric_count(counter, i);
}

static void observe_line(uint64_t i)
{
	metric_observe(histogram, i * MILLISECOND);
}

static void span_line(uint64_t i)
{
	static const struct trace trace = { 1, 2, 3, TRACE_SAMPLED };
	struct span span;

	span_start(&span, &trace, 0, S("GET /api/v1/projects/{id}"), SPAN_SERVER);
	span_str(&span, "http.request.method", S("GET"));
	span_str(&span, "http.route", S("/api/v1/projects/{id}"));
	span_int(&span, "http.response.status_code", 200 + (int64_t)i % 2);
	span_end(&span, SPAN_UNSET);
}

static void measure_neighbours(uint64_t lines)
{
	static const struct metric_def count_def = {
		.name = "bench_total", .help = "Bench.", .kind = METRIC_COUNTER
	};
	static const struct metric_def histogram_def = { .name = "bench_seconds",
		.help = "Bench.",
		.kind = METRIC_HISTOGRAM,
		.bounds = metric_http_bounds,
		.bound_count = LEN(metric_http_bounds),
		.scale = SECOND };

	counter = metric_register_one(&count_def);
	histogram = metric_register_one(&histogram_def);
	CHECK(counter && histogram && span_thread_attach(0) == 0);
	printf("metric     count               %6.1f ns\n", measure(count_line, lines, false));
	printf("metric     observe             %6.1f ns\n", measure(observe_line, lines, false));
	printf("span       3 attributes        %6.1f ns\n", measure(span_line, lines, false));
	span_thread_detach();
}

static void open_file_log(const char *folder, uint64_t rotate_bytes)
{
	const struct log_options options = { .level = LOG_INFO,
		.format = LOG_JSON,
		.folder = str_from_c(folder),
		.name = S("bench"),
		.rotate_bytes = rotate_bytes,
		.keep_files = 1 };

	CHECK(log_open(&options) == 0);
}

int main(int argc, char **argv)
{
	uint64_t lines = argc > 1 ? strtoull(argv[1], NULL, 10) : 250000;
	char folder[] = "/tmp/bench-log-XXXXXX", path[64], command[80];
	int null = open("/dev/null", O_WRONLY);
	const struct log_options to_null = { .level = LOG_INFO, .format = LOG_JSON, .fd = null };
	double six;

	CHECK(mkdtemp(folder) && null >= 0);
	(void)snprintf(path, sizeof(path), "%s/plain.log", folder);

	CHECK(log_open(&to_null) == 0);
	measure_log("/dev/null", lines, &six);
	measure_plain("/dev/null", "/dev/null", lines, six);

	open_file_log(folder, 64 * MEGABYTE);
	measure_log("file", lines, &six);
	(void)close(open(path, O_CREAT | O_WRONLY, 0600));
	measure_plain("file", path, lines, six);

	open_file_log(folder, 64 * MEGABYTE);
	measure_storm(lines);
	measure_neighbours(lines * 10);

	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? 0 : 1;
}
