/* Rows about queues: what was counted, what came of their jobs lately, pauses, groups, workers. */
#include "modules/jobs/jobs_queues.h"

#include "base/err.h"
#include "modules/jobs/jobs_change.h"
#include "observe/clock.h"

/* --- what goes out ------------------------------------------------------------------------- */

/* clang-format off */
const struct schema queue_shown_schema = SCHEMA(queue_shown, "A queue and what is in it, as it was counted a moment ago.",
	FIELD(queue_shown, name, "Which.", .flags = REQUIRED, RANGE(1, JOB_QUEUE_MAX), .example = "email"),
	FIELD(queue_shown, level, "Which queue goes first when there are more jobs than hands.", .flags = REQUIRED,
		CHOICES("high", "medium", "low")),
	FIELD(queue_shown, paused, "Whether an operator has paused it.", .flags = REQUIRED),
	FIELD(queue_shown, paused_tenant, "Whether the tenant has, for itself.", .flags = REQUIRED),
	FIELD(queue_shown, ready, "Jobs that may start.", .flags = REQUIRED),
	FIELD(queue_shown, blocked, "Jobs behind others of their group.", .flags = REQUIRED),
	FIELD(queue_shown, scheduled, "Jobs whose time has not come.", .flags = REQUIRED),
	FIELD(queue_shown, retryable, "Jobs that have failed and come again.", .flags = REQUIRED),
	FIELD(queue_shown, waiting, "All of these.", .flags = REQUIRED),
	FIELD(queue_shown, running, "Jobs that run.", .flags = REQUIRED),
	FIELD(queue_shown, completed, "Jobs that went well and are still there.", .flags = REQUIRED),
	FIELD(queue_shown, discarded, "Jobs that were given up.", .flags = REQUIRED),
	FIELD(queue_shown, cancelled, "Jobs that were called off.", .flags = REQUIRED),
	FIELD(queue_shown, oldest_ready_ms, "How long the ready one has been due whose turn is next."),
	FIELD(queue_shown, longest_running_ms, "How long the one has been running that began first."),
	FIELD(queue_shown, per_minute, "Starts that ended, well or not, in a minute of the last five.", .flags = REQUIRED),
	FIELD(queue_shown, failure_rate, "How many of them failed, from 0 to 1."),
	FIELD(queue_shown, wait_ms, "From due to started, on average."),
	FIELD(queue_shown, duration_ms, "From started to ended, on average."));

const struct schema queue_page_schema = SCHEMA(queue_page, "Queues, by name.",
	LIST(queue_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &queue_shown_schema)));

const struct schema group_shown_schema = SCHEMA(group_shown, "Jobs of a queue that take turns.",
	FIELD(group_shown, key, "Which group.", .flags = REQUIRED, RANGE(1, JOB_KEY_MAX)),
	FIELD(group_shown, active, "Seats that are taken.", .flags = REQUIRED),
	FIELD(group_shown, waiting, "Jobs that wait for one.", .flags = REQUIRED),
	FIELD(group_shown, halted, "Whether nobody gets one.", .flags = REQUIRED));

const struct schema group_query_schema = SCHEMA(group_query, "Which groups.",
	FIELD(group_query, name, "Of which queue.", .from = FROM_PATH, RANGE(1, JOB_QUEUE_MAX)),
	FIELD(group_query, halted, "Only those that are halted.", .from = FROM_QUERY, .if_missing = "true"),
	PAGE_FIELDS(group_query));

const struct schema group_page_schema = SCHEMA(group_page, "Groups, by key.",
	LIST(group_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &group_shown_schema)));

