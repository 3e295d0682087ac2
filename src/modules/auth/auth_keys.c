/*
 * The signing keys in memory. The rows are read when a notice says that they have changed; the keys
 * that are known already stay, others are opened on a thread of their own, as new ones are made
 * there, since RSA takes its time. One fiber does that; the others go on with what there is, and
 * wait only when there is nothing.
 */
#include "modules/auth/auth_keys_internal.h"

#include "http/server.h"
#include "loop/offload.h"
#include "modules/auth/auth_internal.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "store/notice.h"

#include <stdatomic.h>

enum {
	POOL_QUEUE = 64,
	ARENA_MAX = 1024 * 1024,
};

/* When reading failed, or what changes cannot be heard, the rows are read again after so long. */
#define READ_AGAIN SECOND

/* Who waits for a first key looks so often. */
#define LOOK_AGAIN (5 * MILLISECOND)

/* A key and its times, in microseconds since 1970. */
struct known_key {
	struct sign_key *key;
	int64_t signs_us, until_us;
};

static struct keys {
	struct sealing sealing;
	struct token_keyring *ring;
	struct offload pool;
	bool pool_open;
	struct notice_listener listener;

	atomic_bool reading;       /* a fiber reads the rows */
	_Atomic uint64_t heard;    /* grows with each notice */
	_Atomic uint64_t read;     /* `heard` before the rows were read */
	_Atomic uint64_t again_ns; /* when to read again what cannot be heard of, */
	_Atomic uint64_t retry_ns; /* or what could not be read */

	pthread_mutex_t lock;                /* guards what follows; nothing is computed under it */
	struct known_key at[TOKEN_KEYS_MAX]; /* in the order they sign */
	size_t count;
	struct token_keys *published;
} keys = { .lock = PTHREAD_MUTEX_INITIALIZER };

const struct sealing *keys_sealing(void)
{
	return &keys.sealing;
}

struct token_keyring *keys_ring(void)
{
	return keys.ring;
}

/* --- on the pool's thread -------------------------------------------------------------------- */

/* Work of a fiber that waits for it. */
struct errand {
	int (*run)(struct errand *);
	struct arena *arena;
	int result;
	struct err err; /* of that thread, for the fiber's slot */

	struct signing_key *rows; /* of which those without a key are opened, */
	struct sign_key *opened[TOKEN_KEYS_MAX];
	size_t count;
	struct signing_key *made; /* or a new one */
};

static void run_errand(void *arg)
{
	struct errand *errand = arg;

	errand->result = errand->run(errand);
	errand->err = *err_last();
}

static int send_errand(struct errand *errand)
{
	int r = offload_call(&keys.pool, run_errand, errand);

	if (r == 0 && errand->result < 0)
		r = err_restore(&errand->err);
	return r;
}

static int open_all(struct errand *errand)
{
	int r = 0;

	for (size_t i = 0; i < errand->count && r == 0; i++)
		if (!errand->opened[i])
			r = signing_key_open(&errand->rows[i], &errand->opened[i]);
	return r;
}

static int make_one(struct errand *errand)
{
	const struct auth_options *options = auth_options();
	unsigned bits = options->algorithm == SIGN_RS256 ? options->rsa_bits : 0;
	struct sign_key *key = NULL;
	int r = sign_key_generate(options->algorithm, bits, &key);

	if (r == 0)
		r = signing_key_seal(key, errand->arena, errand->made);
	sign_key_unref(key);
	return r;
}

/* --- what is known -------------------------------------------------------- */

static struct sign_key *find_known(struct str id)
{
	struct sign_key *key = NULL;

	(void)pthread_mutex_lock(&keys.lock);
	for (size_t i = 0; i < keys.count && !key; i++)
		if (str_eq(sign_key_id(keys.at[i].key), id))
			key = sign_key_ref(keys.at[i].key);
	(void)pthread_mutex_unlock(&keys.lock);
	return key;
}

