/*
 * Which sessions have ended while access tokens of theirs are still good: in memory on every
 * instance, fed by notices, and by the rows at the start and whenever notices may have been missed.
 * What is here only grows until its time is over, so a row that is read late takes nothing back.
 * When memory does not suffice, or this instance cannot hear, the rows are asked each time.
 */
#include "modules/auth/auth_session.h"

#include "base/mem.h"
#include "crypto/digest.h"
#include "http/server.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "store/notice.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	SHARDS = 64,         /* by the last byte of an id, which is random */
	SHARD_ROOM = 64,     /* slots of a shard with its first entry; a power of two */
	SHARD_MAX = 1 << 12, /* 260,000 sessions that ended within a quarter of an hour */
};

/* Access tokens are believed for so long beyond their end, and a moment. */
#define REVOKED_MARGIN (2 * MINUTE)

/* When reading failed, it is tried again after so long. */
#define READ_AGAIN SECOND

struct revoked {
	struct uuid session;
	int64_t until_us; /* 0: free */
};

struct shard {
	pthread_mutex_t lock; /* guards what follows */
	struct revoked *at;   /* open addressing */
	size_t room, count;
	int64_t full_until_us; /* something found no place; until then the rows are asked */
};

static struct {
	struct shard shards[SHARDS];
	_Atomic size_t full;     /* shards with full_until_us */
	_Atomic size_t count;    /* of all shards: mostly 0 */
	_Atomic uint64_t missed; /* grows when something may have been missed */
	_Atomic uint64_t read;   /* `missed` before the rows were read */
	atomic_bool reading;
	_Atomic uint64_t retry_ns;
	struct notice_listener listener;
	struct refresh_keys keys, former_keys;
} sessions;

const struct refresh_keys *session_keys(void)
{
	return &sessions.keys;
}

static int64_t lifetime_us(void)
{
	return (int64_t)((auth_options()->access_ns + REVOKED_MARGIN) / MICROSECOND);
}

/* --- the table ------------------------------------------------------------------------------ */

static struct shard *shard_of(const struct uuid *session)
{
	return &sessions.shards[session->bytes[15] % SHARDS];
}

/* Where the session is, or would be. The shard has a free slot. */
static struct revoked *place_of(const struct revoked *at, size_t room, const struct uuid *session)
{
	size_t i = (size_t)session->bytes[14] << 8 | session->bytes[13];

	for (i &= room - 1; at[i].until_us != 0; i = (i + 1) & (room - 1))
		if (uuid_cmp(&at[i].session, session) == 0)
			break;
	return (struct revoked *)&at[i];
}

/* Moves what counts at `now_us` to a table of that room. */
static bool rebuild(struct shard *shard, size_t room, int64_t now_us)
{
	struct revoked *at = mem_zalloc(room * sizeof(*at));
	size_t count = 0;

	if (!at)
		return false;
	for (size_t i = 0; i < shard->room; i++)
		if (shard->at[i].until_us > now_us) {
			*place_of(at, room, &shard->at[i].session) = shard->at[i];
			count++;
		}
	mem_free(shard->at, shard->room * sizeof(*at));
	atomic_fetch_sub(&sessions.count, shard->count - count);
	shard->at = at;
	shard->room = room;
	shard->count = count;
	return true;
}

/* Three quarters full is full. One that could not grow any more is left to the chore: looking for
 * what is over each time would hold up whoever tells of a session. */
static bool has_place(struct shard *shard, int64_t now_us)
{
	if (shard->count < shard->room / 4 * 3)
		return true;
	if (shard->full_until_us > now_us)
		return false;
	if (shard->room && rebuild(shard, shard->room, now_us) && shard->count < shard->room / 2)
		return true;
	return shard->room < SHARD_MAX &&
	       rebuild(shard, shard->room ? 2 * shard->room : SHARD_ROOM, now_us);
}

static void add(const struct uuid *session, int64_t until_us, int64_t now_us)
{
	struct shard *shard = shard_of(session);
	struct revoked *place;

	if (until_us <= now_us)
		return;
	(void)pthread_mutex_lock(&shard->lock);
	if (!has_place(shard, now_us)) {
		if (shard->full_until_us == 0)
			atomic_fetch_add(&sessions.full, 1);
		shard->full_until_us = MAX(shard->full_until_us, until_us);
	} else {
		place = place_of(shard->at, shard->room, session);
		if (place->until_us == 0) {
			place->session = *session;
			shard->count++;
			atomic_fetch_add(&sessions.count, 1);
		}
		place->until_us = MAX(place->until_us, until_us);
	}
	(void)pthread_mutex_unlock(&shard->lock);
}

enum known { KNOWN_GOOD, KNOWN_REVOKED, NOT_KNOWN };

static enum known look(const struct uuid *session, int64_t now_us)
{
	struct shard *shard = shard_of(session);
	enum known known = KNOWN_GOOD;

	(void)pthread_mutex_lock(&shard->lock);
	if (shard->room && place_of(shard->at, shard->room, session)->until_us != 0)
		known = KNOWN_REVOKED;
	else if (shard->full_until_us > now_us)
		known = NOT_KNOWN;
	(void)pthread_mutex_unlock(&shard->lock);
	return known;
}

/* --- hearing and reading -------------------------------------------------- */

static void hear(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	int64_t now_us = clock_wall_us();
	struct uuid session;

	(void)listener, (void)tenant;
	if (uuid_parse(key, &session))
		add(&session, now_us + lifetime_us(), now_us);
	else
		atomic_fetch_add(&sessions.missed, 1);
}