const struct schema worker_shown_schema = SCHEMA(worker_shown, "Somebody who takes jobs.",
	FIELD(worker_shown, tenant_id, "Whose; for operators.", .format = FORMAT_UUID),
	FIELD(worker_shown, id, "Of the lease.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(worker_shown, kind, "An instance of the program, a session of a worker, or a single call of one.",
		.flags = REQUIRED, CHOICES("program", "session", "call")),
	FIELD(worker_shown, worker, "Its own name.", .flags = REQUIRED),
	FIELD(worker_shown, queue, "Where it takes them, if from one queue only."),
	FIELD(worker_shown, began_at, "Since when.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(worker_shown, seen_at, "When it was heard of last.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(worker_shown, running, "Jobs that it has.", .flags = REQUIRED),
	FIELD(worker_shown, longest_running_ms, "How long it has had the first of them."));

const struct schema worker_page_schema = SCHEMA(worker_page, "Workers, by the beginning of their leases.",
	LIST(worker_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &worker_shown_schema)));
/* clang-format on */

/* --- statements ------------------------------------------------------------------------- */

struct queues_search {
	struct str of, after;
	struct opt_str only;
	int64_t since, limit;
};

/* Of a queue, as the tables have it. */
struct queue_sums {
	struct str name;
	bool paused_tenant;
	int64_t ready, blocked, scheduled, retryable, waiting, running;
	int64_t completed, discarded, cancelled;
	struct opt_i64 oldest_at, running_at;
	int64_t started, went_well, failed, waited_us, ran_us;
};

struct queue_ref {
	struct str queue;
};

struct workers_search {
	struct str after_id, queues;
	int64_t limit;
};

struct tenant_next {
	struct str queue, tenant_id;
};

/* clang-format off */
static const struct schema queues_search_schema = SCHEMA(queues_search, "Which queues.",
	FIELD(queues_search, of, "Whose.", .format = FORMAT_UUID),
	FIELD(queues_search, after, "Behind this name."),
	FIELD(queues_search, only, "Only this one."),
	FIELD(queues_search, since, "Tallies from this minute on."),
	FIELD(queues_search, limit, "How many."));

static const struct schema queue_sums_schema = SCHEMA(queue_sums, "What is in a queue.",
	FIELD(queue_sums, name, "Which."),
	FIELD(queue_sums, paused_tenant, "By the tenant."),
	FIELD(queue_sums, ready, "Jobs."),
	FIELD(queue_sums, blocked, "Jobs."),
	FIELD(queue_sums, scheduled, "Jobs."),
	FIELD(queue_sums, retryable, "Jobs."),
	FIELD(queue_sums, waiting, "Jobs."),
	FIELD(queue_sums, running, "Jobs."),
	FIELD(queue_sums, completed, "Jobs."),
	FIELD(queue_sums, discarded, "Jobs."),
	FIELD(queue_sums, cancelled, "Jobs."),
	FIELD(queue_sums, oldest_at, "Since when the next one waits.", .format = FORMAT_DATE_TIME),
	FIELD(queue_sums, running_at, "When the first start was.", .format = FORMAT_DATE_TIME),
	FIELD(queue_sums, started, "Starts."),
	FIELD(queue_sums, went_well, "Ends."),
	FIELD(queue_sums, failed, "Ends."),
	FIELD(queue_sums, waited_us, "In all."),
	FIELD(queue_sums, ran_us, "In all."));

static const struct schema queue_ref_schema = SCHEMA(queue_ref, "A queue.",
	FIELD(queue_ref, queue, "Which."));

static const struct schema groups_search_schema = SCHEMA(group_query, "Which groups.",
	FIELD(group_query, name, "Of which queue."),
	FIELD(group_query, limit, "How many."),
	FIELD(group_query, after_key, "Behind this one."));

static const struct schema workers_search_schema = SCHEMA(workers_search, "Which workers.",
	FIELD(workers_search, after_id, "Behind this one.", .format = FORMAT_UUID),
	FIELD(workers_search, queues, "Where something runs.", RANGE(0, 1000000)),
	FIELD(workers_search, limit, "How many."));

