/*
 * Finding jobs. Each kind of question has a statement for which there is an index, and every one
 * looks at a bounded number of rows: the filters are applied to a window of the index, and where
 * the window ends a page ends, too, however few jobs it holds.
 */
#include "modules/jobs/jobs_admin.h"

#include "base/err.h"
#include "json/writer.h"

enum { RUNNING_QUEUES_MAX = 1000 };

/* Clocks of instances differ, and ids of one thread do not go back with its clock. */
#define CLOCKS_DIFFER INT64_C(60000000)

/* What the statements get. */
struct job_search {
	struct job_filter filter;
	struct str after_id, first_id; /* below the one, not below the other */
	struct str queues;             /* JSON, of what runs */
	int64_t limit, look;
};

struct job_edge {
	struct str id;
};

struct queue_name {
	struct str queue;
};

struct job_of {
	struct str id;
	int64_t limit;
};

/* clang-format off */
static const struct schema search_schema = SCHEMA(job_search, "Which jobs.",
	FIELD(job_filter, queue, "Of that queue."),
	FIELD(job_filter, name, "Of that name."),
	FIELD(job_filter, tag, "With that tag."),
	FIELD(job_filter, group_key, "Of that group."),
	FIELD(job_filter, unique_key, "With that key."),
	FIELD(job_filter, state, "In that state.", .choices = job_state_names),
	FIELD(job_filter, created_after, "Added since then.", .format = FORMAT_DATE_TIME),
	FIELD(job_filter, created_before, "Added before then.", .format = FORMAT_DATE_TIME),
	FIELD(job_filter, ended_before, "Ended before then.", .format = FORMAT_DATE_TIME),
	FIELD(job_filter, reserved, "Also of queues of the installation's own."),
	FIELD(job_search, after_id, "Older than this one.", .format = FORMAT_UUID),
	FIELD(job_search, first_id, "Not older than this one.", .format = FORMAT_UUID),
	FIELD(job_search, queues, "Where something runs.", RANGE(0, 1000000)),
	FIELD(job_search, limit, "How many."),
	FIELD(job_search, look, "Out of how many."));

static const struct schema edge_schema = SCHEMA(job_edge, "Where a window ends.",
	FIELD(job_edge, id, "The last one in it.", .format = FORMAT_UUID));

static const struct schema queue_name_schema = SCHEMA(queue_name, "A queue.",
	FIELD(queue_name, queue, "Its name."));

static const struct schema job_of_schema = SCHEMA(job_of, "What belongs to a job.",
	FIELD(job_of, id, "Which.", .format = FORMAT_UUID),
	FIELD(job_of, limit, "At most."));

static const struct schema lines_search_schema = SCHEMA(job_lines_query, "Lines of a job.",
	FIELD(job_lines_query, id, "Which job.", .format = FORMAT_UUID),
	FIELD(job_lines_query, limit, "How many."),
	FIELD(job_lines_query, after_id, "Behind this one.", .format = FORMAT_UUID));
/* clang-format on */

_Static_assert(offsetof(struct job_search, filter) == 0, "its fields are those of the filter");

/* --- lists ---------------------------------------------------------------------------------- */

/* All columns of struct job_item, and what they are made of. */
#define SOURCE                                                                                     \
	"id, queue, name, state, priority, run_at, attempt, uncounted, attempts, backoff, "        \
	"timeout_us, "                                                                             \
	"unique_key, group_key, blocked, tags, trace, worker, cancelling, progress, "              \
	"progress_note, created_at, started_at, ended_at"

#define ITEM                                                                                       \
	"j.id, j.queue, j.name, j.state, j.priority, "                                             \
	"CASE WHEN j.run_at < 9000000000000000000 THEN j.run_at END AS run_at, "                   \
	"j.attempt - j.uncounted AS attempt, "                                                     \
	"j.attempts, j.backoff, j.timeout_us / 1000 AS timeout_ms, j.unique_key, j.group_key, "    \
	"j.blocked, j.tags, j.trace AS traceparent, j.worker, j.cancelling, j.progress, "          \
	"j.progress_note, j.created_at, j.started_at, j.ended_at, "                                \
	"CASE WHEN j.state = 'running' THEN (:now - j.started_at) / 1000 END AS running_ms"

