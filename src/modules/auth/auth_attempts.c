/* Rows of failed logins, and the cookie by which a device is known again. */
#include "modules/auth/auth_attempts.h"

#include "base/num.h"
#include "crypto/base64.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "fiber/fiber.h"
#include "http/server.h"
#include "modules/auth/auth_internal.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <stdio.h>

/* --- rows --------------------------------------------------------------------------- */

struct attempt_key {
	struct str key;
};

struct attempt_saved {
	struct str key;
	int64_t tries, locks, locked_until, begins_at, last_at, refused;
};

struct attempt_age {
	int64_t before, limit;
};

#define COLUMNS "tries, locks, locked_until, begins_at, last_at, refused"

/* clang-format off */
static const struct schema attempt_key_schema = SCHEMA(attempt_key, "A row of tries.",
	FIELD(attempt_key, key, "Whose."));

static const struct schema attempt_saved_schema = SCHEMA(attempt_saved, "What was counted.",
	FIELD(attempt_saved, key, "Whose."),
	FIELD(attempt_saved, tries, "Since the last success or lock."),
	FIELD(attempt_saved, locks, "In a row."),
	FIELD(attempt_saved, locked_until, "When it ends."),
	FIELD(attempt_saved, begins_at, "When the last try began."),
	FIELD(attempt_saved, last_at, "When it was asked for."),
	FIELD(attempt_saved, refused, "While locked."));

static const struct schema attempt_age_schema = SCHEMA(attempt_age, "Which are old.",
	FIELD(attempt_age, before, "Not used since."), FIELD(attempt_age, limit, "How many."));
/* clang-format on */

/* Makes the row or finds it, and holds it until the end of the transaction, so that what is read
 * here is what is counted on, also under READ COMMITTED. */
static const struct statement attempt_hold = STATEMENT("attempt_hold",
	.sql = "INSERT INTO main.auth_attempt (tenant_id, key, " COLUMNS ") "
	       "VALUES (:tenant, :key, 0, 0, 0, 0, :now, 0) "
	       "ON CONFLICT (tenant_id, key) DO UPDATE SET key = excluded.key "
	       "RETURNING key, " COLUMNS,
	.in = &attempt_key_schema, .out = &attempt_saved_schema);

static const struct statement attempt_save = STATEMENT("attempt_save",
	.sql = "UPDATE main.auth_attempt SET tries = :tries, locks = :locks, "
	       "locked_until = :locked_until, begins_at = :begins_at, last_at = :last_at, "
	       "refused = :refused WHERE tenant_id = :tenant AND key = :key",
	.in = &attempt_saved_schema, .expect = EXPECT_ONE);

static const struct statement attempt_forget = STATEMENT("attempt_forget",
	.sql = "DELETE FROM main.auth_attempt WHERE tenant_id = :tenant AND key = :key",
	.in = &attempt_key_schema);

static const struct statement attempt_sweep = STATEMENT("attempt_sweep",
	.sql = "DELETE FROM main.auth_attempt WHERE tenant_id = :tenant AND key IN "
	       "(SELECT key FROM auth_attempt WHERE tenant_id = :tenant AND last_at < :before "
	       "AND locked_until < :now LIMIT :limit)",
	.in = &attempt_age_schema);

const struct statement *const attempt_statements[ATTEMPT_STATEMENTS] = { &attempt_hold,
	&attempt_save, &attempt_forget, &attempt_sweep };

/* --- keys ------------------------------------------------------------------------------- */

static uint8_t row_key[MASTER_KEY_LEN], device_keys[2][MASTER_KEY_LEN];
static size_t device_key_count; /* the second one: of the master key before */

void attempts_open(const struct server *server)
{
	struct master_key key = auth_master_key(server);

	master_key_derive(&key, S("auth/attempts"), row_key);
	master_key_derive(&key, S("auth/devices"), device_keys[0]);
	if (server->former_key)
		master_key_derive(server->former_key, S("auth/devices"), device_keys[1]);
	device_key_count = server->former_key ? 2 : 1;
	master_key_done(&key);
}

static struct str key_str(const uint8_t key[MASTER_KEY_LEN])
{
	return str_of((const char *)key, MASTER_KEY_LEN);
}

