/*
 * The sessions that this instance holds. Any thread may look for one; one fiber beats for all of
 * them, and looks up whose a job is that was cancelled.
 */
#include "modules/jobs/jobs_session.h"

#include "base/err.h"
#include "http/server.h"
#include "modules/jobs/jobs_worker_store.h"
#include "observe/clock.h"
#include "store/notice.h"

#include <pthread.h>

enum {
	BUCKETS = 256,
	BELLS = 16,          /* sessions share them: a name of its own each would stay for ever */
	CANCELS_WAIT = 1024, /* cancelled jobs that nobody has looked up yet */
	BEATS_AT_ONCE = 500, /* of one transaction */
};

#define BEAT_EVERY SECOND

static struct {
	pthread_mutex_t lock;
	struct link buckets[BUCKETS]; /* struct session.link */
	size_t count;
	uint64_t round;
	struct session_job cancels[CANCELS_WAIT];
	size_t cancel_count;
	bool missed; /* some found no room */
	struct notice_listener cancel, over;
} list = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Names that no queue can have. */
static struct bell *bell_of_tending(void)
{
	return bell_of(S("~sessions"));
}

static struct bell *bell_of_session(const struct uuid *id)
{
	static const char digits[] = "0123456789abcdef";
	char name[] = "~session-?";

	_Static_assert(BELLS == sizeof(digits) - 1, "one digit each");
	name[sizeof(name) - 2] = digits[id->bytes[15] % BELLS];
	return bell_of(str_of(name, sizeof(name) - 1));
}

/* --- the list: with its lock ------------------------------------------------------------------ */

static struct link *bucket_of(const struct uuid *id)
{
	return &list.buckets[id->bytes[14] % BUCKETS];
}

static void lock(void)
{
	(void)pthread_mutex_lock(&list.lock);
}

static void unlock(void)
{
	(void)pthread_mutex_unlock(&list.lock);
}

static void end_all_of(const struct uuid *id, enum session_end end)
{
	struct session *session;

	LIST_EACH (session, bucket_of(id), struct session, link)
		if (uuid_cmp(&session->id, id) == 0) {
			session->end = end;
			bell_ring(session->bell);
		}
}

static void tell_cancel(const struct uuid *lease, const struct session_job *job)
{
	struct session *session;

	LIST_EACH (session, bucket_of(lease), struct session, link) {
		if (uuid_cmp(&session->id, lease) != 0)
			continue;
		if (session->cancel_count < SESSION_CANCELS)
			session->cancels[session->cancel_count++] = *job;
		else
			session->look = true;
		bell_ring(session->bell);
	}
}

static void all_look(void)
{
	struct session *session;

	for (size_t i = 0; i < BUCKETS; i++)
		LIST_EACH (session, &list.buckets[i], struct session, link) {
			session->look = true;
			bell_ring(session->bell);
		}
}

/* --- for who holds one -------------------------------------------------------------------------
 */

void session_enter(struct session *session)
{
	session->bell = bell_of_session(&session->id);
	session->end = SESSION_STANDS;
	session->cancel_count = 0;
	session->look = true; /* what was cancelled before it came */
	lock();
	session->round = list.round;
	session->beaten = true;
	list_push(bucket_of(&session->id), &session->link);
	list.count++;
	unlock();
}

void session_exit(struct session *session)
{
	lock();
	link_remove(&session->link);
	list.count--;
	unlock();
}

void session_news(struct session *session, struct session_news *ret)
{
	lock();
	ret->end = session->end;
	ret->look = session->look;
	ret->cancel_count = session->cancel_count;
	memcpy(ret->cancels, session->cancels, session->cancel_count * sizeof(*ret->cancels));
	session->cancel_count = 0;
	session->look = false;
	unlock();
}

/* --- what others tell --------------------------------------------------------------------------
 */

static void heard_cancel(
	struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	struct session_job job = { .tenant = *tenant };

	(void)listener;
	lock();
	if (list.count == 0) {
		unlock();
		return;
	}
	if (key.len == 0 || list.cancel_count == CANCELS_WAIT || !uuid_parse(key, &job.id))
		list.missed = true;
	else
		list.cancels[list.cancel_count++] = job;
	unlock();
	bell_ring(bell_of_tending());
}

/* That some may have been missed does not matter: the next beats tell. */
static void heard_over(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	struct uuid id;

	(void)listener;
	(void)tenant;
	if (!uuid_parse(key, &id))
		return;
	lock();
	end_all_of(&id, SESSION_ELSEWHERE);
	unlock();
}

/* --- cancelled jobs ----------------------------------------------------------------------------
 */

static bool take_cancel(struct session_job *ret, bool *ret_missed)
{
	bool some;

	lock();
	some = list.cancel_count > 0;
	if (some)
		*ret = list.cancels[--list.cancel_count];
	*ret_missed = list.missed;
	list.missed = false;
	unlock();
	return some;
}

/* Whose it is, if it still runs. */
static int look_up(struct store *store, struct arena *arena, const struct session_job *job)
{
	struct db db = db_of_system(store, arena);
	struct lease_key key = { uuid_text(arena, &job->tenant), uuid_text(arena, &job->id) };
	struct lease_found found = { 0 };
	struct uuid lease;
	int r = key.tenant_id.at && key.id.at ? db_one(&db, &cancelled_lease, &key, &found)
					      : -(int)err_last()->code;

	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0 || !uuid_parse(found.id, &lease))
		return r;
	lock();
	tell_cancel(&lease, job);
	unlock();
	return 0;
}