#define MAYBE(column) " AND (j." #column " = :" #column " OR :" #column " IS NULL)"

#define FILTERS                                                                                    \
	" WHERE 1 = 1" MAYBE(queue) MAYBE(name) MAYBE(group_key) MAYBE(unique_key)                 \
		MAYBE(state) " AND (j.created_at >= :created_after OR :created_after IS NULL)"     \
			     " AND (j.created_at < :created_before OR :created_before IS NULL)"    \
			     " AND (j.ended_at < :ended_before OR :ended_before IS NULL)"          \
			     " AND (:reserved OR j.queue NOT LIKE '" QUEUE_RESERVED "%')"

#define WITH_TAG_SQLITE                                                                            \
	" AND (EXISTS (SELECT 1 FROM json_each(j.tags) AS t WHERE t.value = :tag) OR :tag IS "     \
	"NULL)"
#define WITH_TAG_POSTGRES                                                                          \
	" AND (EXISTS (SELECT 1 FROM json_array_elements_text(CAST(j.tags AS json)) AS t (value) " \
	"WHERE t.value = :tag) OR :tag IS NULL)"

#define BETWEEN_IDS "id < :after_id AND id >= :first_id"

#define WINDOW(columns, driver)                                                                    \
	"SELECT " columns " FROM job WHERE tenant_id = :tenant" driver " ORDER BY id DESC "

#define LIST_TEXT(driver, tag)                                                                     \
	"SELECT " ITEM " FROM (" WINDOW(SOURCE, driver) "LIMIT :look) AS j" FILTERS tag            \
							" ORDER BY j.id DESC LIMIT :limit + 1"

/* `driver` is what the statement is for: it has an index of its own. */
#define LIST_STATEMENT(name_, on_sqlite, on_postgres)                                              \
	STATEMENT("job_list_" name_, .sqlite = LIST_TEXT(on_sqlite, WITH_TAG_SQLITE),              \
		.postgres = LIST_TEXT(on_postgres, WITH_TAG_POSTGRES), .in = &search_schema,       \
		.out = &job_item_schema)

/* The last row of the window; none when it is not full. */
#define EDGE_STATEMENT(name_, on_sqlite, on_postgres)                                              \
	STATEMENT("job_edge_" name_, .sqlite = WINDOW("id", on_sqlite) "LIMIT 1 OFFSET :look - 1", \
		.postgres = WINDOW("id", on_postgres) "LIMIT 1 OFFSET :look - 1",                  \
		.in = &search_schema, .out = &edge_schema)

#define ALL " AND " BETWEEN_IDS
#define ASIDE                                                                                      \
	ALL " AND state = :state AND state <> 'available' AND state <> 'running' AND state <> "    \
	    "'completed'"
#define BY_KEY ALL " AND unique_key = :unique_key AND unique_key IS NOT NULL"
/* What runs is found by its index, in an order that the primary key has not; or SQLite would read
 * all of the tenant's jobs. */
#define RUNNING_SQLITE                                                                             \
	" AND id IN (SELECT r.id FROM job AS r WHERE r.tenant_id = :tenant "                       \
	"AND r.id < :after_id AND r.id >= :first_id AND r.state = 'running' "                      \
	"AND r.queue IN (SELECT q.value FROM json_each(:queues) AS q) "                            \
	"ORDER BY +r.id DESC LIMIT :look)"
#define RUNNING_POSTGRES                                                                           \
	ALL " AND state = 'running' AND queue IN (SELECT q.value FROM "                            \
	    "json_array_elements_text(CAST(CAST(:queues AS text) AS json)) AS q (value))"

enum job_list { LIST_ALL, LIST_KEY, LIST_RUNNING, LIST_ASIDE, LISTS };

