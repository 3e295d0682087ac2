/* What the files that add jobs share. */
#ifndef JOBS_ADDING_H
#define JOBS_ADDING_H

#include "modules/jobs/jobs_rows.h"

/* --- a job on its way into the table (jobs_add.c) -------------------------------------------- */

struct adding {
	struct job_row row;
	struct queue_settings settings;
	enum job_unique_mode mode;
	int64_t until; /* of a throttle, else 0 */
	bool joined;   /* its group, with others */
};

/* Makes the row of what was asked for. What is new lives in the arena. -ERR_INVALID and so on, as
 * tx_enqueue. */
int adding_make(const struct job_new *job, struct arena *arena, int64_t now, struct adding *ret);

/* Puts it there. The row is afterwards what is in the table; of one that was kept only the id is.
 */
int adding_put_in_tx(struct tx *tx, struct adding *adding, struct job_added *ret);

/* To be called before several are put: those of groups join them together. `*ret_which` is the one
 * that an error (-ERR_TOO_MANY, field "group") is about. */
int addings_join_in_tx(struct tx *tx, struct adding *addings, size_t count, size_t *ret_which);

/* The same without a transaction function, in one statement: for a row without a key and a group.
 */
int adding_put(const struct db *db, struct adding *adding);

/* --- unique keys (jobs_unique.c) ----------------------------------------------------------- */

/* What is to be done with a job that has a unique key. */
enum unique_verdict {
	UNIQUE_INSERT,  /* it is the only one */
	UNIQUE_BEHIND,  /* to be inserted behind the one that runs */
	UNIQUE_REPLACE, /* `there` waits, and becomes this one */
	UNIQUE_KEPT,    /* `there` stays, nothing is added */
};

/* The one that waits, as far as a change of it wants to know. */
struct unique_there {
	struct str id;
	enum job_state state;
	int64_t attempt, run_at;
	struct opt_str group_key;
	bool seated, blocked;
};

/* Takes the key for the row, or says who has it. `until` is the end of a throttle, else 0.
 * -ERR_CONFLICT, field "unique.key", with JOB_UNIQUE_REJECT. */
int unique_take_in_tx(struct tx *tx, const struct job_row *row, enum job_unique_mode mode,
	int64_t until, enum unique_verdict *ret, struct unique_there *ret_there);

/* Forgets keys whose time is over and groups that have nobody, on a system handle; a bounded number
 * of each. */
int unique_sweep(struct store *store);
int groups_sweep(struct store *store);

/* --- groups (jobs_group.c) -------------------------------------------------------------------- */

/* Jobs that join a group together, and what they got, in their order. */
struct group_joining {
	struct str key;
	size_t count;
	size_t seated;   /* out: the first ones have a seat, the others wait for one */
	int64_t at;      /* out: when the first of them may start, */
	int64_t step;    /* out: and how much later each further one, in microseconds */
	int64_t waiting; /* out: jobs that wait now, these included */
};

/* Groups of one queue, sorted by key; each once. On PostgreSQL one statement for all. */
int groups_join_in_tx(struct tx *tx, struct str queue, struct group_joining *joining, size_t count);

/* Whether it has to join a group, and has not yet. */
bool adding_wants_seat(const struct adding *adding);

/* Gives it its place among those who have joined its group together. -ERR_TOO_MANY, field "group",
 * when it would wait, and more wait than may. */
int adding_place(
	struct adding *adding, const struct group_joining *joining, size_t place, int64_t now);

/* What a queue's settings say of its groups. */
struct group_rules {
	int64_t seats;
	int64_t step;  /* between two starts, microseconds; 0: no rate */
	int64_t reach; /* the next start is at most so far ahead; else a clock was set back */
};

struct group_rules group_rules_of(struct str queue);

/* --- how many wait (jobs_depth.c) ---------------------------------------------------------------
 */

/* What is about to be added, and nobody knows of yet. */
struct depth_more {
	size_t count;  /* jobs of that queue */
	size_t queues; /* others of the tenant in which nothing waited before */
};

/* Whether more may wait: 1 when they are the first ones of their queue, else 0. -ERR_TOO_MANY,
 * field "queue". Any thread. */
int depth_check(const struct uuid *tenant, struct str queue, const struct queue_settings *settings,
	const struct depth_more *more, int64_t now_us);

/* So many were added. Any thread. */
void depth_add(const struct uuid *tenant, struct str queue, size_t count);

/* Takes over what was counted (main.job_depth); to be called every second. */
int depth_refresh(struct store *store, struct arena *arena);

int depth_open(struct store *store);
void depth_close(struct store *store);

/* --- kinds and schemas (jobs_kinds.c) -------------------------------------------------- */

void job_kinds_close(struct store *store);

/* The kind of that name; NULL when this program has none. Any thread, after the modules are open.
 */
const struct job_kind *job_kind_find(struct str name);

/* Whether its kind is of a queue of the installation's own: then jobs of that name are there and
 * nowhere else. */
bool job_name_reserved(struct str name);

/* One after another, in no order; `*at` is 0 for the first. NULL after the last. */
const struct job_kind *job_kind_next(size_t *at);

/* Checks a payload by the table of the kind; problems get `at` and "payload" before their paths.
 * 0 also when there are problems; -ERR_TOO_LARGE, -ERR_NO_MEMORY. */
int job_kind_check(
	const struct job_kind *kind, struct str payload, struct str at, struct problems *problems);

/* Adds problems of a payload to those of what it is in. */
int problems_under(const struct problems *from, struct str at, struct problems *to);

/* --- what a job must be like (jobs_check.c) ------------------------------------------------------
 */

/* Adds all that is wrong with it but for its payload, by the names of the API, with `at` before
 * them. 0 also when there are problems. */
int job_check(const struct job_new *job, int64_t now, struct str at, struct problems *problems);

#endif
