/*
 * How many wrong passwords there may be, as arithmetic on a row: no clock, no rows, no fibers.
 *
 * A try is counted before the password is looked at. The first few in a row are free; each further
 * one begins at its own time, a while after the one before, and the while doubles. The last of
 * `tries` locks; when the lock is over they are free again, but the next lock is longer. A right
 * password, or the link that unlocks, makes the row one that was never there; so does a day without
 * a try.
 *
 * So in any span of time as long as a lock there are at most `tries` tries, however many ask at a
 * time.
 */
#ifndef MODULES_AUTH_ATTEMPTS_RULES_H
#define MODULES_AUTH_ATTEMPTS_RULES_H

#include <stdbool.h>
#include <stdint.h>

enum {
	ATTEMPTS_FREE = 3,        /* tries without a delay */
	ATTEMPT_DELAY_STEPS = 3,  /* the delay doubles so often */
	ATTEMPT_LOCK_STEPS = 4,   /* a lock doubles so often */
	ATTEMPT_FORGET_S = 86400, /* seconds without a try after which all is forgotten */
};

/* Times in microseconds. */
struct attempt_limits {
	int64_t tries;    /* at least 1 */
	int64_t lock_us;  /* of the first lock */
	int64_t delay_us; /* of the first delayed try; 0: no delays */
};

struct attempt_row {
	int64_t tries;        /* since the last success or lock */
	int64_t locks;        /* in a row */
	int64_t locked_until; /* 0: never was */
	int64_t begins_at;    /* when the last try began, or will */
	int64_t last_at;      /* when it was asked for */
	int64_t refused;      /* asked for during the lock */
};

enum attempt_verdict {
	ATTEMPT_ALLOWED,
	ATTEMPT_LOCKS,   /* allowed, and the last one: locked from now on unless it succeeds */
	ATTEMPT_REFUSED, /* locked */
};

/* Counts a try at `now_us`. When it is allowed, row->begins_at says when it may begin. */
enum attempt_verdict attempt_take(
	struct attempt_row *row, const struct attempt_limits *limits, int64_t now_us);

/* Takes a try back that was allowed and did not happen. */
void attempt_return(struct attempt_row *row, const struct attempt_limits *limits);

#endif