static void make_key(char at[ATTEMPT_KEY_LEN], char kind, struct str of)
{
	const struct str parts[] = { { &kind, 1 }, of };
	uint8_t hash[SHA256_LEN];

	hmac_parts(DIGEST_SHA256, key_str(row_key), parts, LEN(parts), hash);
	at[0] = kind;
	hex_write(at + 1, str_of((const char *)hash, (ATTEMPT_KEY_LEN - 1) / 2));
}

/* As users compares addresses: ASCII letters in lower case. More of it than an address can have
 * changes nothing. */
static struct str fold_email(struct str email, char at[256])
{
	email = str_first(email, 256);
	for (size_t i = 0; i < email.len; i++)
		at[i] = email.at[i] >= 'A' && email.at[i] <= 'Z' ? (char)(email.at[i] | 0x20)
								 : email.at[i];
	return str_of(at, email.len);
}

void attempt_email_key(char at[ATTEMPT_KEY_LEN], struct str email)
{
	char folded[256];

	make_key(at, 'e', fold_email(email, folded));
}

/* --- the device --------------------------------------------------------------------------- */

enum {
	DEVICE_LEN = DEVICE_NONCE_LEN + SHA256_LEN,
	DEVICE_TEXT_LEN = (DEVICE_LEN * 8 + 5) / 6, /* base64url, unpadded */
};

static struct str cookie_name(void)
{
	return auth_options()->secure_cookies ? S("__Host-bh_device") : S("bh_device");
}

static void device_proof(
	size_t key, const uint8_t *nonce, struct str email, uint8_t ret[SHA256_LEN])
{
	char folded[256];
	const struct str parts[] = { str_of((const char *)nonce, DEVICE_NONCE_LEN),
		fold_email(email, folded) };

	hmac_parts(DIGEST_SHA256, key_str(device_keys[key]), parts, LEN(parts), ret);
}

static bool proves(struct str text, struct str email, uint8_t nonce[DEVICE_NONCE_LEN])
{
	uint8_t bytes[DEVICE_LEN], proof[SHA256_LEN];
	bool good = false;

	if (!base64_read_exact(BASE64_URL, text, bytes, sizeof(bytes)))
		return false;
	for (size_t key = 0; key < device_key_count && !good; key++) {
		device_proof(key, bytes, email, proof);
		good = crypto_equal(str_of((const char *)bytes + DEVICE_NONCE_LEN, SHA256_LEN),
			str_of((const char *)proof, SHA256_LEN));
	}
	memcpy(nonce, bytes, DEVICE_NONCE_LEN);
	return good;
}

/* Any of the cookies of that name: a browser may have signed in to several addresses, and keeps the
 * last one. */
static bool find_device(const struct req *req, struct str email, uint8_t nonce[DEVICE_NONCE_LEN])
{
	struct str name = cookie_name();

	for (size_t i = 0; i < req->head.count; i++) {
		struct str rest = req->head.fields[i].value;

		if (!str_eq_nocase(req->head.fields[i].name, S("cookie")))
			continue;
		while (rest.len) {
			struct str pair = str_trim(str_cut(&rest, ';'));
			struct str key = str_cut(&pair, '=');

			if (str_eq(key, name) && proves(pair, email, nonce))
				return true;
		}
	}
	return false;
}

static void set_device(struct req *req, const struct attempt *attempt, struct str email)
{
	uint8_t bytes[DEVICE_LEN];
	char text[DEVICE_TEXT_LEN], line[256];

	memcpy(bytes, attempt->device, DEVICE_NONCE_LEN);
	device_proof(0, bytes, email, bytes + DEVICE_NONCE_LEN);
	CHECK(base64_write(BASE64_URL, text, str_of((const char *)bytes, sizeof(bytes))) ==
		sizeof(text));
	(void)snprintf(line, sizeof(line),
		"%.*s=%.*s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%s", STR_ARG(cookie_name()),
		(int)sizeof(text), text, DEVICE_DAYS * 86400,
		auth_options()->secure_cookies ? "; Secure" : "");
	if (reply_header(req, S("set-cookie"), str_from_c(line)) < 0)
		log_warn("a device is not remembered", LOG_ERR);
}

/* --- transactions ---------------------------------------------------------------------------- */

const struct tx_options attempt_tx = {
	.name = "login try",
	.durability = TX_SOFT,
	.isolation = TX_READ_COMMITTED,
};

static struct attempt_limits account_limits(void)
{
	const struct auth_options *options = auth_options();

