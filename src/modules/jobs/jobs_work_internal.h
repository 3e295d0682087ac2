/* What the files share that do jobs in this process. All but `struct work` is of one thread. */
#ifndef JOBS_WORK_INTERNAL_H
#define JOBS_WORK_INTERNAL_H

#include "base/buf.h"
#include "fiber/sync.h"
#include "http/server.h"
#include "loop/worker.h"
#include "modules/jobs/jobs_bell.h"
#include "modules/jobs/jobs_hands.h"
#include "modules/jobs/jobs_internal.h"
#include "modules/jobs/jobs_work.h"
#include "store/notice.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	QUEUES_SERVED_MAX = 256,
	HANDS_MAX = 2048,   /* handlers at once, of a thread */
	QUEUE_HANDS = 100,  /* of a queue that has no bound, of this process */
	LANES = 2,          /* turns of a crew that may be under way */
	STARTS_KEPT = 2048, /* of a thread, for the next jobs */
	SCHEDULES_MAX = 64,
	CANCELS_KEPT = 256, /* the last ones that were asked for */
};

/* --- one start of a job (jobs_start.c) ------------------------------------------------------ */

/* Why a start shall end before its handler does. */
enum start_stop {
	START_GOES_ON,
	START_CANCELLED, /* somebody wants that */
	START_STOPPED,   /* the program ends */
	START_LOST,      /* the lease is lost: somebody else has the job */
};

/* A line of the job's log that is not yet written. */
struct pending_line {
	struct pending_line *next;
	int64_t at;
	enum log_level level;
	size_t len;
	char text[];
};

/* What a handler has told of itself, */
struct said {
	bool has_progress;
	int64_t percent;
	struct buf note;
	struct pending_line *first, **last;
	size_t bytes; /* of the lines */
};

struct notes {
	struct link link; /* of the thread's, while there is something to write */
	struct said now;  /* and nobody has written, */
	struct said out;  /* or somebody is writing, */
	bool writing;     /* just now */
	size_t lines;     /* so far, of this start */
};

struct crew;
struct work_thread;

struct start {
	struct job job;   /* what the handler sees */
	struct link link; /* of the crew's running or ended ones, or of the thread's pool */
	struct crew *crew;
	const struct job_kind *kind;
	struct arena arena;
	char id[UUID_TEXT_LEN], lease_id[UUID_TEXT_LEN];
	uint64_t timeout_ns;
	struct scope *scope; /* the handler's, while it runs */
	enum start_stop stop;
	struct job_end end;
	enum end_kind verdict; /* by job_snooze and job_discard */
	bool judged;
	bool completed; /* by a transaction of the handler's own */
	struct str result;
	struct notes notes;
};

/* The start that a handler's job is. */
static inline struct start *start_of(struct job *job)
{
	return CONTAINER_OF(job, struct start, job);
}

/* Fills in a start with what was taken. 0, or a negative code: then only its end can be told. */
int start_fill(struct start *start, const struct taken *taken, const struct uuid *lease);

/* The end of a start that has no handler; that of one that fails with the current error. */
void start_end(struct start *start, enum end_kind kind, const char *message);
void start_failed(struct start *start, int r);

/* A fiber, which is a hand: runs the handler, hands the start back to its crew, and does the same
 * with the next one that the crew has. */
int start_run(void *arg);

/* Makes the handler's waits fail. */
void start_cancel(struct start *start, enum start_stop why);

/* --- what it says of itself (jobs_note.c) ---------------------------------------------------- */

void notes_init(struct notes *notes);

/* Forgets what is not written. */
void notes_reset(struct notes *notes);
void notes_done(struct notes *notes);

/* Waits until nothing is being written. */
void notes_settle(struct start *start);

/* Writes what is left, in a transaction of the tenant; when nothing is being written. */
int notes_write_in_tx(struct tx *tx, const struct start *start);

/* Whether something is left. */
bool notes_left(const struct notes *notes);

/* A fiber of each thread: writes what starts have said. */
int notes_keep(void *arg);

/* --- a queue on a thread (jobs_crew.c) ------------------------------------------------------ */

/* One turn at a time: ends what has ended, and takes more. */
struct lane {
	struct crew *crew;
	struct arena arena;   /* of one turn */
	struct link prepared; /* struct start, for what it takes */
};

/* What is known of the queue. */
enum crew_more {
	MORE_NOTHING, /* it was empty when last looked at */
	MORE_MAYBE,
	MORE_LOTS, /* there was as much as could be taken */
};

struct crew {
	struct work_thread *thread;
	struct str queue;
	size_t number; /* of the queue */
	struct bell *bell;
	struct hand_share share;
	struct pace pace;
	struct cond changed;
	struct link ahead, running, ended; /* struct start; the first wait for a hand */
	size_t ahead_count, running_count, ended_count;
	size_t ahead_bytes; /* of their payloads */
	size_t coming;      /* ahead of hands, by turns under way */
	size_t bound;       /* hands that it may have, as of the last turn */
	uint64_t usual_ns;  /* that its handlers take of late; 0: not known */
	uint64_t moved_ns;  /* when there was a hand for one that waited, last */
	enum crew_more more;
	uint64_t rung;    /* how often the bell was heard */
	uint64_t look_ns; /* looks then, even if nobody rings */
	size_t looking;   /* turns under way that take, */
	size_t turns;     /* and of all kinds */
	bool offered;     /* one job is ready, where there was nothing: */
	struct bell_offer offer;
	uint64_t pause_ns;      /* after a failure nothing happens until then */
	unsigned failures;      /* of turns, one after another */
	size_t alone;           /* so many ends are told one by one, since one of them fails */
	struct uuid after;      /* the tenant that was served last */
	size_t batch;           /* to be taken at once, at most */
	uint64_t complained_ns; /* of a name that nobody knows */
	struct lane lanes[LANES];
};