static const struct schema tenant_next_schema = SCHEMA(tenant_next, "Who has jobs in a queue.",
	FIELD(tenant_next, queue, "Which queue."),
	FIELD(tenant_next, tenant_id, "Who.", .format = FORMAT_UUID));
/* clang-format on */

#define NAMES(names, which)                                                                        \
	"(SELECT u.name FROM (" names " UNION SELECT name FROM main.job_queue) AS u "              \
	"WHERE u.name > :after AND (u.name = :only OR :only IS NULL) " which                       \
	"ORDER BY u.name LIMIT :limit + 1) AS n"

#define SUM(column) "CAST(coalesce(d." #column ", 0) AS bigint) AS " #column

/* clang-format off */
#define DEPTHS                                                                                     \
	SUM(ready) ", " SUM(blocked) ", " SUM(scheduled) ", " SUM(retryable) ", " SUM(waiting) ", " \
	SUM(running) ", " SUM(completed) ", " SUM(discarded) ", " SUM(cancelled) ", "              \
	"d.oldest_at, d.running_at, "
/* clang-format on */

#define LATELY(of)                                                                                 \
	"(SELECT queue, sum(started) AS started, sum(completed) AS went_well, "                    \
	"sum(failed) AS failed, sum(waited_us) AS waited_us, sum(ran_us) AS ran_us "               \
	"FROM main.job_tally WHERE " of "minute >= :since GROUP BY queue) AS t"

#define TALLIES                                                                                    \
	"CAST(coalesce(t.started, 0) AS bigint) AS started, "                                      \
	"CAST(coalesce(t.went_well, 0) AS bigint) AS went_well, "                                  \
	"CAST(coalesce(t.failed, 0) AS bigint) AS failed, "                                        \
	"CAST(coalesce(t.waited_us, 0) AS bigint) AS waited_us, "                                  \
	"CAST(coalesce(t.ran_us, 0) AS bigint) AS ran_us "

/* What the installation itself does for a tenant is not told to the tenant. */
#define OWN "AND u.name NOT LIKE '" QUEUE_RESERVED "%' "

/* clang-format off */
#define OF_TENANT                                                                                  \
	"SELECT queue AS name FROM main.job_depth WHERE tenant_id = :of "                          \
	"UNION SELECT queue FROM main.job_pause WHERE tenant_id = :of"

static const struct statement queues_of_tenant = STATEMENT("job_queues_of_tenant",
	.sql = "SELECT n.name, " DEPTHS TALLIES ", p.queue IS NOT NULL AS paused_tenant FROM " NAMES(OF_TENANT, OWN)
		" LEFT JOIN main.job_depth AS d ON d.tenant_id = :of AND d.queue = n.name "
		"LEFT JOIN main.job_pause AS p ON p.tenant_id = :of AND p.queue = n.name "
		"LEFT JOIN " LATELY("tenant_id = :of AND ") " ON t.queue = n.name ORDER BY n.name",
	.in = &queues_search_schema, .out = &queue_sums_schema, .flags = STATEMENT_SYSTEM);

static const struct statement queues_of_all = STATEMENT("job_queues_of_all",
	.sql = "SELECT n.name, " DEPTHS TALLIES " FROM " NAMES("SELECT queue AS name FROM main.job_depth", "")
		" LEFT JOIN (SELECT queue, sum(ready) AS ready, sum(blocked) AS blocked, "
		"sum(scheduled) AS scheduled, sum(retryable) AS retryable, sum(waiting) AS waiting, "
		"sum(running) AS running, sum(completed) AS completed, sum(discarded) AS discarded, "
		"sum(cancelled) AS cancelled, min(oldest_at) AS oldest_at, "
		"min(running_at) AS running_at FROM main.job_depth GROUP BY queue) AS d "
		"ON d.queue = n.name LEFT JOIN " LATELY("") " ON t.queue = n.name ORDER BY n.name",
	.in = &queues_search_schema, .out = &queue_sums_schema, .flags = STATEMENT_SYSTEM);
