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
	QUEUE_MEMORY =
		16 * MEGABYTE, /* of all addresses and lists that there were since the start */
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
	.sql = "SELECT " QUEUE_ROW_COLUMNS " FROM main.job_queue "
	       "ORDER BY name LIMIT :limit",
	.in = &queue_limit_schema, .out = &queue_row_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_queue_statements = JOB_STATEMENTS(&queue_rows);

/* --- in memory ------------------------------------------------------------------------------- */

struct known_queue {
	char name[JOB_QUEUE_MAX];
	uint8_t name_len;
	struct queue_settings settings;
};

/* Bytes that settings point to, once for all who do. */
struct kept {
	struct kept *next;
	struct str bytes;
};

/* Rows of one load. */
struct known_queues {
	struct known_queue at[QUEUES_MAX];
	size_t count;
	uint16_t slots[QUEUE_SLOTS]; /* number + 1, or 0 */
};

static struct {
	pthread_mutex_t lock; /* of all below but `stale` */
	struct known_queues *now;
	struct arena arena; /* of what is kept: others hold on to it */
	struct kept *kept;
	atomic_bool stale;
	struct notice_listener listener;
} queues = { .lock = PTHREAD_MUTEX_INITIALIZER };

_Static_assert(QUEUES_MAX < UINT16_MAX, "fits");

/* Where it is, or the empty place where it would be. */
static uint16_t *slot_of(struct known_queues *known, struct str name)
{
	size_t at = (size_t)hash_str(name) % QUEUE_SLOTS;

	while (known->slots[at]) {
		const struct known_queue *queue = &known->at[known->slots[at] - 1];

		if (str_eq(str_of(queue->name, queue->name_len), name))
			break;
		at = (at + 1) % QUEUE_SLOTS;
	}
	return &known->slots[at];
}

/* NULL when it has no row. */
static const struct known_queue *find(struct known_queues *known, struct str name)
{
	uint16_t slot = known && known->count ? *slot_of(known, name) : 0;

	return slot ? &known->at[slot - 1] : NULL;
}

void queue_settings(struct str queue, struct queue_settings *ret)
{
	const struct known_queue *known;

	pthread_mutex_lock(&queues.lock);
	known = find(queues.now, queue);
	if (known)
		*ret = known->settings;
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

/* The same bytes, for as long as the module is open; they may have been kept before. */
static int keep(struct str *bytes)
{
	struct kept *kept = queues.kept;

	if (bytes->len == 0)
		return 0;
	while (kept && !str_eq(kept->bytes, *bytes))
		kept = kept->next;
	if (!kept) {
		void *copy = arena_alloc(&queues.arena, bytes->len); /* aligned for lists */

		kept = copy ? arena_new(&queues.arena, struct kept) : NULL;
		if (!kept)
			return -(int)err_last()->code;
		memcpy(copy, bytes->at, bytes->len);
		*kept = (struct kept){ queues.kept, str_of(copy, bytes->len) };
		queues.kept = kept;
	}
	*bytes = kept->bytes;
	return 0;
}

/* What the settings point to becomes what is kept. */
static int keep_all(struct queue_settings *settings)
{
	struct job_backoff *backoff = &settings->backoff;
	struct str list = str_of((const char *)backoff->list_ms.at,
		backoff->list_ms.count * sizeof(*backoff->list_ms.at));
	int r = keep(&settings->push_url);

	if (r == 0)
		r = keep(&list);
	if (r == 0 && list.len)
		backoff->list_ms.at = (void *)list.at;
	return r;
}

/* What a row says, or if that cannot be read what the queue had before. */
static int learn(const struct queue_row *row, struct arena *arena, struct queue_settings *ret)
{
	const struct known_queue *had;
	int r = queue_settings_read(row->name, row->settings.json, arena, ret);

	pthread_mutex_lock(&queues.lock);
	if (r == 0)
		r = keep_all(ret);
	had = r < 0 ? find(queues.now, row->name) : NULL;
	if (had)
		*ret = had->settings;
	pthread_mutex_unlock(&queues.lock);
	if (r < 0)
		log_error("a queue works with what it had before", LOG_STR("queue", row->name),
			LOG_STR("why", str_from_c(err_text())));
	ret->paused = row->paused;
	return r == 0 || had ? 0 : r;
}

static void add(struct known_queues *known, const struct queue_row *row, struct arena *arena)
{
	struct known_queue *queue = &known->at[known->count];

	if (row->name.len > sizeof(queue->name) || learn(row, arena, &queue->settings) < 0)
		return;
	memcpy(queue->name, row->name.at, row->name.len);
	queue->name_len = (uint8_t)row->name.len;
	known->count++;
	*slot_of(known, row->name) = (uint16_t)known->count;
}

int queues_load(struct store *store, struct arena *arena)
{
	const struct queue_limit all = { QUEUES_MAX };
	struct db db = db_of_system(store, arena);
	struct known_queues *known = mem_zalloc(sizeof(*known)), *had;
	struct queue_row *rows;
	size_t count;
	int r;

	if (!known)
		return fail(ERR_NO_MEMORY, "no memory for settings of queues");
	atomic_store(&queues.stale, false);
	r = db_all(&db, &queue_rows, &all, &rows, &count);
	if (r < 0) {
		atomic_store(&queues.stale, true);
		mem_free(known, sizeof(*known));
		return r;
	}
	for (size_t i = 0; i < count; i++) {
		struct arena_mark mark = arena_mark(arena);

		add(known, &rows[i], arena);
		arena_back(arena, mark);
	}
	pthread_mutex_lock(&queues.lock);
	had = queues.now;
	queues.now = known;
	pthread_mutex_unlock(&queues.lock);
	mem_free(had, sizeof(*had));
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
	mem_free(queues.now, sizeof(*queues.now));
	queues.now = NULL;
	queues.kept = NULL;
	arena_done(&queues.arena);
	schema_release(&queue_settings_schema);
}
