/*
 * Settings of queues: rows that only operators change. A row has all settings of its queue; what a
 * change leaves out is what a queue of that name has without a row.
 */
#include "modules/jobs/jobs_settings.h"

#include "base/err.h"
#include "http/match.h"
#include "schema/encode.h"
#include "json/writer.h"

/* --- what goes in and out ------------------------------------------------------------------ */

/* clang-format off */
#define COUNT RANGE(0, INT32_MAX)
#define DAY_MS INT64_C(86400000)
#define LONG  RANGE(0, 366 * DAY_MS)

static const struct schema rate_new_schema = SCHEMA(queue_rate, "So many in so much time; 0: no bound.",
	FIELD(queue_rate, count, "How many.", .flags = REQUIRED, COUNT, .example = "100"),
	FIELD(queue_rate, per_ms, "In how many milliseconds.", RANGE(1, DAY_MS), .if_missing = "1000"));

static const struct schema keep_new_schema = SCHEMA(queue_keep_new, "How long jobs that have ended stay.",
	FIELD(queue_keep_new, ms, "In milliseconds.", LONG),
	FIELD(queue_keep_new, count, "At most so many of a tenant; 0: they go with their end.", COUNT));

static const struct schema settings_new_schema = SCHEMA(queue_settings_new, "How a queue is to work. 0 is no bound.",
	FIELD(queue_settings_new, level, "Which queue goes first when there are more jobs than hands.",
		CHOICES("high", "medium", "low")),
	FIELD(queue_settings_new, concurrency, "Running at once, of all instances and tenants.", COUNT),
	FIELD(queue_settings_new, concurrency_min, "Where the program begins before a backlog ages; 0: the same.", COUNT),
	FIELD(queue_settings_new, tenant_concurrency, "Running at once, of a tenant.", COUNT),
	FIELD(queue_settings_new, group_concurrency, "Running at once, of a group.", RANGE(1, 1000)),
	FIELD(queue_settings_new, rate, "Starts of the queue.", .nested = &rate_new_schema),
	FIELD(queue_settings_new, tenant_rate, "Starts of a tenant.", .nested = &rate_new_schema),
	FIELD(queue_settings_new, group_rate, "Starts of a group.", .nested = &rate_new_schema),
	FIELD(queue_settings_new, attempts, "Starts of a job that says nothing else.", RANGE(1, JOB_ATTEMPTS_MAX)),
	FIELD(queue_settings_new, backoff, "Wait after a failed attempt.", .nested = &job_backoff_schema),
	FIELD(queue_settings_new, timeout_ms, "How long an attempt may take.", RANGE(1, JOB_TIMEOUT_MS_MAX)),
	FIELD(queue_settings_new, lease_ms, "Until a worker that says nothing is lost.", RANGE(1000, DAY_MS)),
	FIELD(queue_settings_new, backlog, "Jobs of a tenant that may wait.", COUNT),
	FIELD(queue_settings_new, group_backlog, "Jobs of a group that may wait.", COUNT),
	FIELD(queue_settings_new, backlog_age_ms, "Jobs are refused while the oldest ready one is older.", LONG),
	FIELD(queue_settings_new, on_discard, "What a discarded job does to its group.", CHOICES("continue", "halt")),
	FIELD(queue_settings_new, completed, "How long completed jobs stay.", .nested = &keep_new_schema),
	FIELD(queue_settings_new, discarded, "How long discarded jobs stay.", .nested = &keep_new_schema),
	FIELD(queue_settings_new, cancelled, "How long cancelled jobs stay.", .nested = &keep_new_schema),
	FIELD(queue_settings_new, alarm_depth, "Health says degraded when more jobs wait.", COUNT),
	FIELD(queue_settings_new, alarm_age_ms, "Or when the oldest ready one is older.", LONG),
	FIELD(queue_settings_new, alarm_running_ms, "Or when one runs longer.", LONG),
	FIELD(queue_settings_new, push_url, "Where jobs are sent instead of being leased; empty: nowhere.", RANGE(0, 2000)));

const struct schema queue_put_schema = SCHEMA(queue_put, "Settings of a queue; what is left out is as without them.",
	FIELD(queue_put, name, "Which queue.", .from = FROM_PATH, RANGE(1, JOB_QUEUE_MAX)),
	FIELD(queue_put, settings, "How it is to work.", .flags = REQUIRED, .nested = &settings_new_schema));

