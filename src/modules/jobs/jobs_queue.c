/*
 * Settings of queues. Those of the table are read when the program starts and whenever a notice
 * says that one has changed; whoever asks for them reads memory.
 */
#include "modules/jobs/jobs_queue.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "modules/jobs/jobs_rows.h"
#include "observe/log.h"
#include "schema/decode.h"
#include "store/notice.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	QUEUE_SLOTS = 2 * QUEUES_MAX,
	QUEUE_MEMORY = 16 * MEGABYTE, /* of all settings that there were since the start */
};

/* --- without a row ------------------------------------------------------------------------ */

#define DAY_MS INT64_C(86400000)

static const struct queue_settings defaults = {
	.level = QUEUE_MEDIUM,
	.group_concurrency = 1,
	.attempts = 3,
	.backoff = { JOB_BACKOFF_EXPONENTIAL, .delay_ms = 1000, .max_ms = 3600000, .jitter = 20 },
	.timeout_ms = 300000,
	.lease_ms = 30000,
	.backlog = 100000,
	.group_backlog = 10000,
	.completed = { DAY_MS, 1000 },
	.discarded = { 7 * DAY_MS, 10000 },
	.cancelled = { 7 * DAY_MS, 10000 },
};

/* What a named queue has instead of the defaults; 0: nothing. */
static const struct named_queue {
	struct str name;
	enum queue_level level;
	int64_t concurrency, concurrency_min, attempts;
	struct queue_rate rate;
} named[] = {
	{ S_INIT("email"), QUEUE_HIGH, 10, .rate = { 100, 1000 } },
	{ S_INIT(QUEUE_RESERVED "email"), QUEUE_HIGH, 10, .rate = { 100, 1000 } },
	{ S_INIT("push"), QUEUE_MEDIUM, 10 },
	{ S_INIT("sms"), QUEUE_MEDIUM, 3 },
	{ S_INIT("notification"), QUEUE_MEDIUM, 5 },
	{ S_INIT("reports"), QUEUE_LOW, 2, .attempts = 2 },
	{ S_INIT("analytics"), QUEUE_MEDIUM, 5 },
	{ S_INIT("webhooks"), QUEUE_HIGH, 20, .attempts = 5 },
	{ S_INIT("import"), QUEUE_MEDIUM, 2 },
	{ S_INIT("export"), QUEUE_MEDIUM, 2 },
	{ S_INIT("swarm"), QUEUE_MEDIUM, 10, .concurrency_min = 1 },
	{ S_INIT("run"), QUEUE_MEDIUM, 1000, .concurrency_min = 1 },
	{ S_INIT("sandbox"), QUEUE_MEDIUM, 5 },
};

void queue_preset(struct str queue, struct queue_settings *ret)
{
	*ret = defaults;
	if (queue_name_reserved(queue))
		ret->backlog = 0;
	for (size_t i = 0; i < LEN(named); i++) {
		if (!str_eq(named[i].name, queue))
			continue;
		ret->level = named[i].level;
		ret->concurrency = named[i].concurrency;
		ret->concurrency_min = named[i].concurrency_min;
		ret->rate = named[i].rate;
		if (named[i].attempts)
			ret->attempts = named[i].attempts;
	}
}

size_t queues_named(struct str *ret, size_t room)
{
	size_t count = MIN(room, LEN(named));

	for (size_t i = 0; i < count; i++)
		ret[i] = named[i].name;
	return count;
}

/* --- rows ------------------------------------------------------------------------------------ */

struct queue_limit {
	int64_t limit;
};

/* clang-format off */
#define COUNT RANGE(0, INT32_MAX)
#define LONG  RANGE(0, INT64_C(366) * DAY_MS)

static const struct schema queue_rate_schema = SCHEMA(queue_rate, "So many in so much time; 0: no bound.",
	FIELD(queue_rate, count, "How many.", COUNT, .example = "100"),
	FIELD(queue_rate, per_ms, "In how many milliseconds.", RANGE(0, DAY_MS), .if_missing = "1000"));

static const struct schema queue_keep_schema = SCHEMA(queue_keep, "How long jobs that have ended stay.",
	FIELD(queue_keep, ms, "In milliseconds.", LONG, .if_missing = "86400000"),
	FIELD(queue_keep, count, "At most so many of a tenant; 0: they go with their end.", COUNT, .if_missing = "1000"));