/* Takes over the opened keys of those rows that are still needed. */
static int publish(struct errand *errand)
{
	struct sign_key *needed[TOKEN_KEYS_MAX];
	struct known_key known[TOKEN_KEYS_MAX];
	struct token_keys *set = NULL, *former;
	int64_t now_us = clock_wall_us();
	size_t count = 0, former_count;
	int r;

	for (size_t i = 0; i < errand->count; i++) {
		int64_t until_us = signing_key_until(errand->rows, errand->count, i);

		if (until_us <= now_us)
			continue;
		needed[count] = errand->opened[i];
		known[count++] = (struct known_key){ sign_key_ref(errand->opened[i]),
			errand->rows[i].signs_at, until_us };
	}
	r = token_keys_new(needed, count, &set);
	if (r < 0) {
		while (count > 0)
			sign_key_unref(known[--count].key);
		return r;
	}
	(void)pthread_mutex_lock(&keys.lock);
	former_count = keys.count;
	for (size_t i = 0; i < TOKEN_KEYS_MAX; i++) {
		struct known_key swap = keys.at[i];

		if (i < count)
			keys.at[i] = known[i];
		known[i] = swap;
	}
	keys.count = count;
	former = keys.published;
	keys.published = set;
	(void)pthread_mutex_unlock(&keys.lock);

	token_keyring_publish(keys.ring, set);
	while (former_count > 0)
		sign_key_unref(known[--former_count].key);
	token_keys_unref(former);
	return 0;
}

static int take_over(const struct db *db, struct signing_key *rows, size_t count)
{
	struct errand errand = {
		.run = open_all, .arena = db->arena, .rows = rows, .count = count
	};
	bool all = true;
	int r = 0;

	if (count > TOKEN_KEYS_MAX)
		return fail(ERR_INTERNAL, "there are %zu signing keys", count);
	for (size_t i = 0; i < count; i++) {
		errand.opened[i] = find_known(rows[i].id);
		all = all && errand.opened[i];
	}
	if (!all)
		r = send_errand(&errand);
	if (r == 0)
		r = publish(&errand);
	for (size_t i = 0; i < count; i++)
		sign_key_unref(errand.opened[i]);
	return r;
}

/* --- new ones ------------------------------------------------------------- */

static int64_t lifetime_us(void)
{
	return (int64_t)(auth_options()->access_ns / MICROSECOND);
}

static int add(const struct db *db, struct key_add *adding)
{
	struct errand errand = { .run = make_one, .arena = db->arena, .made = &adding->row };
	bool at_once = adding->newest.len == 0 || adding->reason == KEY_NOW;
	int r = send_errand(&errand);

	if (r < 0)
		return r;
	adding->row.token_us = lifetime_us();
	adding->wait_ns = at_once ? 0 : auth_options()->key_overlap_ns;
	r = db_write_with(db, &(struct tx_options){ .name = "signing_key_add" },
		signing_key_add_in_tx, adding);
	if (r == 0 && adding->added)
		log_info("a signing key was made", LOG_STR("kid", adding->row.id),
			LOG_STR("alg", sign_alg(adding->row.algorithm)));
	return r;
}

/* Whether the newest key makes another one unnecessary. */
static bool is_enough(enum key_reason reason, const struct signing_key *newest)
{
	const struct auth_options *options = auth_options();
	int64_t age_us = clock_wall_us() - newest->signs_at;
	uint64_t ahead_ns = options->key_every_ns > options->key_overlap_ns
				    ? options->key_every_ns - options->key_overlap_ns
				    : 0;

	switch (reason) {
	case KEY_FIRST: return true;
	case KEY_SCHEDULE:
		return age_us < 0 || (newest->algorithm == options->algorithm &&
					     (options->key_every_ns == 0 ||
						     (uint64_t)age_us < ahead_ns / MICROSECOND));
	case KEY_COMMAND: return age_us < 0;
	case KEY_NOW: break;
	}
	return false;
}

