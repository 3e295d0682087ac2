/*
 * Who may start how much: the hands of a thread are shared among its queues by their weights, and a
 * queue whose concurrency is dynamic grows with the age of its backlog. Pure.
 */
#ifndef JOBS_HANDS_H
#define JOBS_HANDS_H

#include "base/list.h"
#include "modules/jobs/jobs_queue.h"

/* A thread's. */
struct hands {
	size_t total;
	size_t used;
	struct link shares; /* struct hand_share.link, of all its queues */
	size_t weights;     /* sum over those that have hands or want some */
	size_t hungry;      /* shares that got less than they wanted */
};

/* What a queue has of them. */
struct hand_share {
	struct link link;
	size_t weight;
	size_t held;
	bool hungry;
};

void hands_init(struct hands *hands, size_t total);

/* At most a fourth as many queues as there are hands: so each has a part of at least one. */
void hands_join(struct hands *hands, struct hand_share *share, enum queue_level level);

/* A queue may be set to another level at any time. */
void hands_weigh(struct hands *hands, struct hand_share *share, enum queue_level level);

/*
 * Takes up to `want` hands, and returns how many. A queue always gets what is missing to its part
 * by weight, as soon as hands come back; beyond that what no other one is waiting for.
 */
size_t hands_take(struct hands *hands, struct hand_share *share, size_t want);
void hands_give(struct hands *hands, struct hand_share *share, size_t count);

/* How many jobs of a dynamic queue this program runs at once. */
struct pace {
	int64_t hands;
	uint64_t changed_ns; /* the last step; 0: none yet */
	uint64_t calm_ns;    /* since then nothing had to wait; 0: something has */
};

/* Steps: twice as many when the oldest ready job is that old, half as many after so long without
 * such a one. */
#define PACE_AGE  SECOND
#define PACE_UP   SECOND
#define PACE_DOWN (30 * SECOND)

/* Looks at the age of the oldest ready job (0: there is none) and returns how many at once. */
int64_t pace_look(
	struct pace *pace, const struct queue_settings *settings, uint64_t age_ns, uint64_t now_ns);

#endif