static int hand_out_cancels(struct store *store, struct arena *arena)
{
	struct session_job job;
	bool missed = false, some;
	int r = 0;

	do {
		some = take_cancel(&job, &missed);
		if (some)
			r = look_up(store, arena, &job);
		if (missed || r < 0) {
			lock();
			all_look();
			unlock();
		}
		arena_reset(arena);
	} while (some && r == 0);
	return r;
}

/* --- beats ---------------------------------------------------------------------------------------
 */

struct beat {
	struct lease_key *keys;
	size_t count;
	struct lease_found *found;
	size_t found_count;
};

/* Blind changes of single rows by their keys. */
static const struct tx_options beating = {
	.name = "job-sessions", .durability = TX_SOFT, .isolation = TX_READ_COMMITTED
};

static int beat_in_tx(struct tx *tx, void *arg)
{
	struct beat *beat = arg;
	int r = 0;

	for (size_t i = 0; i < beat->count && r == 0; i++)
		r = tx_exec(tx, &session_beat, &beat->keys[i]);
	return r < 0 ? r : tx_all(tx, &sessions_beaten, NULL, &beat->found, &beat->found_count);
}

/* The next sessions that have not beaten in this round. */
static int next_keys(struct arena *arena, uint64_t round, struct beat *beat)
{
	struct session *session;

	beat->keys = arena_alloc(arena, BEATS_AT_ONCE * sizeof(*beat->keys));
	beat->count = 0;
	if (!beat->keys)
		return -(int)err_last()->code;
	lock();
	for (size_t i = 0; i < BUCKETS && beat->count < BEATS_AT_ONCE; i++)
		LIST_EACH (session, &list.buckets[i], struct session, link) {
			struct lease_key *key = &beat->keys[beat->count];

			if (session->round == round || beat->count == BEATS_AT_ONCE)
				continue;
			key->tenant_id = uuid_text(arena, &session->tenant);
			key->id = uuid_text(arena, &session->id);
			if (!key->id.at || !key->tenant_id.at)
				break;
			session->round = round;
			session->beaten = false;
			beat->count++;
		}
	unlock();
	return 0;
}

static void note_beaten(const struct beat *beat)
{
	struct session *session;
	struct uuid id;

	lock();
	for (size_t i = 0; i < beat->found_count; i++)
		if (uuid_parse(beat->found[i].id, &id))
			LIST_EACH (session, bucket_of(&id), struct session, link)
				if (uuid_cmp(&session->id, &id) == 0)
					session->beaten = true;
	unlock();
}

/* Whose row is gone is over: its jobs may be somebody else's. */
static void end_lost(uint64_t round)
{
	struct session *session;

	lock();
	for (size_t i = 0; i < BUCKETS; i++)
		LIST_EACH (session, &list.buckets[i], struct session, link)
			if (session->round == round && !session->beaten &&
				session->end == SESSION_STANDS) {
				session->end = SESSION_LOST;
				bell_ring(session->bell);
			}
	unlock();
}

int worker_sessions_beat(struct store *store, struct arena *arena)
{
	struct db db = db_of_system(store, arena);
	struct beat beat;
	uint64_t round;
	int r;

	lock();
	round = ++list.round;
	unlock();
	do {
		r = next_keys(arena, round, &beat);
		if (r == 0 && beat.count > 0)
			r = db_write_with(&db, &beating, beat_in_tx, &beat);
		if (r < 0)
			return r;
		if (beat.count > 0)
			note_beaten(&beat);
	} while (beat.count == BEATS_AT_ONCE);
	end_lost(round);
	return 0;
}

/* --- all the time --------------------------------------------------------------------------------
 */

int worker_sessions_tend(struct server *server)
{
	struct bell *bell = bell_of_tending();
	uint64_t next = clock_now_ns();
	struct arena arena;
	int r = 0;

	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	while (r == 0) {
		uint64_t rings = bell_rings(bell);

		r = hand_out_cancels(server->store, &arena);
		if (r == 0 && clock_now_ns() >= next) {
			next = clock_now_ns() + BEAT_EVERY;
			r = worker_sessions_beat(server->store, &arena);
		}
		arena_reset(&arena);
		if (r == 0)
			r = bell_wait(bell, rings, next);
		if (r == -ERR_TIMEOUT)
			r = 0;
	}
	arena_done(&arena);
	return r;
}

int worker_sessions_open(struct server *server)
{
	int r;

	for (size_t i = 0; i < BUCKETS; i++)
		link_init(&list.buckets[i]);
	list.count = list.cancel_count = 0;
	list.missed = false;
	list.cancel = (struct notice_listener){ .topic = JOBS_CANCEL_TOPIC, .heard = heard_cancel };
	list.over = (struct notice_listener){ .topic = JOBS_SESSION_TOPIC, .heard = heard_over };
	r = notice_listen(server->store, &list.cancel);
	if (r == 0) {
		r = notice_listen(server->store, &list.over);
		if (r < 0)
			notice_unlisten(server->store, &list.cancel);
	}
	return r;
}

void worker_sessions_close(struct server *server)
{
	notice_unlisten(server->store, &list.over);
	notice_unlisten(server->store, &list.cancel);
}