	return (struct attempt_limits){
		.tries = (int64_t)options->login_tries,
		.lock_us = (int64_t)(options->login_lock_ns / MICROSECOND),
		.delay_us = (int64_t)(options->login_delay_ns / MICROSECOND),
	};
}

static struct attempt_limits address_limits(void)
{
	struct attempt_limits limits = account_limits();

	limits.tries *= ATTEMPTS_OF_ADDRESS;
	limits.delay_us = 0;
	return limits;
}

int attempt_hold_in_tx(struct tx *tx, const char *key, struct attempt_row *ret)
{
	struct attempt_key by = { str_of(key, ATTEMPT_KEY_LEN) };
	struct attempt_saved saved;
	int r = tx_one(tx, &attempt_hold, &by, &saved);

	if (r == 0)
		*ret = (struct attempt_row){ saved.tries, saved.locks, saved.locked_until,
			saved.begins_at, saved.last_at, saved.refused };
	return r;
}

int attempt_save_in_tx(struct tx *tx, const char *key, const struct attempt_row *row)
{
	const struct attempt_saved saved = { str_of(key, ATTEMPT_KEY_LEN), row->tries, row->locks,
		row->locked_until, row->begins_at, row->last_at, row->refused };

	return tx_exec(tx, &attempt_save, &saved);
}

static int take(struct tx *tx, const char *key, const struct attempt_limits *limits,
	enum attempt_verdict *ret_verdict, struct attempt_row *ret_row)
{
	int r = attempt_hold_in_tx(tx, key, ret_row);

	if (r < 0)
		return r;
	*ret_verdict = attempt_take(ret_row, limits, tx_now_us(tx));
	return attempt_save_in_tx(tx, key, ret_row);
}

/* The rows of the device, of the e-mail address, of the client address, in this order everywhere:
 * nobody waits in a circle. When the client address is refused nothing is counted against the
 * account. */
struct take {
	struct attempt *attempt;
	char device[ATTEMPT_KEY_LEN];
	bool known_device;
	struct attempt_row account, address;
	enum attempt_verdict address_verdict;
};

/* The row that counts. A device that has used up its tries is as good as any stranger's. */
static int hold_account(struct tx *tx, struct take *take_)
{
	struct attempt *attempt = take_->attempt;
	int r;

	attempt->known_device = take_->known_device;
	memcpy(attempt->account, attempt->known_device ? take_->device : attempt->email,
		ATTEMPT_KEY_LEN);
	r = attempt_hold_in_tx(tx, attempt->account, &take_->account);
	if (r < 0 || !attempt->known_device || take_->account.locked_until <= tx_now_us(tx))
		return r;
	attempt->known_device = false;
	memcpy(attempt->account, attempt->email, ATTEMPT_KEY_LEN);
	return attempt_hold_in_tx(tx, attempt->account, &take_->account);
}

static int take_in_tx(struct tx *tx, void *arg)
{
	struct take *take_ = arg;
	struct attempt_limits account = account_limits(), address = address_limits();
	int r = hold_account(tx, take_);

	if (r == 0)
		r = take(tx, take_->attempt->address, &address, &take_->address_verdict,
			&take_->address);
	if (r < 0 || take_->address_verdict == ATTEMPT_REFUSED)
		return r;
	take_->attempt->verdict = attempt_take(&take_->account, &account, tx_now_us(tx));
	take_->attempt->begins_us = take_->account.begins_at;
	return attempt_save_in_tx(tx, take_->attempt->account, &take_->account);
}

static int refuse_address(struct req *req, const struct attempt_row *row)
{
	char text[NUM_TEXT_MAX];
	int64_t seconds = (row->locked_until - clock_wall_us()) / 1000000 + 1;

	/* Without limiters the server says when to come again by itself, and vaguely. */
	if (req->verdict_count)
		(void)reply_header(
			req, S("retry-after"), str_of(text, num_write_i64(text, MAX(seconds, 1))));
	return fail(ERR_TOO_MANY, "too many wrong passwords from this address");
}

