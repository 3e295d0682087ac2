/* The arithmetic of failed logins. */
#include "modules/auth/auth_attempts_rules.h"

#include "base/check.h"

static const int64_t forget_us = (int64_t)ATTEMPT_FORGET_S * 1000000;

/* How long after the one before it the try of this number begins. */
static int64_t delay(const struct attempt_limits *limits, int64_t number)
{
	int64_t step = MIN(number - ATTEMPTS_FREE - 1, ATTEMPT_DELAY_STEPS);

	return step < 0 ? 0 : limits->delay_us << step;
}

static int64_t lock_length(const struct attempt_limits *limits, int64_t locks)
{
	return limits->lock_us << MIN(locks, ATTEMPT_LOCK_STEPS);
}

enum attempt_verdict attempt_take(
	struct attempt_row *row, const struct attempt_limits *limits, int64_t now_us)
{
	if (now_us < row->locked_until) {
		row->refused++;
		return ATTEMPT_REFUSED;
	}
	if (row->last_at < now_us - forget_us)
		*row = (struct attempt_row){ 0 };
	if (row->locked_until) {
		row->locked_until = 0;
		row->tries = row->refused = 0;
	}

	row->tries++;
	row->last_at = now_us;
	row->begins_at = MAX(now_us, row->begins_at + delay(limits, row->tries));
	if (row->tries < limits->tries)
		return ATTEMPT_ALLOWED;
	row->locked_until = row->begins_at + lock_length(limits, row->locks);
	row->locks++;
	return ATTEMPT_LOCKS;
}

void attempt_return(struct attempt_row *row, const struct attempt_limits *limits)
{
	if (row->tries == 0)
		return;
	if (row->tries >= limits->tries && row->locked_until) {
		row->locked_until = 0;
		row->locks--;
	}
	row->tries--;
}
