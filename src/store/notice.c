/*
 * Notices on this instance: who listens, what a transaction has to tell, and telling it once it is
 * committed. What comes from other instances is notice_poller.c's.
 */
#include "store/notice_internal.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "crypto/random.h"
#include "observe/clock.h"
#include "store/notice_poller.h"
#include "store/store_internal.h"

/* --- statements -------------------------------------------------------------------- */

struct notice_row {
	struct str topic, key;
	int64_t origin;
};

static const struct schema notice_row_schema = SCHEMA(notice_row, "A notice for other instances.",
	FIELD(notice_row, topic, "About what."), FIELD(notice_row, key, "Which."),
	FIELD(notice_row, origin, "The instance that has told itself."));

#define INSERT                                                                                     \
	"INSERT INTO main.notice (tenant_id, topic, key, origin, created_us) "                     \
	"VALUES (:tenant, :topic, :key, :origin, :now)"

static const struct statement notice_insert =
	STATEMENT("notice_insert", .postgres = INSERT, .in = &notice_row_schema);
static const struct statement notice_insert_system = STATEMENT("notice_insert_system",
	.postgres = INSERT, .in = &notice_row_schema, .flags = STATEMENT_SYSTEM);

const struct statement *const notice_statements[] = { &notice_insert, &notice_insert_system };
const size_t notice_statement_count = LEN(notice_statements);

/* --- listeners --------------------------------------------------------------------- */

int notices_open(bool polled, struct notices **ret)
{
	struct notices *notices = mem_zalloc(sizeof(*notices));

	if (!notices)
		return -ERR_NO_MEMORY;
	(void)pthread_rwlock_init(&notices->lock, NULL);
	notices->polled = polled;
	notices->origin = (int64_t)random_u64();
	notices->look_every_ns = NOTICE_LOOK_EVERY;
	notices->retention_ns = NOTICE_RETENTION;
	*ret = notices;
	return 0;
}

void notices_close(struct notices *notices)
{
	if (!notices)
		return;
	(void)pthread_rwlock_destroy(&notices->lock);
	mem_free(notices, sizeof(*notices));
}

int notice_listen(struct store *store, struct notice_listener *listener)
{
	struct notices *notices = store->notices;
	bool full;

	CHECK(strlen(listener->topic) <= NOTICE_TOPIC_MAX);
	(void)pthread_rwlock_wrlock(&notices->lock);
	full = notices->count == NOTICE_LISTENERS_MAX;
	if (!full) {
		listener->next = notices->listeners;
		notices->listeners = listener;
		notices->count++;
	}
	(void)pthread_rwlock_unlock(&notices->lock);
	return full ? fail(ERR_FULL, "more than %d listen to notices", NOTICE_LISTENERS_MAX) : 0;
}

void notice_unlisten(struct store *store, struct notice_listener *listener)
{
	struct notices *notices = store->notices;
	struct notice_listener **at = &notices->listeners;

	(void)pthread_rwlock_wrlock(&notices->lock);
	while (*at && *at != listener)
		at = &(*at)->next;
	if (*at) {
		*at = listener->next;
		notices->count--;
	}
	(void)pthread_rwlock_unlock(&notices->lock);
}

void notices_tell(
	struct notices *notices, struct str topic, const struct uuid *tenant, struct str key)
{
	struct notice_listener *listener;

	nopark_begin();
	(void)pthread_rwlock_rdlock(&notices->lock);
	for (listener = notices->listeners; listener; listener = listener->next)
		if (str_eq(topic, str_from_c(listener->topic)))
			listener->heard(listener, tenant, key);
	(void)pthread_rwlock_unlock(&notices->lock);
	nopark_end();
}

void notices_tell_missed(struct notices *notices)
{
	static const struct uuid nobody;
	struct notice_listener *listener;

	nopark_begin();
	(void)pthread_rwlock_rdlock(&notices->lock);
	for (listener = notices->listeners; listener; listener = listener->next)
		listener->heard(listener, &nobody, str_of(NULL, 0));
	(void)pthread_rwlock_unlock(&notices->lock);
	nopark_end();
}