const struct schema queue_settings_schema = SCHEMA(queue_settings, "How a queue works. 0 is no bound.",
	FIELD(queue_settings, level, "Which queue goes first when there are more jobs than hands.",
		CHOICES("high", "medium", "low"), .if_missing = "medium"),
	FIELD(queue_settings, concurrency, "Running at once, of all instances and tenants.", COUNT),
	FIELD(queue_settings, concurrency_min, "Where the program begins before a backlog ages; 0: the same.", COUNT),
	FIELD(queue_settings, tenant_concurrency, "Running at once, of a tenant.", COUNT),
	FIELD(queue_settings, group_concurrency, "Running at once, of a group.", RANGE(1, 1000), .if_missing = "1"),
	FIELD(queue_settings, rate, "Starts of the queue.", .nested = &queue_rate_schema),
	FIELD(queue_settings, tenant_rate, "Starts of a tenant.", .nested = &queue_rate_schema),
	FIELD(queue_settings, group_rate, "Starts of a group.", .nested = &queue_rate_schema),
	FIELD(queue_settings, attempts, "Starts of a job that says nothing else.", RANGE(1, JOB_ATTEMPTS_MAX), .if_missing = "3"),
	FIELD(queue_settings, backoff, "Wait after a failed attempt.", .nested = &job_backoff_schema),
	FIELD(queue_settings, timeout_ms, "How long an attempt may take.", RANGE(1, JOB_TIMEOUT_MS_MAX), .if_missing = "300000"),
	FIELD(queue_settings, lease_ms, "Until a worker that says nothing is lost.", RANGE(1000, DAY_MS), .if_missing = "30000"),
	FIELD(queue_settings, backlog, "Jobs of a tenant that may wait.", COUNT, .if_missing = "100000"),
	FIELD(queue_settings, group_backlog, "Jobs of a group that may wait.", COUNT, .if_missing = "10000"),
	FIELD(queue_settings, backlog_age_ms, "Jobs are refused while the oldest ready one is older.", LONG),
	FIELD(queue_settings, on_discard, "What a discarded job does to its group.", CHOICES("continue", "halt"), .if_missing = "continue"),
	FIELD(queue_settings, completed, "How long completed jobs stay.", .nested = &queue_keep_schema),
	FIELD(queue_settings, discarded, "How long discarded jobs stay.", .nested = &queue_keep_schema),
	FIELD(queue_settings, cancelled, "How long cancelled jobs stay.", .nested = &queue_keep_schema),
	FIELD(queue_settings, alarm_depth, "Health says degraded when more jobs wait.", COUNT),
	FIELD(queue_settings, alarm_age_ms, "Or when the oldest ready one is older.", LONG),
	FIELD(queue_settings, alarm_running_ms, "Or when one runs longer.", LONG),
	FIELD(queue_settings, push_url, "Where jobs are sent instead of being leased; empty: nowhere.", RANGE(0, 2000)),
	FIELD(queue_settings, paused, "Whether nothing starts."));

static const struct schema queue_limit_schema = SCHEMA(queue_limit, "How many rows.",
	FIELD(queue_limit, limit, "At most."));

const struct schema queue_row_schema = SCHEMA(queue_row, "Settings of a queue where they are not the defaults.",
	FIELD(queue_row, name, "Which.", RANGE(1, JOB_QUEUE_MAX)),
	FIELD(queue_row, settings, "All of them.", RANGE(0, QUEUE_SETTINGS_BYTES)),
	FIELD(queue_row, paused, "Whether nothing starts."),
	FIELD(queue_row, version, "Grows by one on each change."),
	FIELD(queue_row, updated_at, "When it was changed last.", .format = FORMAT_DATE_TIME));
/* clang-format on */

