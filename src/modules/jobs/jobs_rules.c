/* Rules of jobs, without rows: names, turns, and how long to wait after a failure. */
#include "modules/jobs/jobs_internal.h"

#include "base/num.h"

const char *const job_state_names[JOB_STATES + 1] = { "scheduled", "available", "running",
	"retryable", "completed", "discarded", "cancelled", NULL };

/* --- names ---------------------------------------------------------------------------- */

static bool is_letter(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_other(char c)
{
	return (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* [a-z][a-z0-9_-]*, and dots where they may be. */
static bool is_word(struct str word, bool dots)
{
	for (size_t i = 0; i < word.len; i++) {
		char c = word.at[i];

		if (!is_letter(c) && !(i > 0 && (is_other(c) || (dots && c == '.'))))
			return false;
	}
	return word.len > 0;
}

bool job_name_valid(struct str name)
{
	ptrdiff_t colon = str_find_byte(name, ':');

	return colon > 0 && name.len <= JOB_NAME_MAX &&
	       is_word(str_first(name, (size_t)colon), true) &&
	       is_word(str_from(name, (size_t)colon + 1), true);
}

bool queue_name_valid(struct str name)
{
	return name.len <= JOB_QUEUE_MAX && is_word(name, false);
}

bool queue_name_reserved(struct str name)
{
	return name.len <= JOB_QUEUE_MAX && str_starts(name, S(QUEUE_RESERVED)) &&
	       is_word(str_from(name, strlen(QUEUE_RESERVED)), false);
}

/* --- order ---------------------------------------------------------------------------- */

int64_t job_turn(int64_t run_at_us, int64_t priority)
{
	return run_at_us + priority * (int64_t)(JOB_PRIORITY_STEP / MICROSECOND);
}

/* --- after a failure -------------------------------------------------------------------- */

/* Milliseconds, before chance has its part. */
static int64_t wait_of(const struct job_backoff *backoff, int64_t attempt)
{
	size_t step = attempt < 1 ? 0 : (size_t)attempt - 1;
	int64_t wait = backoff->delay_ms;

	switch (backoff->kind) {
	case JOB_BACKOFF_FIXED: return wait;
	case JOB_BACKOFF_LIST:
		if (backoff->list_ms.count == 0)
			return wait;
		return backoff->list_ms.at[MIN(step, backoff->list_ms.count - 1)];
	case JOB_BACKOFF_EXPONENTIAL: break;
	}
	for (; step > 0 && wait > 0 && wait < backoff->max_ms; step--)
		wait *= 2;
	return MIN(wait, backoff->max_ms);
}

int64_t job_backoff_us(const struct job_backoff *backoff, int64_t attempt, uint64_t chance)
{
	int64_t wait = wait_of(backoff, attempt) * 1000;
	int64_t loose = wait / 100 * backoff->jitter;

	return wait - loose + (int64_t)(chance % ((uint64_t)loose + 1));
}
