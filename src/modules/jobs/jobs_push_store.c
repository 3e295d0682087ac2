/* Secrets of queues with an address, sealed under the installation's key; and which queues may have
 * one. */
#include "modules/jobs/jobs_push.h"

#include "base/err.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "crypto/sealing.h"
#include "http/server.h"
#include "observe/clock.h"

#define FORMER_SIGNS (24 * HOUR)

enum { KEY_ID = 1, BOX_LEN = PUSH_SECRET_LEN + AEAD_OVERHEAD };

/* --- rows ------------------------------------------------------------------------------------ */

struct push_key {
	struct str queue;
};

struct push_row {
	struct str queue;
	struct str secret;
	struct opt_str former;
	struct opt_i64 former_until;
};

struct push_name {
	struct str name;
};

/* clang-format off */
static const struct schema push_key_schema = SCHEMA(push_key, "A queue.",
	FIELD(push_key, queue, "Its name."));

static const struct schema push_row_schema = SCHEMA(push_row, "What signs for a queue.",
	FIELD(push_row, queue, "Its name."),
	FIELD(push_row, secret, "Sealed.", .flags = SECRET),
	FIELD(push_row, former, "The one before.", .flags = SECRET | NULLABLE),
	FIELD(push_row, former_until, "How long that signs.", .flags = NULLABLE, .format = FORMAT_DATE_TIME));

static const struct schema push_name_schema = SCHEMA(push_name, "A queue.",
	FIELD(push_name, name, "Its name."));
/* clang-format on */

static const struct statement push_get = STATEMENT("job_push_get",
	.sql = "SELECT queue, secret, former, former_until FROM main.job_push "
	       "WHERE queue = :queue",
	.in = &push_key_schema, .out = &push_row_schema, .flags = STATEMENT_SYSTEM);

static const struct statement push_insert = STATEMENT("job_push_insert",
	.sql = "INSERT INTO main.job_push (queue, secret, updated_at) "
	       "VALUES (:queue, :secret, :now) ON CONFLICT (queue) DO NOTHING",
	.in = &push_row_schema, .flags = STATEMENT_SYSTEM);

static const struct statement push_rotate = STATEMENT("job_push_rotate",
	.sql = "UPDATE main.job_push SET former = secret, former_until = :former_until, "
	       "secret = :secret, updated_at = :now WHERE queue = :queue",
	.in = &push_row_schema, .flags = STATEMENT_SYSTEM);

static const struct statement push_names = STATEMENT("job_push_queues",
	.sql = "SELECT name FROM main.job_queue ORDER BY name LIMIT 1000", .out = &push_name_schema,
	.flags = STATEMENT_SYSTEM);

static const struct statement push_rows = STATEMENT("job_push_rows",
	.sql = "SELECT queue, secret, former, former_until FROM main.job_push ORDER BY queue "
	       "LIMIT 10000",
	.out = &push_row_schema, .flags = STATEMENT_SYSTEM);

static const struct statement push_set = STATEMENT("job_push_set",
	.sql = "UPDATE main.job_push SET secret = :secret, former = :former WHERE queue = :queue",
	.in = &push_row_schema, .flags = STATEMENT_SYSTEM);

const struct statement *const job_push_statements[JOB_PUSH_STATEMENTS] = { &push_get, &push_insert,
	&push_rotate, &push_names, &push_rows, &push_set };

/* --- sealing --------------------------------------------------------------------------------- */

/* Set before anything is served, and only read from then on. */
static struct sealing sealing;

void push_secrets_open(const struct server *server)
{
	static const struct master_key none;

	sealing_init(&sealing, server->master_key ? server->master_key : &none, server->former_key,
		S("jobs/push"));
}

void push_secrets_close(void)
{
	sealing_done(&sealing);
}

static int seal(struct arena *arena, struct str queue, const uint8_t secret[PUSH_SECRET_LEN],
	struct str *ret)
{
	uint8_t box[BOX_LEN];
	char *text = arena_alloc(arena, BASE64_SIZE(BOX_LEN));
	int r;

	if (!text)
		return -(int)err_last()->code;
	r = aead_seal(&sealing.key, queue, str_of((const char *)secret, PUSH_SECRET_LEN), box);
	if (r == 0)
		*ret = str_of(text,
			base64_write(BASE64_URL, text, str_of((const char *)box, sizeof(box))));
	return r;
}

static int unseal(struct str queue, struct str text, uint8_t ret[PUSH_SECRET_LEN])
{
	uint8_t box[BOX_LEN];

	if (!base64_read_exact(BASE64_URL, text, box, sizeof(box)))
		return fail(ERR_INTERNAL, "the secret of a queue is none");
	if (sealing_open(&sealing, queue, str_of((const char *)box, sizeof(box)), ret) < 0)
		return fail(ERR_INTERNAL,
			"the secret of queue %.*s does not open: was MASTER_KEY changed?",
			STR_ARG(queue));
	return 0;
}

/* --- in transactions -------------------------------------------------------------------------- */

