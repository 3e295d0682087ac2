/* A table of them. */
#include "store/sqlite_metrics.h"

#include "base/err.h"

struct sqlite_metrics sqlite_metrics;

static const uint64_t size_bounds[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256 };
static const uint64_t time_bounds[] = { 50 * MICROSECOND, 100 * MICROSECOND, 250 * MICROSECOND,
	500 * MICROSECOND, 1 * MILLISECOND, 2500 * MICROSECOND, 5 * MILLISECOND, 10 * MILLISECOND,
	25 * MILLISECOND, 50 * MILLISECOND, 100 * MILLISECOND, 250 * MILLISECOND, 500 * MILLISECOND,
	1 * SECOND, 5 * SECOND };

#define TIMES                                                                                      \
	.kind = METRIC_HISTOGRAM, .bounds = time_bounds, .bound_count = LEN(time_bounds),          \
	.scale = SECOND

static const struct {
	const struct metric **place;
	struct metric_def def;
} table[] = {
	{ &sqlite_metrics.group_size, { .name = "store_group_size",
					      .help = "Transactions committed together.",
					      .kind = METRIC_HISTOGRAM,
					      .bounds = size_bounds,
					      .bound_count = LEN(size_bounds) } },
	{ &sqlite_metrics.commit, { .name = "store_commit_duration_seconds",
					  .help = "Time of a commit, with its sync.",
					  TIMES } },
	{ &sqlite_metrics.checkpoint,
		{ .name = "store_checkpoint_duration_seconds",
			.help = "Time of moving the log into the database file.",
			TIMES } },
	{ &sqlite_metrics.queue, { .name = "store_write_queue",
					 .help = "Transactions that wait for the writer.",
					 .kind = METRIC_GAUGE } },
	{ &sqlite_metrics.log_pages,
		{ .name = "store_log_pages",
			.help = "Pages of the write-ahead log that are in use.",
			.kind = METRIC_GAUGE } },
	{ &sqlite_metrics.reruns,
		{ .name = "store_group_reruns_total",
			.help = "Groups that ran again because the error of one undid all.",
			.kind = METRIC_COUNTER } },
	{ &sqlite_metrics.moved,
		{ .name = "store_moved_reads_total",
			.help = "Reads that took too long for a worker and went to a thread.",
			.kind = METRIC_COUNTER } },
};

int sqlite_metrics_init(void)
{
	for (size_t i = 0; i < LEN(table); i++) {
		const struct metric *metric = metric_register_one(&table[i].def);

		if (!metric)
			return -(int)err_last()->code;
		*table[i].place = metric;
	}
	return 0;
}