bool notices_fresh_at(const struct notices *notices, uint64_t now_ns)
{
	uint64_t looked_ns;

	if (!notices->polled)
		return true;
	looked_ns = atomic_load_explicit(&notices->looked_ns, memory_order_acquire);
	return looked_ns && (now_ns < looked_ns || now_ns - looked_ns < NOTICE_STALE_AFTER);
}

bool notices_fresh(const struct store *store)
{
	return !store->notices->polled || notices_fresh_at(store->notices, clock_now_ns());
}

void notice_hint(struct store *store, struct str topic, struct str key)
{
	if (store->notices->poller)
		notice_hint_say(store->notices->poller, topic, key);
}

/* --- of a transaction ---------------------------------------------------------------- */

/* What one attempt has to tell, in its arena. */
struct notice_batch {
	struct notices *to;
	struct link all;
	size_t count;
};

struct pending_notice {
	struct link link;
	struct uuid tenant;
	struct str topic, key;
};

void notices_tell_batch(const struct notice_batch *batch)
{
	struct pending_notice *notice;

	LIST_EACH (notice, &batch->all, struct pending_notice, link)
		notices_tell(batch->to, notice->topic, &notice->tenant, notice->key);
	if (batch->to->poller)
		notice_hint_want(batch->to->poller);
}

/* The batch of the attempt; NULL without memory. */
static struct notice_batch *batch_of(struct tx *tx)
{
	struct notice_batch *batch = tx->notices;

	if (!batch) {
		batch = arena_new(tx->arena, struct notice_batch);
		if (!batch)
			return NULL;
		batch->to = tx->store->notices;
		link_init(&batch->all);
		tx->notices = batch;
	}
	return batch;
}

static int remember(struct tx *tx, struct str topic, struct str key)
{
	struct notice_batch *batch = batch_of(tx);
	struct pending_notice *notice;

	if (!batch)
		return -(int)err_last()->code;
	if (batch->count == TX_NOTICES_MAX)
		return fail(ERR_FULL, "more than %d notices in a transaction", TX_NOTICES_MAX);
	notice = arena_new(tx->arena, struct pending_notice);
	if (!notice)
		return -(int)err_last()->code;
	notice->tenant = tx->tenant;
	notice->topic = arena_str(tx->arena, topic);
	notice->key = arena_str(tx->arena, key);
	if (!notice->topic.at || !notice->key.at)
		return -(int)err_last()->code;
	list_push(&batch->all, &notice->link);
	batch->count++;
	return 0;
}

static bool is_sound(struct str text, size_t most)
{
	return text.len <= most && utf8_valid(text) && str_find_byte(text, 0) < 0;
}

/* Leaves it for other instances. */
static int leave_row(struct tx *tx, struct str topic, struct str key)
{
	bool system = tx->system && !tx->entered;
	struct notice_row row = { topic, key, tx->store->notices->origin };

	return tx_exec(tx, system ? &notice_insert_system : &notice_insert, &row);
}

int tx_notice(struct tx *tx, struct str topic, struct str key)
{
	int r;

	CHECK(!tx->stepping); /* not out of tx_each */
	if (tx->failed)
		return tx_failed_before(tx);
	if (tx->read_only)
		return tx_keep(tx, fail(ERR_INTERNAL, "a notice in a transaction that only reads"));
	if (topic.len == 0 || !is_sound(topic, NOTICE_TOPIC_MAX) || !is_sound(key, NOTICE_KEY_MAX))
		return tx_keep(tx, fail(ERR_INVALID, "a notice is not text, or too long"));

	r = remember(tx, topic, key);
	if (r == 0 && tx->engine->kind == ENGINE_POSTGRES)
		r = leave_row(tx, topic, key);
	return tx_keep(tx, r);
}