struct secret_call {
	struct push_row fresh; /* what is written when there is none, or always */
	bool rotate;
	struct push_row row; /* out */
};

static int secret_in_tx(struct tx *tx, void *arg)
{
	struct secret_call *call = arg;
	int64_t until = tx_now_us(tx) + (int64_t)(FORMER_SIGNS / MICROSECOND);
	struct push_key key = { call->fresh.queue };
	size_t changed = 0;
	int r = 0;

	call->fresh.former_until = (struct opt_i64){ .set = true, .value = until };
	if (call->rotate)
		r = tx_change(tx, &push_rotate, &call->fresh, &changed);
	if (r == 0 && changed == 0)
		r = tx_exec(tx, &push_insert, &call->fresh);
	return r < 0 ? r : tx_one(tx, &push_get, &key, &call->row);
}

static int open_row(const struct push_row *row, int64_t now_us, struct push_secrets *ret)
{
	struct push_secrets secrets = { .count = 1 };
	int r = unseal(row->queue, row->secret, secrets.at[0]);

	if (r == 0 && row->former.set && row->former_until.value > now_us) {
		r = unseal(row->queue, row->former.value, secrets.at[1]);
		secrets.count++;
	}
	if (r == 0)
		*ret = secrets;
	crypto_wipe(&secrets, sizeof(secrets));
	return r;
}

static int write_secret(struct store *store, struct arena *arena, struct str queue, bool rotate,
	struct push_secrets *ret)
{
	struct secret_call call = { .fresh = { .queue = queue }, .rotate = rotate };
	struct db db = db_of_system(store, arena);
	uint8_t secret[PUSH_SECRET_LEN];
	int r;

	random_bytes(secret, sizeof(secret));
	r = seal(arena, queue, secret, &call.fresh.secret);
	crypto_wipe(secret, sizeof(secret));
	if (r == 0)
		r = db_write(&db, secret_in_tx, &call);
	return r < 0 ? r : open_row(&call.row, clock_wall_us(), ret);
}

int push_secrets_get(
	struct store *store, struct arena *arena, struct str queue, struct push_secrets *ret)
{
	struct db db = db_of_system(store, arena);
	struct push_key key = { queue };
	struct push_row row = { 0 };
	int r = db_one(&db, &push_get, &key, &row);

	if (r == -ERR_NOT_FOUND)
		return write_secret(store, arena, queue, false, ret);
	return r < 0 ? r : open_row(&row, clock_wall_us(), ret);
}

int push_secret_rotate(
	struct store *store, struct arena *arena, struct str queue, struct push_secrets *ret)
{
	return write_secret(store, arena, queue, true, ret);
}

int push_queues(struct store *store, struct arena *arena, struct str **ret, size_t *ret_count)
{
	struct db db = db_of_system(store, arena);
	struct push_name *names = NULL;
	size_t count = 0;
	int r = db_all(&db, &push_names, NULL, &names, &count);

	_Static_assert(sizeof(struct push_name) == sizeof(struct str), "a row is its name");
	if (r == 0) {
		*ret = names ? &names->name : NULL;
		*ret_count = count;
	}
	return r;
}

/* --- a change of the installation's key ---------------------------------------------------------
 */

/* 1 when the text has changed. */
static int reseal_text(
	struct arena *arena, struct str queue, struct str *text, struct resealed *counted)
{
	int r = sealing_again(&sealing, queue, *text, arena, text);

	counted->sealed += r > 0;
	counted->lost += r == -ERR_INVALID;
	return r == -ERR_INVALID ? 0 : r;
}

static int reseal_row(struct tx *tx, struct push_row *row, struct resealed *counted)
{
	int secret = reseal_text(tx_arena(tx), row->queue, &row->secret, counted), former = 0;

	if (secret >= 0 && row->former.set)
		former = reseal_text(tx_arena(tx), row->queue, &row->former.value, counted);
	if (secret < 0 || former < 0)
		return MIN(secret, former);
	return secret || former ? tx_exec(tx, &push_set, row) : 0;
}

static int reseal_in_tx(struct tx *tx, void *arg)
{
	struct resealed *counted = arg;
	struct push_row *rows = NULL;
	size_t count = 0;
	int r = tx_all(tx, &push_rows, NULL, &rows, &count);

	*counted = (struct resealed){ 0 };
	for (size_t i = 0; i < count && r == 0; i++)
		r = reseal_row(tx, &rows[i], counted);
	return r;
}

/* There are few: one transaction does. */
int push_secrets_reseal(struct server *server, struct resealed *counted)
{
	struct resealed found = { 0 };
	struct arena arena;
	struct db db = db_of_system(server->store, &arena);
	int r;

	arena_init(&arena, 64 * KILOBYTE, 32 * MEGABYTE);
	r = db_write(&db, reseal_in_tx, &found);
	arena_done(&arena);
	if (r == 0) {
		counted->sealed += found.sealed;
		counted->lost += found.lost;
	}
	return r;
}