/* clang-format on */

static const struct statement pause_add = STATEMENT("job_pause_add",
	.sql = "INSERT INTO main.job_pause (tenant_id, queue, at) VALUES (:tenant, :queue, :now) "
	       "ON CONFLICT (tenant_id, queue) DO NOTHING",
	.in = &queue_ref_schema);

static const struct statement pause_end = STATEMENT("job_pause_end",
	.sql = "DELETE FROM main.job_pause WHERE tenant_id = :tenant AND queue = :queue",
	.in = &queue_ref_schema);

#define GROUPS(name_, only)                                                                        \
	STATEMENT(name_,                                                                           \
		.sql = "SELECT key, active, waiting, halted FROM job_group "                       \
		       "WHERE tenant_id = :tenant AND queue = :name AND key > :after_key" only     \
		       " ORDER BY key LIMIT :limit + 1",                                           \
		.in = &groups_search_schema, .out = &group_shown_schema)

const struct statement job_groups_all = GROUPS("job_groups_all", "");
const struct statement job_groups_halted = GROUPS("job_groups_halted", " AND halted");

#define WORKER                                                                                     \
	"l.id, l.kind, l.worker, l.queue, l.began_at, l.seen_at, "                                 \
	"coalesce(r.running, 0) AS running, (:now - r.since) / 1000 AS longest_running_ms"

/* What each lease has, by the index of what runs. */
#define HELD(job, of)                                                                              \
	" LEFT JOIN (SELECT j.lease_id, count(*) AS running, min(j.started_at) AS since FROM " job \
	" AS j WHERE " of "j.state = 'running' AND j.queue IN (SELECT q.value FROM "

#define HELD_END " GROUP BY j.lease_id) AS r ON r.lease_id = l.id ORDER BY l.id"

#define IN_SQLITE   "json_each(:queues) AS q)"
#define IN_POSTGRES "json_array_elements_text(CAST(CAST(:queues AS text) AS json)) AS q (value))"

#define LEASES_OF_TENANT                                                                           \
	"SELECT " WORKER " FROM (SELECT id, kind, worker, queue, began_at, seen_at "               \
	"FROM job_lease WHERE tenant_id = :tenant AND id > :after_id ORDER BY id "                 \
	"LIMIT :limit + 1) AS l"

#define WORKERS_OF_TENANT LEASES_OF_TENANT HELD("job", "j.tenant_id = :tenant AND ")

/* As lists of what runs: in an order that the primary key has not. */
#define WORKERS_OF_TENANT_SQLITE                                                                   \
	LEASES_OF_TENANT                                                                           \
	" LEFT JOIN (SELECT j.lease_id, count(*) AS running, min(j.started_at) AS since "          \
	"FROM job AS j WHERE j.tenant_id = :tenant AND j.id IN (SELECT x.id FROM job AS x "        \
	"WHERE x.tenant_id = :tenant AND x.state = 'running' AND x.queue IN (SELECT q.value "      \
	"FROM " IN_SQLITE " ORDER BY +x.id LIMIT 1000000000)" HELD_END

#define WORKERS_OF_ALL                                                                             \
	"SELECT l.tenant_id, " WORKER " FROM (SELECT tenant_id, id, kind, worker, queue, "         \
	"began_at, seen_at FROM main.job_lease WHERE id > :after_id ORDER BY id "                  \
	"LIMIT :limit + 1) AS l" HELD("main.job", "")

static const struct statement workers_of_tenant = STATEMENT("job_workers_of_tenant",
	.sqlite = WORKERS_OF_TENANT_SQLITE, .postgres = WORKERS_OF_TENANT IN_POSTGRES HELD_END,
	.in = &workers_search_schema, .out = &worker_shown_schema);

static const struct statement workers_of_all =
	STATEMENT("job_workers_of_all", .sqlite = WORKERS_OF_ALL IN_SQLITE HELD_END,
		.postgres = WORKERS_OF_ALL IN_POSTGRES HELD_END, .in = &workers_search_schema,
		.out = &worker_shown_schema, .flags = STATEMENT_SYSTEM);