static const struct statement lists[LISTS] = {
	[LIST_ALL] = LIST_STATEMENT("all", ALL, ALL),
	[LIST_KEY] = LIST_STATEMENT("key", BY_KEY, BY_KEY),
	[LIST_RUNNING] = LIST_STATEMENT("running", RUNNING_SQLITE, RUNNING_POSTGRES),
	[LIST_ASIDE] = LIST_STATEMENT("aside", ASIDE, ASIDE),
};

static const struct statement edges[LISTS] = {
	[LIST_ALL] = EDGE_STATEMENT("all", ALL, ALL),
	[LIST_KEY] = EDGE_STATEMENT("key", BY_KEY, BY_KEY),
	[LIST_RUNNING] = EDGE_STATEMENT("running", RUNNING_SQLITE, RUNNING_POSTGRES),
	[LIST_ASIDE] = EDGE_STATEMENT("aside", ASIDE, ASIDE),
};

static enum job_list list_of(const struct job_filter *filter)
{
	if (filter->unique_key.set)
		return LIST_KEY;
	if (!filter->state.set)
		return LIST_ALL;
	switch ((enum job_state)filter->state.value) {
	case JOB_RUNNING: return LIST_RUNNING;
	case JOB_SCHEDULED:
	case JOB_RETRYABLE:
	case JOB_DISCARDED:
	case JOB_CANCELLED: return LIST_ASIDE;
	case JOB_AVAILABLE:
	case JOB_COMPLETED:
	case JOB_STATES: break;
	}
	return LIST_ALL;
}

/* --- what runs -------------------------------------------------------------------------------- */

/* From one queue to the next, whatever is between. */
static const struct statement running_queues = STATEMENT("job_running_queues",
	.sql = "WITH RECURSIVE q (queue) AS (SELECT f.queue FROM (SELECT queue FROM main.job "
	       "WHERE state = 'running' ORDER BY queue LIMIT 1) AS f UNION ALL "
	       "SELECT (SELECT j.queue FROM main.job AS j WHERE j.state = 'running' "
	       "AND j.queue > q.queue ORDER BY j.queue LIMIT 1) FROM q WHERE q.queue IS NOT NULL) "
	       "SELECT queue FROM q WHERE queue IS NOT NULL LIMIT :limit",
	.in = &job_of_schema, .out = &queue_name_schema, .flags = STATEMENT_SYSTEM);

int jobs_running_queues_in_tx(struct tx *tx, struct str *ret)
{
	static const struct job_of some = { .limit = RUNNING_QUEUES_MAX };
	struct queue_name *names;
	struct json_writer json;
	struct buf text;
	size_t count;
	int r = tx_all(tx, &running_queues, &some, &names, &count);

	if (r < 0)
		return r;
	buf_init(&text, RUNNING_QUEUES_MAX * (JOB_QUEUE_MAX + 4));
	json_writer_init(&json, &text);
	json_write_array(&json);
	for (size_t i = 0; i < count; i++)
		json_write_string(&json, names[i].queue);
	json_write_array_end(&json);
	r = json_writer_done(&json);
	if (r == 0) {
		*ret = arena_str(tx_arena(tx), buf_str(&text));
		r = ret->at ? 0 : -(int)err_last()->code;
	}
	buf_done(&text);
	return r;
}

/* --- finding ---------------------------------------------------------------------------------- */

/* The first id of a moment. */
static int id_at(struct arena *arena, int64_t time_us, struct str *ret)
{
	uint64_t time = (uint64_t)MAX(time_us, 0) / 1000;
	struct uuid id = { { 0 } };

	for (size_t i = 0; i < 6; i++)
		id.bytes[i] = (uint8_t)(time >> (40 - 8 * i));
	*ret = uuid_text(arena, &id);
	return ret->at ? 0 : -(int)err_last()->code;
}

struct find {
	const struct uuid *tenant;
	const struct job_window *window;
	enum job_list list;
	struct job_search search;
	struct job_found *ret;
};

static int find_rows(struct tx *tx, struct find *find)
{
	struct job_found found = { 0 };
	struct job_edge edge;
	int r = tx_all(tx, &lists[find->list], &find->search, &found.items, &found.count);

	if (r < 0)
		return r;
	if (found.count > find->window->limit) {
		found.count = find->window->limit;
		found.next_id = found.items[found.count - 1].shown.id;
	} else {
		r = tx_one(tx, &edges[find->list], &find->search, &edge);
		if (r == 0)
			found.next_id = edge.id;
		else if (r != -ERR_NOT_FOUND)
			return r;
	}
	*find->ret = found;
	return 0;
}

