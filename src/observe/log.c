/* The front: levels, the context on the fiber, one line from the call to the writer. */
#include "observe/log.h"

#include "fiber/fiber.h"
#include "observe/clock.h"
#include "observe/log_line.h"
#include "observe/log_writer.h"
#include "observe/metric.h"

_Atomic int log_threshold = LOG_OFF;

static const struct str level_names[] = {
	[LOG_TRACE] = S_INIT("trace"),
	[LOG_DEBUG] = S_INIT("debug"),
	[LOG_INFO] = S_INIT("info"),
	[LOG_WARN] = S_INIT("warn"),
	[LOG_ERROR] = S_INIT("error"),
	[LOG_FATAL] = S_INIT("fatal"),
	[LOG_OFF] = S_INIT("off"),
};

struct str log_level_name(enum log_level level)
{
	return level_names[level];
}

bool log_level_parse(struct str text, enum log_level *ret)
{
	for (size_t i = 0; i < LEN(level_names); i++) {
		if (!str_eq_nocase(text, level_names[i]))
			continue;
		*ret = (enum log_level)i;
		return true;
	}
	return false;
}

void log_level_set(enum log_level level)
{
	atomic_store_explicit(&log_threshold, (int)level, memory_order_relaxed);
}

void log_context_push(struct log_context *context)
{
	void **place = fiber_context();

	context->parent = *place;
	*place = context;
}

void log_context_pop(struct log_context *context)
{
	void **place = fiber_context();

	CHECK(*place == context);
	*place = (void *)context->parent;
}

const struct log_context *log_context_now(void)
{
	return *fiber_context();
}

void log_write(
	enum log_level level, struct str message, const struct log_field *fields, size_t count)
{
	/* Not on the stack: a fiber's is small. Formatting never parks. */
	static _Thread_local char text[LOG_LINE_MAX];
	const struct log_line_parts parts = { .time_us = clock_wall_us(),
		.level = level,
		.message = message,
		.context = log_context_now(),
		.fields = fields,
		.count = count };
	size_t len = UNLIKELY(log_writer_pretty()) ? log_line_pretty(text, &parts)
						   : log_line_json(text, &parts);

	log_writer_put(str_of(text, len), level >= LOG_ERROR);
}

static bool read_stat(void *arg, int64_t *ret)
{
	const size_t *offset = arg;
	struct log_stats stats = log_stats();
	uint64_t value;

	memcpy(&value, (const char *)&stats + *offset, sizeof(value));
	*ret = (int64_t)value;
	return true;
}

int log_metrics_register(void)
{
	static const struct {
		struct metric_def def;
		size_t offset; /* in struct log_stats */
	} metrics[] = {
		{ { .name = "log_lines_total", .help = "Log lines made.", .kind = METRIC_COUNTER },
			offsetof(struct log_stats, lines) },
		{ { .name = "log_lines_dropped_total",
			  .help = "Log lines dropped because a ring was full.",
			  .kind = METRIC_COUNTER },
			offsetof(struct log_stats, dropped) },
		{ { .name = "log_lines_lost_total",
			  .help = "Log lines that could not be written.",
			  .kind = METRIC_COUNTER },
			offsetof(struct log_stats, lost) },
		{ { .name = "log_written_bytes_total",
			  .help = "Bytes of log written.",
			  .kind = METRIC_COUNTER },
			offsetof(struct log_stats, bytes) },
	};

	for (size_t i = 0; i < LEN(metrics); i++) {
		int error = metric_callback(&metrics[i].def, read_stat, (void *)&metrics[i].offset);

		if (error < 0)
			return error;
	}
	return 0;
}