void crew_init(struct crew *crew, struct work_thread *thread, struct str queue, size_t number);
void crew_done(struct crew *crew);

/* Starts its fibers, on the thread, in its root. */
int crew_open(struct crew *crew);

/* Wakes those of its fibers that wait; after something has changed in the queue. */
void crew_wake(struct crew *crew);
void crew_look(struct crew *crew);

/* Cancels the start of that job (NULL: all); those that run under a lease. */
void crew_cancel(struct crew *crew, const struct uuid *id, enum start_stop why);
void crew_lose(struct crew *crew, const char lease_id[UUID_TEXT_LEN]);

/* --- starts for the next jobs (jobs_pool.c) --------------------------------------------------- */

/* Puts starts aside for a turn, so that every job that it takes can at least be handed back.
 * Returns for how many there is memory. */
size_t starts_prepare(struct lane *lane, size_t count);

/* Those that were not needed. */
void starts_unprepare(struct lane *lane);

/* One of those that were put aside. */
struct start *start_take(struct lane *lane);

/* Gives it back, for another job; or for good. */
void start_put(struct work_thread *thread, struct start *start);
void start_free(struct start *start);

/* Frees a thread's starts that nobody uses. */
void crew_free_starts(struct work_thread *thread);

/* --- hands and what they do (jobs_ahead.c) --------------------------------------------------- */

void crew_give_hands(struct crew *crew, size_t count);

/* Whether no other queue of the thread wants hands. */
bool crew_alone(const struct crew *crew);

/* How many may be taken beyond those that there are hands for. */
size_t crew_ahead(const struct crew *crew, const struct queue_settings *settings);

/* One that was taken waits for a hand; one that has no hand is to be told to the store with the
 * next turn; one that cannot be started here and now goes back into the queue. */
void crew_add_ahead(struct start *start);
void crew_add_ended(struct start *start);
void crew_hand_back(struct start *start);

/* Starts those who wait with so many hands, and gives back what is left of them. */
void crew_launch(struct crew *crew, size_t hands);

/* The same with hands that are free again, or hands back what has waited too long; returns when it
 * is to be called next. */
uint64_t crew_go_ahead(struct crew *crew, uint64_t now);

/* A handler has returned; its hand goes on to the one that is returned, or is free (NULL). */
struct start *crew_take_back(struct start *start, uint64_t took_ns);

/* A fiber of each thread: what is to be looked at now and then (jobs_look.c). */
int crews_look(void *arg);

/* --- threads (jobs_work.c) ------------------------------------------------------------------- */

struct work;

struct work_thread {
	struct worker worker;
	struct work *work;
	size_t index;
	struct hands hands;
	struct crew *crews; /* one for each queue */
	size_t crew_count;
	struct link pool; /* struct start, free ones */
	size_t pool_count;
	struct link noted;      /* struct notes.link */
	struct cond noted_cond; /* of this list, and of what is being written */
	bool stopping;          /* takes no more */
	bool forsaken;          /* what cannot be told by now is left to others */
	struct cond changed;    /* of these, and of: */
	size_t fibers;          /* of crews */
	struct message stop, news;
	atomic_bool news_sent;
	bool started; /* of whoever starts and stops */
	bool running; /* under the lock of all: may be sent news */
	uint64_t cancels_seen, doubts_seen, losses_seen;
	bool doubt; /* cancellations may have been missed */
};

/* Of the process; one at a time. */
struct work {
	struct server *server;
	struct jobs_options options;
	struct work_thread *threads;
	size_t thread_count;
	struct str queues[QUEUES_SERVED_MAX]; /* of its kinds */
	size_t queue_count;
	char worker_name[128];
	struct worker clerk;
	bool clerk_runs;
	struct reaper *reaper;
	struct notice_listener listener;
	atomic_size_t threads_left;
	atomic_bool stopping;
	_Atomic uint64_t stop_by_ns;

	pthread_mutex_t lock; /* of what follows */
	struct lease lease;
	bool leased;
	char lost[UUID_TEXT_LEN]; /* the last one that was lost, */
	uint64_t losses;          /* and how many were */
	struct uuid cancels[CANCELS_KEPT];
	uint64_t cancelled_ns[CANCELS_KEPT];
	uint64_t cancel_count; /* so far */
	uint64_t doubts;       /* how often some may have been missed */
};

/* The lease under which jobs are taken; false while there is none. */
bool work_lease(struct work *work, struct lease *ret);

/* The clerk's: from now on jobs may be taken under this one; NULL: the one there was is lost, and
 * what runs under it is cancelled. */
void work_set_lease(struct work *work, const struct lease *lease);

/* Whether somebody has asked lately to cancel it. */
bool work_cancelled(struct work *work, const struct uuid *id);

/* --- the clerk (jobs_clerk.c) ------------------------------------------------------------------
 */

/* On a thread of its own: what the roles of this instance ask for. */
int clerk_begin(struct worker *worker);
void clerk_end(struct worker *worker);

/* A fiber of the clerk's: adds jobs by schedule (jobs_schedule.c). */
int schedule_keep(void *arg);

/* How long nobody looks when no bell rings. */
uint64_t jobs_look_every(const struct store *store);

#endif