const struct schema queue_by_name_schema = SCHEMA(queue_by_name, "A queue by its name.",
	FIELD(queue_by_name, name, "Which.", .from = FROM_PATH, RANGE(1, JOB_QUEUE_MAX)));

const struct schema queue_config_schema = SCHEMA(queue_config, "A queue and how it works.",
	FIELD(queue_config, name, "Which.", .flags = REQUIRED, RANGE(1, JOB_QUEUE_MAX), .example = "email"),
	FIELD(queue_config, settings, "How it works.", .flags = REQUIRED, .nested = &queue_settings_schema),
	FIELD(queue_config, is_default, "Whether nobody has changed it.", .flags = REQUIRED),
	FIELD(queue_config, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"),
	FIELD(queue_config, updated_at, "When it was changed last.", .format = FORMAT_DATE_TIME));
/* clang-format on */

/* --- rules --------------------------------------------------------------------------------------
 */

struct pair {
	size_t from, to; /* offsets of a struct opt_i64 and an int64_t */
};

#define PAIR(member)                                                                               \
	{                                                                                          \
		offsetof(struct queue_settings_new, member),                                       \
			offsetof(struct queue_settings, member)                                    \
	}

static const struct pair numbers[] = { PAIR(concurrency), PAIR(concurrency_min),
	PAIR(tenant_concurrency), PAIR(group_concurrency), PAIR(attempts), PAIR(timeout_ms),
	PAIR(lease_ms), PAIR(backlog), PAIR(group_backlog), PAIR(backlog_age_ms), PAIR(alarm_depth),
	PAIR(alarm_age_ms), PAIR(alarm_running_ms) };

static void apply_number(struct opt_i64 from, int64_t *to)
{
	if (from.set)
		*to = from.value;
}

static void apply_keep(const struct queue_keep_new *from, struct queue_keep *to)
{
	if (!from)
		return;
	apply_number(from->ms, &to->ms);
	apply_number(from->count, &to->count);
}

static void apply_rate(const struct queue_rate *from, struct queue_rate *to)
{
	if (from)
		*to = *from;
}

static int check(const struct queue_settings *settings)
{
	if (settings->concurrency && settings->concurrency_min > settings->concurrency)
		return fail_field(ERR_INVALID, "settings.concurrencyMin", "above_maximum",
			"must not be more than concurrency, which is %lld",
			(long long)settings->concurrency);
	if (settings->backoff.kind == JOB_BACKOFF_LIST && settings->backoff.list_ms.count == 0)
		return fail_field(ERR_INVALID, "settings.backoff.listMs", "required",
			"must have a wait at least");
	if (settings->backoff.kind == JOB_BACKOFF_EXPONENTIAL &&
		settings->backoff.max_ms < settings->backoff.delay_ms)
		return fail_field(ERR_INVALID, "settings.backoff.maxMs", "below_minimum",
			"must not be less than delayMs");
	if (settings->push_url.len &&
		(!format_valid(FORMAT_URI, settings->push_url) ||
			!(str_starts(settings->push_url, S("https://")) ||
				str_starts(settings->push_url, S("http://")))))
		return fail_field(ERR_INVALID, "settings.pushUrl", "invalid_uri",
			"must be a URL such as https://example.com/jobs");
	return 0;
}

int queue_settings_apply(const struct queue_settings_new *new, struct queue_settings *settings)
{
	struct queue_settings made = *settings;
	int r;

	for (size_t i = 0; i < LEN(numbers); i++)
		apply_number(*(const struct opt_i64 *)(const void *)((const char *)new +
								     numbers[i].from),
			(int64_t *)(void *)((char *)&made + numbers[i].to));
	if (new->level.set)
		made.level = (enum queue_level) new->level.value;
	if (new->on_discard.set)
		made.on_discard = (enum queue_discard) new->on_discard.value;
	apply_rate(new->rate, &made.rate);
	apply_rate(new->tenant_rate, &made.tenant_rate);
	apply_rate(new->group_rate, &made.group_rate);
	if (new->backoff)
		made.backoff = *new->backoff;
	apply_keep(new->completed, &made.completed);
	apply_keep(new->discarded, &made.discarded);
	apply_keep(new->cancelled, &made.cancelled);
	if (new->push_url.set)
		made.push_url = new->push_url.value;
	r = check(&made);
	if (r == 0)
		*settings = made;
	return r;
}

int queue_name_check(struct str name)
{
	if (queue_name_valid(name))
		return 0;
	return fail_field(ERR_INVALID, "name", "invalid_name",
		"must be at most %d small letters, digits, - and _, a letter first", JOB_QUEUE_MAX);
}

int queue_name_check_any(struct str name)
{
	return queue_name_reserved(name) ? 0 : queue_name_check(name);
}

/* What the installation itself adds is never refused, and never given away. */
static int check_reserved(struct str name, const struct queue_settings *settings)
{
	if (!queue_name_reserved(name))
		return 0;
	if (settings->backlog || settings->backlog_age_ms)
		return fail_field(ERR_INVALID,
			settings->backlog ? "settings.backlog" : "settings.backlogAgeMs",
			"reserved", "must be 0: jobs of this queue are never refused");
	if (settings->push_url.len)
		return fail_field(ERR_INVALID, "settings.pushUrl", "reserved",
			"must be empty: jobs of this queue are done by the program itself");
	return 0;
}

/* --- rows ------------------------------------------------------------------------------ */

struct row_count {
	int64_t count;
};

/* clang-format off */
static const struct schema row_count_schema = SCHEMA(row_count, "How many rows.",
	FIELD(row_count, count, "So many."));
/* clang-format on */

static const struct statement row_get = STATEMENT("job_queue_get",
	.sql = "SELECT " QUEUE_ROW_COLUMNS " FROM main.job_queue "
	       "WHERE name = :name",
	.in = &queue_row_schema, .out = &queue_row_schema, .flags = STATEMENT_SYSTEM);

static const struct statement row_put = STATEMENT("job_queue_put",
	.sql = "INSERT INTO main.job_queue (" QUEUE_ROW_COLUMNS ") "
	       "VALUES (:name, :settings, :paused, :version, :updated_at) "
	       "ON CONFLICT (name) DO UPDATE SET settings = excluded.settings, "
	       "paused = excluded.paused, version = excluded.version, "
	       "updated_at = excluded.updated_at",
	.in = &queue_row_schema, .flags = STATEMENT_SYSTEM);

static const struct statement row_delete =
	STATEMENT("job_queue_delete", .sql = "DELETE FROM main.job_queue WHERE name = :name",
		.in = &queue_row_schema, .flags = STATEMENT_SYSTEM, .expect = EXPECT_ONE);

static const struct statement row_count =
	STATEMENT("job_queue_count", .sql = "SELECT count(*) AS count FROM main.job_queue",
		.out = &row_count_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_settings_statements =
	JOB_STATEMENTS(&row_get, &row_put, &row_delete, &row_count);

/* A rate that is none has a time all the same, as the table of settings wants it. */
static void settle_rates(struct queue_settings *settings)
{
	struct queue_rate *const rates[] = { &settings->rate, &settings->tenant_rate,
		&settings->group_rate };

	for (size_t i = 0; i < LEN(rates); i++)
		if (rates[i]->per_ms == 0)
			rates[i]->per_ms = 1000;
}

static int read_config(struct tx *tx, struct str name, struct queue_config *ret)
{
	const struct queue_row which = { .name = name };
	struct queue_config config = { .name = name };
	struct queue_row row;
	int r = tx_one(tx, &row_get, &which, &row);

	if (r == -ERR_NOT_FOUND) {
		config.is_default = true;
		queue_preset(name, &config.settings);
		settle_rates(&config.settings);
		*ret = config;
		return 0;
	}
	if (r == 0)
		r = queue_settings_read(name, row.settings.json, tx_arena(tx), &config.settings);
	if (r < 0)
		return r;
	config.settings.paused = row.paused;
	config.version = row.version;
	config.updated_at = (struct opt_i64){ .set = true, .value = row.updated_at };
	*ret = config;
	return 0;
}

struct config_ask {
	struct str name;
	struct queue_config *ret;
};

static int get_in_tx(struct tx *tx, void *arg)
{
	const struct config_ask *ask = arg;

	return read_config(tx, ask->name, ask->ret);
}

int queue_config_get(const struct db *system, struct str name, struct queue_config *ret)
{
	struct config_ask ask = { name, ret };

	return db_read(system, get_in_tx, &ask);
}

/* --- changing ----------------------------------------------------------------------------------
 */

static int write_settings(
	const struct queue_settings *settings, struct arena *arena, struct str *ret)
{
	struct json_writer writer;
	struct buf text;
	int r;

	buf_init(&text, QUEUE_SETTINGS_BYTES);
	json_writer_init(&writer, &text);
	schema_encode(&queue_settings_schema, SCHEMA_ALL, settings, &writer);
	r = json_writer_done(&writer);
	if (r == 0) {
		*ret = arena_str(arena, buf_str(&text));
		r = ret->at ? 0 : -(int)err_last()->code;
	}
	buf_done(&text);
	return r;
}

static int check_room(struct tx *tx)
{
	struct row_count rows;
	int r = tx_one(tx, &row_count, NULL, &rows);

	if (r == 0 && rows.count >= QUEUES_MAX)
		return fail_field(ERR_CONFLICT, "name", "too_many",
			"cannot be given settings: %d queues have some already", QUEUES_MAX);
	return r;
}

static int put(struct tx *tx, struct queue_config *config)
{
	struct queue_row row = {
		.name = config->name,
		.paused = config->settings.paused,
		.version = config->version + 1,
		.updated_at = tx_now_us(tx),
	};
	int r = config->is_default ? check_room(tx) : 0;

	if (r == 0)
		r = write_settings(&config->settings, tx_arena(tx), &row.settings.json);
	if (r == 0)
		r = tx_exec(tx, &row_put, &row);
	if (r < 0)
		return r;
	config->is_default = false;
	config->version = row.version;
	config->updated_at = (struct opt_i64){ .set = true, .value = row.updated_at };
	return 0;
}

static int reset(struct tx *tx, struct queue_config *config)
{
	const struct queue_row row = { .name = config->name };
	int r = tx_exec(tx, &row_delete, &row);

	*config = (struct queue_config){ .name = config->name, .is_default = true };
	queue_preset(config->name, &config->settings);
	settle_rates(&config->settings);
	return r;
}

static int audit(struct tx *tx, const struct queue_change *change,
	const struct queue_config *before, const struct queue_config *after)
{
	static const struct str actions[] = {
		[QUEUE_PUT] = S_INIT("queue.changed"),
		[QUEUE_RESET] = S_INIT("queue.reset"),
		[QUEUE_PAUSE] = S_INIT("queue.paused"),
		[QUEUE_RESUME] = S_INIT("queue.resumed"),
	};
	int r = tx_enter(tx, &tenant_system);

	if (r == 0)
		r = tx_audit(tx, &change->actor,
			&(struct audit_entry){ .action = actions[change->what],
				.type = S("queue"),
				.id = change->name,
				.schema = &queue_settings_schema,
				.before = &before->settings,
				.after = &after->settings });
	return r < 0 ? r : tx_leave(tx);
}

/* What becomes of it; `paused` is only ever changed by pausing. */
static int apply(struct tx *tx, const struct queue_change *change, struct queue_config *config)
{
	bool paused = config->settings.paused;
	int r = 0;

	switch (change->what) {
	case QUEUE_RESET: return reset(tx, config);
	case QUEUE_PUT:
		queue_preset(change->name, &config->settings);
		settle_rates(&config->settings);
		config->settings.paused = paused;
		r = queue_settings_apply(change->settings, &config->settings);
		if (r == 0)
			r = check_reserved(change->name, &config->settings);
		break;
	case QUEUE_PAUSE:
	case QUEUE_RESUME:
		config->settings.paused = change->what == QUEUE_PAUSE;
		if (config->settings.paused == paused)
			return 0;
		break;
	}
	return r < 0 ? r : put(tx, config);
}

int queue_change_in_tx(struct tx *tx, void *arg)
{
	const struct queue_change *change = arg;
	struct queue_config before, after;
	int r = queue_name_check_any(change->name);

	if (r == 0)
		r = read_config(tx, change->name, &before);
	if (r == 0 && change->req)
		r = req_if_match(change->req, before.version);
	if (r < 0)
		return r;
	after = before;
	r = apply(tx, change, &after);
	if (r == 0)
		r = audit(tx, change, &before, &after);
	if (r == 0)
		r = tx_notice(tx, S(QUEUES_TOPIC), change->name);
	if (r == 0)
		r = bell_ring_after(tx, bell_of(change->name));
	if (r == 0)
		*change->ret = after;
	return r;
}