static const struct statement waiting_next = STATEMENT("job_waiting_next",
	.sql = "SELECT queue, tenant_id FROM main.job_depth WHERE queue = :queue "
	       "AND tenant_id > :tenant_id AND waiting > 0 ORDER BY tenant_id LIMIT 1",
	.in = &tenant_next_schema, .out = &tenant_next_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_queues_statements =
	JOB_STATEMENTS(&queues_of_tenant, &queues_of_all, &pause_add, &pause_end, &job_groups_all,
		&job_groups_halted, &workers_of_tenant, &workers_of_all, &waiting_next);

/* --- queues --------------------------------------------------------------------------------- */

static struct opt_i64 some(bool set, int64_t value)
{
	return (struct opt_i64){ .set = set, .value = set ? value : 0 };
}

static struct opt_i64 age(struct opt_i64 since, int64_t now_us)
{
	return some(since.set, MAX(now_us - since.value, 0) / 1000);
}

static struct queue_shown shown_of(const struct queue_sums *sums, int64_t now_us, double minutes)
{
	int64_t ended = sums->went_well + sums->failed;
	struct queue_settings settings;
	struct queue_shown shown = {
		.name = sums->name,
		.paused_tenant = sums->paused_tenant,
		.ready = sums->ready,
		.blocked = sums->blocked,
		.scheduled = sums->scheduled,
		.retryable = sums->retryable,
		.waiting = sums->waiting,
		.running = sums->running,
		.completed = sums->completed,
		.discarded = sums->discarded,
		.cancelled = sums->cancelled,
		.oldest_ready_ms = age(sums->oldest_at, now_us),
		.longest_running_ms = age(sums->running_at, now_us),
		.per_minute = (double)ended / minutes,
		.wait_ms = some(
			sums->started, sums->started ? sums->waited_us / sums->started / 1000 : 0),
		.duration_ms = some(ended, ended ? sums->ran_us / ended / 1000 : 0),
	};

	queue_settings(sums->name, &settings);
	shown.level = settings.level;
	shown.paused = settings.paused;
	shown.failure_rate.set = ended > 0;
	if (ended)
		shown.failure_rate.value = (double)sums->failed / (double)ended;
	return shown;
}

int queues_show(const struct db *system, const struct queues_ask *ask, struct queue_shown **ret,
	size_t *ret_count)
{
	const int64_t minute_us = (int64_t)(MINUTE / MICROSECOND);
	int64_t now = clock_wall_us();
	double minutes = JOBS_RATE_MINUTES + (double)(now % minute_us) / (double)minute_us;
	struct queues_search search = {
		.of = uuid_text(system->arena, ask->tenant ? ask->tenant : &tenant_system),
		.after = ask->after,
		.only = { .set = ask->only.len > 0, .value = ask->only },
		.since = now / minute_us - JOBS_RATE_MINUTES,
		.limit = ask->limit,
	};
	struct queue_shown *shown;
	struct queue_sums *sums;
	size_t count;
	int r;

	if (!search.of.at)
		return -(int)err_last()->code;
	r = db_all(
		system, ask->tenant ? &queues_of_tenant : &queues_of_all, &search, &sums, &count);
	if (r < 0)
		return r;
	shown = arena_zalloc(system->arena, (count + 1) * sizeof(*shown));
	if (!shown)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++)
		shown[i] = shown_of(&sums[i], now, minutes);
	*ret = shown;
	*ret_count = count;
	return 0;
}

int queue_pause_in_tx(struct tx *tx, struct str queue, bool paused)
{
	const struct queue_ref ref = { queue };
	int r = tx_exec(tx, paused ? &pause_add : &pause_end, &ref);

	return r < 0 || paused ? r : bell_ring_after(tx, bell_of(queue));
}