int attempt_begin(struct req *req, struct str email, struct attempt *ret)
{
	struct db db = db_of(req_server(req)->store, &tenant_system, &req->arena);
	struct take take_ = { .attempt = ret };
	char address[LIMITER_ADDRESS_KEY];
	int r;

	*ret = (struct attempt){ 0 };
	limiter_address_key(&req->client, address);
	make_key(ret->address, 'i', str_of(address, sizeof(address)));
	attempt_email_key(ret->email, email);
	take_.known_device = ret->seen_device = find_device(req, email, ret->device);
	if (take_.known_device)
		make_key(take_.device, 'd', str_of((const char *)ret->device, DEVICE_NONCE_LEN));

	r = db_write_with(&db, &attempt_tx, take_in_tx, &take_);
	if (r < 0)
		return r;
	return take_.address_verdict == ATTEMPT_REFUSED ? refuse_address(req, &take_.address) : 0;
}

int attempt_wait(const struct attempt *attempt)
{
	int64_t wait_us = attempt->begins_us - clock_wall_us();

	if (attempt->verdict == ATTEMPT_REFUSED || wait_us <= 0)
		return 0;
	return fiber_sleep_until(sched_now() + (uint64_t)wait_us * MICROSECOND);
}

static int give_back(struct tx *tx, const char *key, const struct attempt_limits *limits)
{
	struct attempt_row row;
	int r = attempt_hold_in_tx(tx, key, &row);

	if (r < 0)
		return r;
	attempt_return(&row, limits);
	return attempt_save_in_tx(tx, key, &row);
}

static int undo_in_tx(struct tx *tx, void *arg)
{
	const struct attempt *attempt = arg;
	struct attempt_limits account = account_limits(), address = address_limits();
	int r = 0;

	if (attempt->verdict != ATTEMPT_REFUSED)
		r = give_back(tx, attempt->account, &account);
	return r < 0 ? r : give_back(tx, attempt->address, &address);
}

static int forget(struct tx *tx, const char *key)
{
	return tx_exec(tx, &attempt_forget, &(struct attempt_key){ str_of(key, ATTEMPT_KEY_LEN) });
}

/* A device that is known says nothing about what strangers do to the address. */
static int succeed_in_tx(struct tx *tx, void *arg)
{
	const struct attempt *attempt = arg;
	struct attempt_limits address = address_limits();
	int r = forget(tx, attempt->account);

	return r < 0 ? r : give_back(tx, attempt->address, &address);
}

static void settle(struct req *req, int (*fn)(struct tx *, void *), const struct attempt *attempt)
{
	struct db db = db_of(req_server(req)->store, &tenant_system, &req->arena);
	struct err err = *err_last();

	if (db_write_with(&db, &attempt_tx, fn, (void *)attempt) < 0)
		log_warn("a login try stays counted", LOG_ERR);
	(void)err_restore(&err);
}

void attempt_undo(struct req *req, const struct attempt *attempt)
{
	settle(req, undo_in_tx, attempt);
}

void attempt_succeeded(struct req *req, const struct attempt *attempt, struct str email)
{
	struct attempt known = *attempt;

	settle(req, succeed_in_tx, attempt);
	/* A new cookie each time: what was stolen or locked counts for itself. */
	random_bytes(known.device, sizeof(known.device));
	set_device(req, &known, email);
}

int attempts_clear_in_tx(struct tx *tx, struct str email)
{
	char key[ATTEMPT_KEY_LEN];

	attempt_email_key(key, email);
	return forget(tx, key);
}

/* --- sweeping ------------------------------------------------------------- */

enum { SWEEP_STEP = 500, SWEEP_STEPS_MAX = 2000 };

struct sweep {
	struct attempt_age age;
	size_t gone;
};

static int sweep_in_tx(struct tx *tx, void *arg)
{
	struct sweep *sweep = arg;

	sweep->age = (struct attempt_age){
		.before = tx_now_us(tx) - (int64_t)ATTEMPT_FORGET_S * 1000000,
		.limit = SWEEP_STEP,
	};
	return tx_change(tx, &attempt_sweep, &sweep->age, &sweep->gone);
}

int attempts_sweep(struct store *store)
{
	struct sweep sweep = { .gone = SWEEP_STEP };
	struct arena arena;
	struct db db = db_of(store, &tenant_system, &arena);
	int r = 0;

	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	for (int i = 0; i < SWEEP_STEPS_MAX && sweep.gone == SWEEP_STEP && r == 0; i++)
		r = db_write_with(&db, &attempt_tx, sweep_in_tx, &sweep);
	arena_done(&arena);
	return r;
}
