/*
 * Sessions: a worker holds one connection, and as long as it stands what the worker has leased is
 * its own. The instance at its other end says so in the lease's row once a second; when it stops,
 * because the connection or the instance is gone, the reaper takes the jobs back. Whoever comes
 * again in time with the session's id goes on with it.
 */
#ifndef JOBS_SESSION_H
#define JOBS_SESSION_H

#include "modules/jobs/jobs_worker_internal.h"

/* The topic of notices that a session is over, or goes on elsewhere; the key is its id. */
#define JOBS_SESSION_TOPIC "jobs.session"

/* --- handlers (jobs_session.c) -------------------------------------------------------------- */

int worker_session(struct req *req, const struct worker_session_request *in, struct nothing *out);
int worker_release(struct req *req, const struct worker_ref *in, struct worker_released *out);

/* --- what a lease has (jobs_session_rows.c) -------------------------------------------------- */

enum { SESSION_JOBS_AT_ONCE = 1000 }; /* ended in one transaction */

/* What becomes of the jobs of a lease that ends. */
struct lease_closing {
	struct uuid tenant; /* of the lease */
	enum end_kind kind;
	struct str message;
	size_t ended; /* out: grows */
};

/* Ends a lease and what it has, and tells who holds it. On a system handle in no tenant. Nobody
 * takes jobs for it meanwhile. 1 when there is more than one transaction should end: again. */
int lease_close_in_tx(struct tx *tx, struct lease_closing *closing, struct str lease_id);

/* --- those of this instance (jobs_session_list.c) ------------------------------------------- */

enum {
	SESSION_CANCELS = 64, /* that wait to be told; beyond, the rows are read */
};

enum session_end { SESSION_STANDS, SESSION_LOST, SESSION_ELSEWHERE };

/* A job of some tenant. */
struct session_job {
	struct uuid tenant, id;
};

/* One that is held here. On its handler's stack; what is below is guarded by the list. */
struct session {
	struct uuid tenant, id; /* of the lease */
	struct bell *bell;      /* rung when something below has changed; shared with others */

	struct link link;
	enum session_end end;
	struct session_job cancels[SESSION_CANCELS];
	size_t cancel_count;
	bool look;      /* some cancel was missed: the rows know */
	uint64_t round; /* of beats: the last that it took part in */
	bool beaten;
};

void session_enter(struct session *session);
void session_exit(struct session *session);

/* What is new, taken off. */
struct session_news {
	enum session_end end;
	struct session_job cancels[SESSION_CANCELS];
	size_t cancel_count;
	bool look;
};
void session_news(struct session *session, struct session_news *ret);

int worker_sessions_open(struct server *server);
void worker_sessions_close(struct server *server);

/* A chore: beats, and finds out whom a cancelled job belongs to. As long as the server runs. */
int worker_sessions_tend(struct server *server);

/* One round of beats, for tests. */
int worker_sessions_beat(struct store *store, struct arena *arena);

#endif
