/*
 * What a job to be added must be like, all that is wrong with it at once. Pure but for the payload,
 * which the schema of its name may have something to say about (jobs_kinds.c).
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"
#include "base/utf8.h"

#define DAY_US INT64_C(86400000000)

/* Where problems go, and what stands before the names of members: "", or "jobs.3.". */
struct check {
	struct problems *problems;
	struct str at;
	int failed; /* a negative code: no memory for a problem */
};

static struct str path_of(struct check *check, const char *member)
{
	struct str path;

	if (!check->at.len)
		return str_from_c(member);
	path = arena_printf(check->problems->arena, "%.*s%s", STR_ARG(check->at), member);
	if (!path.at)
		check->failed = -(int)err_last()->code;
	return path;
}

#define PROBLEM(check, member, rule, ...)                                                          \
	note(check, problems_add((check)->problems, path_of(check, member), rule, __VA_ARGS__))

static void note(struct check *check, int r)
{
	if (r < 0)
		check->failed = r;
}

/* --- texts --------------------------------------------------------------------------------- */

static bool has_control(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f)
			return true;
	return false;
}

static void check_text(
	struct check *check, const char *member, struct str text, size_t least, size_t most)
{
	if (!utf8_valid(text))
		PROBLEM(check, member, PROBLEM_INVALID_TEXT, "must be UTF-8");
	else if (has_control(text))
		PROBLEM(check, member, PROBLEM_CONTROL_CHARACTER,
			"must not have control characters");
	else if (utf8_length(text) < least)
		PROBLEM(check, member, PROBLEM_TOO_SHORT, "must not be empty");
	else if (utf8_length(text) > most)
		PROBLEM(check, member, PROBLEM_TOO_LONG, "must be at most %zu characters", most);
}

static void check_names(struct check *check, const struct job_new *job)
{
	if (!job_name_valid(job->name))
		PROBLEM(check, "name", PROBLEM_INVALID_PATTERN,
			"must be domain:action in small letters, digits and . _ -, at most %d of "
			"them",
			JOB_NAME_MAX);
	if (job->queue.len && !queue_name_valid(job->queue))
		PROBLEM(check, "queue", PROBLEM_INVALID_PATTERN,
			"must be small letters, digits and _ -, a letter first, at most %d",
			JOB_QUEUE_MAX);
}

static void check_tags(struct check *check, const struct job_new *job)
{
	if (job->tag_count > JOB_TAGS_MAX)
		PROBLEM(check, "tags", PROBLEM_TOO_MANY, "must be at most %d", JOB_TAGS_MAX);
	for (size_t i = 0; i < MIN(job->tag_count, (size_t)JOB_TAGS_MAX); i++)
		check_text(check, "tags", job->tags[i], 1, JOB_TAG_MAX);
}

/* --- numbers and times ----------------------------------------------------------------------- */

static void check_number(
	struct check *check, const char *member, int64_t value, int64_t least, int64_t most)
{
	if (value < least)
		PROBLEM(check, member, PROBLEM_TOO_SMALL, "must be at least %lld",
			(long long)least);
	else if (value > most)
		PROBLEM(check, member, PROBLEM_TOO_LARGE, "must be at most %lld", (long long)most);
}

static void check_times(struct check *check, const struct job_new *job, int64_t now)
{
	int64_t longest = JOB_DELAY_DAYS * DAY_US;

	if (job->run_at_us && job->delay_ns)
		PROBLEM(check, "delayMs", PROBLEM_EXCLUDED, "must not stand beside runAt");
	if (job->run_at_us > now + longest)
		PROBLEM(check, "runAt", PROBLEM_TOO_LARGE, "must be within %d days",
			JOB_DELAY_DAYS);
	if (job->delay_ns / MICROSECOND > (uint64_t)longest)
		PROBLEM(check, "delayMs", PROBLEM_TOO_LARGE, "must be within %d days",
			JOB_DELAY_DAYS);
	if (job->timeout_ns > JOB_TIMEOUT_MS_MAX * MILLISECOND)
		PROBLEM(check, "timeoutMs", PROBLEM_TOO_LARGE, "must be at most %d",
			JOB_TIMEOUT_MS_MAX);
}

static void check_backoff(struct check *check, const struct job_backoff *backoff)
{
	bool list = backoff->kind == JOB_BACKOFF_LIST;

	check_number(check, "backoff.delayMs", backoff->delay_ms, 0, JOB_BACKOFF_MS_MAX);
	check_number(check, "backoff.maxMs", backoff->max_ms, 0, JOB_BACKOFF_MS_MAX);
	check_number(check, "backoff.jitter", backoff->jitter, 0, 100);
	if (list && backoff->list_ms.count == 0)
		PROBLEM(check, "backoff.listMs", PROBLEM_REQUIRED, "must have waits");
	if (!list && backoff->list_ms.count)
		PROBLEM(check, "backoff.listMs", PROBLEM_EXCLUDED, "is for the kind list");
	if (backoff->list_ms.count > JOB_BACKOFFS_MAX)
		PROBLEM(check, "backoff.listMs", PROBLEM_TOO_MANY, "must be at most %d",
			JOB_BACKOFFS_MAX);
	for (size_t i = 0; i < MIN(backoff->list_ms.count, (size_t)JOB_BACKOFFS_MAX); i++)
		check_number(
			check, "backoff.listMs", backoff->list_ms.at[i], 0, JOB_BACKOFF_MS_MAX);
}

static void check_unique(struct check *check, const struct job_new *job)
{
	bool timed =
		job->unique_mode == JOB_UNIQUE_THROTTLE || job->unique_mode == JOB_UNIQUE_DEBOUNCE;

	if (!job->unique_key.len)
		return;
	check_text(check, "unique.key", job->unique_key, 1, JOB_KEY_MAX);
	if (timed && !job->unique_ns)
		PROBLEM(check, "unique.ttlMs", PROBLEM_REQUIRED,
			"is required to throttle and to debounce");
	if (!timed && job->unique_ns)
		PROBLEM(check, "unique.ttlMs", PROBLEM_EXCLUDED, "is for throttle and debounce");
	if (job->unique_ns / MICROSECOND > (uint64_t)(JOB_DELAY_DAYS * DAY_US))
		PROBLEM(check, "unique.ttlMs", PROBLEM_TOO_LARGE, "must be within %d days",
			JOB_DELAY_DAYS);
}

/* --- all of it -------------------------------------------------------------------------------- */

int job_check(const struct job_new *job, int64_t now, struct str at, struct problems *problems)
{
	struct check check = { problems, at, 0 };

	check_names(&check, job);
	if (job->priority.set)
		check_number(&check, "priority", job->priority.value, 0, JOB_PRIORITIES - 1);
	check_number(&check, "attempts", job->attempts, 0, JOB_ATTEMPTS_MAX);
	check_times(&check, job, now);
	if (job->backoff)
		check_backoff(&check, job->backoff);
	check_unique(&check, job);
	if (job->group_key.len)
		check_text(&check, "group", job->group_key, 1, JOB_KEY_MAX);
	check_tags(&check, job);
	if (!job->schema && job->payload.len > JOB_PAYLOAD_MAX)
		PROBLEM(&check, "payload", PROBLEM_TOO_LONG, "must be at most %d bytes",
			JOB_PAYLOAD_MAX);
	return check.failed;
}