/* --- draining ------------------------------------------------------------------------------- */

struct drain {
	struct store *store;
	struct str queue;
	const struct audit_actor *actor;
	bool later;
	struct jobs_changed *ret;
};

/* One state of one tenant after the other, until a call's share is done. */
static int drain_tenant(const struct drain *drain, struct arena *arena, const struct uuid *tenant)
{
	static const enum job_state states[] = { JOB_AVAILABLE, JOB_SCHEDULED, JOB_RETRYABLE };
	struct jobs_change_all all = { .change = JOB_CANCEL };
	int r = 0;

	all.filter.queue = (struct opt_str){ .set = true, .value = drain->queue };
	all.filter.reserved = true; /* whose queue it is was minded before */
	for (size_t i = 0; i < (drain->later ? LEN(states) : 1) && r == 0; i++) {
		struct jobs_changed done = { 0 };

		if (drain->ret->count >= JOBS_CALL_MAX) {
			drain->ret->more = true;
			break;
		}
		all.filter.state = (struct opt_int){ .set = true, .value = (int)states[i] };
		all.most = (size_t)(JOBS_CALL_MAX - drain->ret->count);
		r = jobs_change_all(drain->store, arena, tenant, drain->actor, &all, &done);
		drain->ret->count += done.count;
		drain->ret->skipped += done.skipped;
		drain->ret->more = drain->ret->more || done.more;
	}
	return r;
}

static int drain_all(const struct drain *drain, struct arena *arena)
{
	struct db db = db_of_system(drain->store, arena);
	char id[UUID_TEXT_LEN] = UUID_FIRST;
	struct tenant_next at = { drain->queue, str_of(id, sizeof(id)) }, next;
	int r = 0;

	while (r == 0 && !drain->ret->more) {
		struct arena_mark mark = arena_mark(arena);
		struct uuid tenant;

		r = db_one(&db, &waiting_next, &at, &next);
		if (r == 0) {
			memcpy(id, next.tenant_id.at, sizeof(id));
			CHECK(uuid_parse(at.tenant_id, &tenant));
			r = drain_tenant(drain, arena, &tenant);
		}
		arena_back(arena, mark);
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int queue_drain(struct store *store, struct arena *arena, const struct uuid *tenant,
	struct str queue, bool later, const struct audit_actor *actor, struct jobs_changed *ret)
{
	struct jobs_changed done = { 0 };
	const struct drain drain = { store, queue, actor, later, &done };
	int r = tenant ? drain_tenant(&drain, arena, tenant) : drain_all(&drain, arena);

	done.next_id = (struct opt_str){ 0 };
	if (r == 0)
		*ret = done;
	return r;
}

/* --- workers ------------------------------------------------------------------------------------
 */

struct workers {
	struct workers_search search;
	const struct uuid *tenant;
	struct worker_shown *at;
	size_t count;
};

static int workers_in_tx(struct tx *tx, void *arg)
{
	struct workers *workers = arg;
	int r = jobs_running_queues_in_tx(tx, &workers->search.queues);

	if (r == 0 && !workers->tenant)
		return tx_all(tx, &workers_of_all, &workers->search, &workers->at, &workers->count);
	if (r == 0)
		r = tx_enter(tx, workers->tenant);
	if (r == 0)
		r = tx_all(tx, &workers_of_tenant, &workers->search, &workers->at, &workers->count);
	return r < 0 ? r : tx_leave(tx);
}

int workers_show(const struct db *system, const struct uuid *tenant, struct str after_id,
	int64_t limit, struct worker_shown **ret, size_t *ret_count)
{
	struct workers workers = {
		.search = { .after_id = after_id, .limit = limit },
		.tenant = tenant,
	};
	int r = db_read(system, workers_in_tx, &workers);

	if (r < 0)
		return r;
	*ret = workers.at;
	*ret_count = workers.count;
	return 0;
}