static int find_in_tx(struct tx *tx, void *arg)
{
	struct find *find = arg;
	int r = 0;

	if (find->list == LIST_RUNNING)
		r = jobs_running_queues_in_tx(tx, &find->search.queues);
	if (r == 0)
		r = tx_enter(tx, find->tenant);
	if (r == 0)
		r = find_rows(tx, find);
	return r < 0 ? r : tx_leave(tx);
}

int jobs_find(struct store *store, struct arena *arena, const struct uuid *tenant,
	const struct job_filter *filter, const struct job_window *window, struct job_found *ret)
{
	struct db db = db_of_system(store, arena);
	struct find find = {
		.tenant = tenant,
		.window = window,
		.list = list_of(filter),
		.search = { .filter = *filter,
			.after_id = window->after_id,
			.first_id = S(UUID_FIRST),
			.queues = S("[]"),
			.limit = (int64_t)window->limit,
			.look = JOBS_LOOK_MAX },
		.ret = ret,
	};
	struct str latest;
	int r = 0;

	if (filter->created_after.set)
		r = id_at(
			arena, filter->created_after.value - CLOCKS_DIFFER, &find.search.first_id);
	if (r == 0 && filter->created_before.set) {
		r = id_at(arena, filter->created_before.value + CLOCKS_DIFFER, &latest);
		if (r == 0 && str_cmp(latest, window->after_id) < 0)
			find.search.after_id = latest;
	}
	return r < 0 ? r : db_read(&db, find_in_tx, &find);
}

/* --- one ----------------------------------------------------------------------------------------
 */

static const struct statement details_get = STATEMENT("job_details_get",
	.sql = "SELECT " ITEM ", j.payload, j.result FROM job AS j "
	       "WHERE j.tenant_id = :tenant AND j.id = :id",
	.in = &job_of_schema, .out = &job_details_schema);

static const struct statement errors_of = STATEMENT("job_errors_of",
	.sql = "SELECT attempt, kind, message, worker, trace, at FROM job_error "
	       "WHERE tenant_id = :tenant AND job_id = :id ORDER BY attempt LIMIT :limit",
	.in = &job_of_schema, .out = &job_error_shown_schema);

const struct statement job_lines_list = STATEMENT("job_lines_list",
	.sql = "SELECT id, level, line, at FROM job_line WHERE tenant_id = :tenant "
	       "AND job_id = :id AND id > :after_id ORDER BY id LIMIT :limit + 1",
	.in = &lines_search_schema, .out = &job_line_shown_schema);

const struct job_statements job_list_statements =
	JOB_STATEMENTS(&lists[LIST_ALL], &lists[LIST_KEY], &lists[LIST_RUNNING], &lists[LIST_ASIDE],
		&edges[LIST_ALL], &edges[LIST_KEY], &edges[LIST_RUNNING], &edges[LIST_ASIDE],
		&running_queues, &details_get, &errors_of, &job_lines_list);

struct details {
	struct job_of of;
	bool reserved;
	struct job_details *ret;
};

static int details_in_tx(struct tx *tx, void *arg)
{
	const struct details *details = arg;
	struct job_details job = { 0 };
	int r = tx_one(tx, &details_get, &details->of, &job);

	if (r == 0 && !details->reserved && queue_name_reserved(job.shown.queue))
		r = fail(ERR_NOT_FOUND, "there is no such job");
	if (r == 0)
		r = tx_all(tx, &errors_of, &details->of, &job.errors.at, &job.errors.count);
	if (r == 0)
		*details->ret = job;
	return r;
}

int job_details_get(const struct db *db, struct str id, bool reserved, struct job_details *ret)
{
	struct details details = { { id, JOB_STARTS_MAX }, reserved, ret };

	return db_read(db, details_in_tx, &details);
}