static const struct statement queue_rows = STATEMENT("job_queue_rows",
	.sql = "SELECT name, settings, paused, version, updated_at FROM main.job_queue "
	       "ORDER BY name LIMIT :limit",
	.in = &queue_limit_schema, .out = &queue_row_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_queue_statements = JOB_STATEMENTS(&queue_rows);

/* --- in memory ------------------------------------------------------------------------------- */

struct known_queue {
	struct str name, text; /* of the row */
	struct queue_settings settings;
	uint64_t seen; /* the load that saw it last */
};

static struct {
	pthread_mutex_t lock; /* of all below but `stale` */
	struct known_queue *slots[QUEUE_SLOTS];
	size_t count;
	uint64_t loads;
	struct arena arena; /* of all that there ever was: others hold on to texts */
	atomic_bool stale;
	struct notice_listener listener;
} queues = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Its slot, or the empty one where it would be. */
static struct known_queue **slot_of(struct str name)
{
	size_t at = (size_t)hash_str(name) % QUEUE_SLOTS;

	while (queues.slots[at] && !str_eq(queues.slots[at]->name, name))
		at = (at + 1) % QUEUE_SLOTS;
	return &queues.slots[at];
}

void queue_settings(struct str queue, struct queue_settings *ret)
{
	const struct known_queue *known;

	pthread_mutex_lock(&queues.lock);
	known = queues.count ? *slot_of(queue) : NULL;
	if (known && known->seen == queues.loads)
		*ret = known->settings;
	else
		known = NULL;
	pthread_mutex_unlock(&queues.lock);
	if (!known)
		queue_preset(queue, ret);
}

int queue_settings_read(
	struct str name, struct str text, struct arena *arena, struct queue_settings *ret)
{
	struct problems problems;
	struct queue_settings settings;
	int r;

	problems_init(&problems, arena);
	r = schema_decode(&queue_settings_schema, SCHEMA_ALL, text, arena, &problems, &settings);
	if (r < 0)
		return err_wrap("settings of queue %.*s", STR_ARG(name));
	*ret = settings;
	return 0;
}

/* A new one, or with other settings than before. Texts stay as long as the module is open. */
static int learn(struct known_queue **slot, const struct queue_row *row)
{
	struct known_queue *known = *slot;
	int r;

	if (!known) {
		if (queues.count == QUEUES_MAX)
			return fail(ERR_FULL, "more than %d queues have settings", QUEUES_MAX);
		known = arena_new(&queues.arena, struct known_queue);
		if (!known)
			return -(int)err_last()->code;
		known->name = arena_str(&queues.arena, row->name);
		if (!known->name.at)
			return -(int)err_last()->code;
	}
	if (!str_eq(known->text, row->settings.json)) {
		struct str text = arena_str(&queues.arena, row->settings.json);

		if (!text.at)
			return -(int)err_last()->code;
		r = queue_settings_read(row->name, text, &queues.arena, &known->settings);
		if (r < 0)
			return r;
		known->text = text;
	}
	if (!*slot) {
		*slot = known;
		queues.count++;
	}
	return 0;
}

static void take_row(const struct queue_row *row)
{
	struct known_queue **slot = slot_of(row->name);

	if (learn(slot, row) < 0)
		log_error("a queue works with what it had before", LOG_STR("queue", row->name),
			LOG_STR("why", str_from_c(err_text())));
	if (!*slot)
		return;
	(*slot)->settings.paused = row->paused;
	(*slot)->seen = queues.loads;
}

int queues_load(struct store *store, struct arena *arena)
{
	const struct queue_limit all = { QUEUES_MAX };
	struct db db = db_of_system(store, arena);
	struct queue_row *rows;
	size_t count;
	int r;

	atomic_store(&queues.stale, false);
	r = db_all(&db, &queue_rows, &all, &rows, &count);
	if (r < 0) {
		atomic_store(&queues.stale, true);
		return r;
	}
	pthread_mutex_lock(&queues.lock);
	queues.loads++;
	for (size_t i = 0; i < count; i++)
		take_row(&rows[i]);
	pthread_mutex_unlock(&queues.lock);
	return 0;
}

int queues_refresh(struct store *store, struct arena *arena)
{
	return atomic_load(&queues.stale) ? queues_load(store, arena) : 0;
}

static void heard(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	(void)listener;
	(void)tenant;
	(void)key;
	atomic_store(&queues.stale, true);
}

int queues_open(struct store *store)
{
	int r = schema_compile(&queue_settings_schema);

	if (r < 0)
		return r;
	arena_init(&queues.arena, 16 * KILOBYTE, QUEUE_MEMORY);
	queues.listener = (struct notice_listener){ .topic = QUEUES_TOPIC, .heard = heard };
	atomic_store(&queues.stale, true);
	r = notice_listen(store, &queues.listener);
	if (r < 0)
		schema_release(&queue_settings_schema);
	return r;
}

void queues_close(struct store *store)
{
	notice_unlisten(store, &queues.listener);
	memset(queues.slots, 0, sizeof(queues.slots));
	queues.count = 0;
	arena_done(&queues.arena);
	schema_release(&queue_settings_schema);
}