static int rotate(const struct db *db, enum key_reason reason, struct signing_key *ret)
{
	struct key_add adding = { .reason = reason };
	struct signing_key *rows = NULL, *newest;
	size_t count = 0;
	int r = signing_keys_read(db, &rows, &count);

	if (r < 0)
		return r;
	newest = count ? &rows[count - 1] : NULL;
	if (newest && is_enough(reason, newest)) {
		*ret = *newest;
		return 0;
	}
	if (newest)
		adding.newest = newest->id;
	r = add(db, &adding);
	if (r < 0)
		return r;
	if (!adding.added) { /* somebody else was faster */
		r = signing_keys_read(db, &rows, &count);
		if (r == 0 && count == 0)
			r = fail(ERR_UNAVAILABLE, "there is no signing key");
		if (r < 0)
			return r;
	}
	*ret = adding.added ? adding.row : rows[count - 1];
	return 0;
}

int keys_rotate(
	struct store *store, enum key_reason reason, struct arena *arena, struct signing_key *ret)
{
	struct db db = db_of(store, &tenant_system, arena);

	return rotate(&db, reason, ret);
}

/* --- reading -------------------------------------------------------------- */

static int read_rows(const struct db *db)
{
	uint64_t heard = atomic_load(&keys.heard);
	struct signing_key *rows = NULL, first;
	size_t count = 0;
	int r = signing_keys_read(db, &rows, &count);

	if (r == 0 && count == 0) {
		r = rotate(db, KEY_FIRST, &first);
		if (r == 0)
			r = signing_keys_read(db, &rows, &count);
	}
	if (r == 0)
		r = take_over(db, rows, count);
	if (r == 0)
		atomic_store(&keys.read, heard);
	return r;
}

static int read_alone(struct store *store)
{
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, 16 * KILOBYTE, ARENA_MAX);
	db = db_of(store, &tenant_system, &arena);
	r = read_rows(&db);
	arena_done(&arena);
	atomic_store(r < 0 ? &keys.retry_ns : &keys.again_ns, clock_now_ns() + READ_AGAIN);
	return r;
}

static bool has_keys(void)
{
	return atomic_load_explicit(&keys.read, memory_order_acquire) > 0;
}

static bool is_current(const struct store *store)
{
	bool heard_all = atomic_load_explicit(&keys.read, memory_order_relaxed) ==
			 atomic_load_explicit(&keys.heard, memory_order_relaxed);

	if (LIKELY(has_keys() && heard_all && notices_fresh(store)))
		return true;
	return has_keys() &&
	       clock_now_ns() < atomic_load(heard_all ? &keys.again_ns : &keys.retry_ns);
}

/* Those that are there are better than none. */
static int read_or_go_on(struct store *store)
{
	int r = read_alone(store);

	atomic_store(&keys.reading, false);
	if (r < 0 && has_keys() && r != -ERR_CANCELLED && r != -ERR_TIMEOUT) {
		log_error("the signing keys were not read", LOG_ERR);
		return 0;
	}
	return r < 0 ? err_wrap("the signing keys") : 0;
}

int keys_ready(struct store *store)
{
	int r = 0;

	while (UNLIKELY(!is_current(store)) && r == 0) {
		if (!atomic_exchange(&keys.reading, true))
			return read_or_go_on(store);
		if (has_keys())
			return 0;
		r = fiber_sleep_until(clock_now_ns() + LOOK_AGAIN);
	}
	return r;
}

int keys_signer(struct store *store, struct sign_key **ret)
{
	int64_t now_us = clock_wall_us();
	struct sign_key *key = NULL;
	int r = keys_ready(store);

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&keys.lock);
	for (size_t i = 0; i < keys.count; i++)
		if (i == 0 || keys.at[i].signs_us <= now_us)
			key = keys.at[i].key;
	if (key)
		(void)sign_key_ref(key);
	(void)pthread_mutex_unlock(&keys.lock);
	if (!key)
		return fail(ERR_UNAVAILABLE, "there is no signing key");
	*ret = key;
	return 0;
}

int keys_published(struct store *store, struct token_keys **ret)
{
	int r = keys_ready(store);

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&keys.lock);
	*ret = token_keys_ref(keys.published);
	(void)pthread_mutex_unlock(&keys.lock);
	return 0;
}

