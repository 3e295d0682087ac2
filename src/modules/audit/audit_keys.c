/*
 * The keys of the log: of the installation's key, of the one before while that is being changed,
 * and of those long gone, which rows keep sealed. They only ever become more, so whoever reads them
 * needs no lock.
 */
#include "modules/audit/audit_internal.h"

#include "base/err.h"
#include "crypto/base64.h"
#include "crypto/sealing.h"
#include "observe/log.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

static struct {
	struct audit_keys at[AUDIT_KEYS_MAX];
	atomic_size_t count;
	struct sealing sealing; /* of former keys in rows */
	pthread_mutex_t lock;   /* of who adds one */
} known = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void make_keys(struct audit_keys *ret, const struct master_key *master)
{
	uint8_t id[MASTER_KEY_LEN];

	master_key_derive(master, S("audit/entry"), ret->entry);
	master_key_derive(master, S("audit/chain"), ret->chain);
	master_key_derive(master, S("audit/mark"), ret->mark);
	master_key_derive(master, S("audit/key id"), id);
	hex_write(ret->id, str_of((const char *)id, AUDIT_KEY_ID / 2));
	ret->trusted = true;
}

void audit_keys_set(const struct master_key *master, const struct master_key *former)
{
	static const struct master_key zero;

	if (!master)
		master = &zero;
	make_keys(&known.at[0], master);
	if (former)
		make_keys(&known.at[1], former);
	sealing_init(&known.sealing, master, former, S("audit/former keys"));
	atomic_store(&known.count, former ? 2 : 1);
}

void audit_keys_forget(void)
{
	atomic_store(&known.count, 0);
	crypto_wipe(known.at, sizeof(known.at));
	sealing_done(&known.sealing);
}

size_t audit_key_count(void)
{
	return atomic_load_explicit(&known.count, memory_order_acquire);
}

const struct audit_keys *audit_key_at(size_t key)
{
	return &known.at[key];
}

bool audit_key_of(struct str id, size_t *ret)
{
	for (size_t i = 0; i < audit_key_count(); i++)
		if (str_eq(id, str_of(known.at[i].id, AUDIT_KEY_ID))) {
			*ret = i;
			return true;
		}
	return false;
}

bool audit_key_may(const struct audit_eras *eras, size_t key, int64_t sequence)
{
	if (known.at[key].trusted)
		return true;
	for (size_t i = 0; eras && i < eras->count; i++)
		if (eras->at[i].key == key)
			return sequence > 0 && sequence <= eras->at[i].until;
	return false;
}

/* --- rows ------------------------------------------------------------------------------------ */

/* What is sealed of a former key. */
enum { SECRETS_LEN = 3 * MASTER_KEY_LEN, BOX_LEN = SECRETS_LEN + AEAD_OVERHEAD };

static int open_row(const struct audit_former *row, struct audit_keys *ret)
{
	uint8_t box[BOX_LEN], secrets[SECRETS_LEN];
	int r;

	if (row->key_id.len != AUDIT_KEY_ID ||
		!base64_read_exact(BASE64_URL, row->sealed, box, sizeof(box)))
		return fail(ERR_INVALID, "this is no former key");
	r = sealing_open(
		&known.sealing, row->key_id, str_of((const char *)box, sizeof(box)), secrets);
	if (r < 0)
		return r;
	*ret = (struct audit_keys){ .trusted = false };
	memcpy(ret->id, row->key_id.at, AUDIT_KEY_ID);
	memcpy(ret->entry, secrets, MASTER_KEY_LEN);
	memcpy(ret->chain, secrets + MASTER_KEY_LEN, MASTER_KEY_LEN);
	memcpy(ret->mark, secrets + 2 * MASTER_KEY_LEN, MASTER_KEY_LEN);
	crypto_wipe(secrets, sizeof(secrets));
	return 0;
}

static int add_key(const struct audit_keys *keys)
{
	size_t count = audit_key_count();

	if (count == AUDIT_KEYS_MAX)
		return fail(ERR_FULL, "more than %d former keys", AUDIT_KEYS_MAX - 2);
	known.at[count] = *keys;
	atomic_store_explicit(&known.count, count + 1, memory_order_release);
	return 0;
}

static int know(const struct audit_former *row)
{
	struct audit_keys keys;
	size_t key;
	int r;

	if (audit_key_of(row->key_id, &key))
		return 0;
	r = open_row(row, &keys);
	if (r == -ERR_INVALID) {
		log_error("a former key of the audit log does not open",
			LOG_STR("key", row->key_id), LOG_ERR);
		return 0;
	}
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&known.lock);
	r = audit_key_of(row->key_id, &key) ? 0 : add_key(&keys);
	(void)pthread_mutex_unlock(&known.lock);
	crypto_wipe(&keys, sizeof(keys));
	return r;
}

int audit_keys_read(struct store *store)
{
	struct audit_former *rows = NULL;
	struct arena arena;
	struct db db = db_of(store, &tenant_system, &arena);
	size_t count = 0;
	int r;

	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	r = db_all(&db, &audit_former_list, NULL, &rows, &count);
	for (size_t i = 0; i < count && r == 0; i++)
		r = know(&rows[i]);
	arena_done(&arena);
	return r;
}

int audit_former_seal(struct arena *arena, struct audit_former *ret)
{
	const struct audit_keys *keys = &known.at[1];
	uint8_t secrets[SECRETS_LEN], box[BOX_LEN];
	char *text = arena_alloc(arena, base64_len(BASE64_URL, sizeof(box)));
	int r;

	CHECK(known.sealing.has_former);
	if (!text)
		return -(int)err_last()->code;
	memcpy(secrets, keys->entry, MASTER_KEY_LEN);
	memcpy(secrets + MASTER_KEY_LEN, keys->chain, MASTER_KEY_LEN);
	memcpy(secrets + 2 * MASTER_KEY_LEN, keys->mark, MASTER_KEY_LEN);
	ret->key_id = str_of(keys->id, AUDIT_KEY_ID);
	r = aead_seal(&known.sealing.key, ret->key_id,
		str_of((const char *)secrets, sizeof(secrets)), box);
	crypto_wipe(secrets, sizeof(secrets));
	if (r == 0)
		ret->sealed = str_of(text,
			base64_write(BASE64_URL, text, str_of((const char *)box, sizeof(box))));
	return r;
}

int audit_former_again(const struct audit_former *row, struct arena *arena, struct str *ret)
{
	return sealing_again(&known.sealing, row->key_id, row->sealed, arena, ret);
}