static int read_row(void *row, void *arg)
{
	const struct session *session = row;
	int64_t now_us = *(const int64_t *)arg;
	struct uuid id;

	CHECK(uuid_parse(session->id, &id));
	add(&id, session->revoked_at.value + lifetime_us(), now_us);
	return 0;
}

static int read_in_tx(struct tx *tx, void *arg)
{
	int64_t now_us = tx_now_us(tx);
	struct session_search search = { .since = now_us - lifetime_us() };
	struct session row;

	(void)arg;
	return tx_each(tx, &session_revoked_since, &search, &row, read_row, &now_us);
}

static int read_rows(struct store *store)
{
	uint64_t missed = atomic_load(&sessions.missed);
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	db = db_of_system(store, &arena);
	r = db_read(&db, read_in_tx, NULL);
	arena_done(&arena);
	if (r == 0)
		atomic_store(&sessions.read, missed);
	atomic_store(&sessions.retry_ns, clock_now_ns() + READ_AGAIN);
	return r;
}

/* Whether what is in memory is all there is; one fiber sees to it, others ask the rows meanwhile.
 */
static bool is_whole(struct store *store)
{
	bool whole;

	if (atomic_load_explicit(&sessions.read, memory_order_acquire) ==
		atomic_load_explicit(&sessions.missed, memory_order_acquire))
		return true;
	if (clock_now_ns() < atomic_load(&sessions.retry_ns) && atomic_load(&sessions.read) != 0)
		return false;
	if (atomic_exchange(&sessions.reading, true))
		return false;
	whole = read_rows(store) == 0;
	if (!whole)
		log_warn("the ended sessions were not read", LOG_ERR);
	atomic_store(&sessions.reading, false);
	return whole;
}

/* --- asking --------------------------------------------------------------- */

static int refuse(void)
{
	return fail(ERR_UNAUTHORIZED, "the session has ended");
}

static int ask_row(struct req *req, const struct uuid *tenant, const struct uuid *session)
{
	struct db db = db_of(req_server(req)->store, tenant, &req->arena);
	struct session_ref ref = { uuid_text(&req->arena, session) }, found;
	int r = ref.id.at ? db_one(&db, &session_live, &ref, &found) : -(int)err_last()->code;

	return r == -ERR_NOT_FOUND ? refuse() : r;
}

int session_check(struct req *req, const struct uuid *tenant, const struct uuid *session)
{
	struct store *store = req_server(req)->store;

	if (UNLIKELY(!is_whole(store) || !notices_fresh(store)))
		return ask_row(req, tenant, session);
	if (LIKELY(atomic_load_explicit(&sessions.count, memory_order_acquire) == 0 &&
		    atomic_load_explicit(&sessions.full, memory_order_acquire) == 0))
		return 0;
	switch (look(session, clock_wall_us())) {
	case KNOWN_GOOD: return 0;
	case KNOWN_REVOKED: return refuse();
	case NOT_KNOWN: break;
	}
	return ask_row(req, tenant, session);
}

/* --- open, close, now and then -------------------------------------------- */

int sessions_open(struct server *server)
{
	struct master_key master = auth_master_key(server);
	int r = schema_compile(&session_ended_schema);

	if (r < 0)
		return r;
	for (size_t i = 0; i < SHARDS; i++)
		(void)pthread_mutex_init(&sessions.shards[i].lock, NULL);
	if (server->former_key)
		refresh_keys_make(&sessions.former_keys, server->former_key, NULL);
	refresh_keys_make(
		&sessions.keys, &master, server->former_key ? &sessions.former_keys : NULL);
	master_key_done(&master);
	atomic_store(&sessions.missed, 1);
	atomic_store(&sessions.read, 0);
	atomic_store(&sessions.retry_ns, 0);
	sessions.listener = (struct notice_listener){ .topic = SESSION_TOPIC, .heard = hear };
	users_watch(&session_watcher);
	r = notice_listen(server->store, &sessions.listener);
	if (r < 0)
		schema_release(&session_ended_schema);
	return r;
}

void sessions_close(struct server *server)
{
	notice_unlisten(server->store, &sessions.listener);
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &sessions.shards[i];

		mem_free(shard->at, shard->room * sizeof(*shard->at));
		(void)pthread_mutex_destroy(&shard->lock);
		*shard = (struct shard){ 0 };
	}
	atomic_store(&sessions.count, 0);
	atomic_store(&sessions.full, 0);
	schema_release(&session_ended_schema);
	crypto_wipe(&sessions.keys, sizeof(sessions.keys));
	crypto_wipe(&sessions.former_keys, sizeof(sessions.former_keys));
}

/* Takes out whose time is over. */
static void forget_old(struct shard *shard, int64_t now_us)
{
	(void)pthread_mutex_lock(&shard->lock);
	if (shard->count > 0)
		(void)rebuild(shard, shard->room, now_us);
	if (shard->full_until_us && shard->full_until_us <= now_us) {
		shard->full_until_us = 0;
		atomic_fetch_sub(&sessions.full, 1);
	}
	(void)pthread_mutex_unlock(&shard->lock);
}

int sessions_tend(struct server *server)
{
	for (size_t i = 0; i < SHARDS; i++)
		forget_old(&sessions.shards[i], clock_wall_us());
	(void)is_whole(server->store);
	return 0;
}