/* --- now and then --------------------------------------------------------- */

static bool some_are_over(void)
{
	int64_t now_us = clock_wall_us();
	bool over = false;

	(void)pthread_mutex_lock(&keys.lock);
	for (size_t i = 0; i < keys.count; i++)
		over = over || keys.at[i].until_us <= now_us;
	(void)pthread_mutex_unlock(&keys.lock);
	return over;
}

/* Whether a row is of no use any more, or knows of shorter lifetimes than there are. */
static bool is_sweepable(const struct signing_key *rows, size_t count)
{
	int64_t now_us = clock_wall_us();

	for (size_t i = 0; i < count; i++)
		if (rows[i].token_us < lifetime_us() || signing_key_until(rows, count, i) <= now_us)
			return true;
	return false;
}

static int tend(const struct db *db)
{
	static const struct tx_options options = { .name = "signing_key_sweep" };
	int64_t life_us = lifetime_us();
	struct signing_key newest, *rows = NULL;
	size_t count = 0;
	int r = rotate(db, KEY_SCHEDULE, &newest);

	if (r == 0)
		r = signing_keys_read(db, &rows, &count);
	if (r == 0 && is_sweepable(rows, count))
		r = db_write_with(db, &options, signing_keys_sweep_in_tx, &life_us);
	if (r == 0 && some_are_over())
		atomic_fetch_add(&keys.heard, 1);
	return r;
}

int keys_tend(struct server *server)
{
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, 16 * KILOBYTE, ARENA_MAX);
	db = db_of(server->store, &tenant_system, &arena);
	r = tend(&db);
	arena_done(&arena);
	return r < 0 ? r : keys_ready(server->store);
}

/* --- sealing anew --------------------------------------------------------- */

/* Nobody needs to hear of it: keys that are open are open. */
int keys_reseal(struct server *server, struct resealed *counted)
{
	static const struct tx_options options = { .name = "signing_key_reseal" };
	struct resealed found = { 0 };
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, 64 * KILOBYTE, 4 * MEGABYTE);
	db = db_of(server->store, &tenant_system, &arena);
	r = db_write_with(&db, &options, signing_keys_reseal_in_tx, &found);
	arena_done(&arena);
	if (r < 0)
		return r;
	counted->sealed += found.sealed;
	counted->lost += found.lost;
	return 0;
}

/* --- open and close ------------------------------------------------------- */

static void hear(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	(void)listener, (void)tenant, (void)key;
	atomic_fetch_add(&keys.heard, 1);
}

static int make_ring(void)
{
	struct token_keys *none = NULL;
	int r = token_keys_new(NULL, 0, &none);

	if (r == 0)
		r = token_keyring_new(none, &keys.ring);
	token_keys_unref(none);
	return r;
}

int keys_open(struct server *server)
{
	struct master_key master;
	struct err err;
	int r = make_ring();

	if (r < 0)
		return r;
	master = auth_master_key(server);
	sealing_init(&keys.sealing, &master, server->former_key, S("auth/signing keys"));
	master_key_done(&master);
	atomic_store(&keys.heard, 1);
	atomic_store(&keys.read, 0);
	r = offload_open(&keys.pool, "authkeys", 1, POOL_QUEUE);
	keys.pool_open = r == 0;
	keys.listener = (struct notice_listener){ .topic = SIGNING_KEY_TOPIC, .heard = hear };
	if (r == 0)
		r = notice_listen(server->store, &keys.listener);
	if (r == 0)
		return 0;
	err = *err_last();
	keys_close(server);
	return err_restore(&err);
}

void keys_close(struct server *server)
{
	notice_unlisten(server->store, &keys.listener);
	if (keys.pool_open)
		offload_close(&keys.pool);
	keys.pool_open = false;
	while (keys.count > 0)
		sign_key_unref(keys.at[--keys.count].key);
	token_keys_unref(TAKE(keys.published));
	token_keyring_free(TAKE(keys.ring));
	sealing_done(&keys.sealing);
}
