/*
 * Rows of answers. What was answered may be a secret that is stored nowhere else (a new API key),
 * and a digest of the request would be one of a password: both are sealed, each row under a key of
 * its own that is derived from MASTER_KEY and from what the row belongs to. So a box opens in no
 * other row, and no key seals more than a few.
 */
#include "rest/kept.h"

#include "crypto/base64.h"
#include "crypto/master_key.h"
#include "crypto/random.h"
#include "crypto/sealing.h"
#include "http/match.h"
#include "http/request.h"

#include <endian.h>

/* clang-format off */
static const struct schema kept_schema = SCHEMA(kept, "The answer to a request with an Idempotency-Key.",
	FIELD(kept, key_hash, "Digest of caller, route and key."),
	FIELD(kept, sealed, "The answer, sealed."));
/* clang-format on */

/* The columns of section 1 cannot be left out: a server that knows only them finds no fingerprint
 * of its own, and refuses. */
const struct statement kept_insert = STATEMENT("idempotency_insert",
	.sql = "INSERT INTO main.idempotency "
	       "(tenant_id, key_hash, fingerprint, status, sealed, created_us) "
	       "VALUES (:tenant, :key_hash, '', 0, :sealed, :now)",
	.in = &kept_schema);

const struct statement kept_get = STATEMENT("idempotency_get",
	.sql = "SELECT key_hash, sealed FROM idempotency "
	       "WHERE tenant_id = :tenant AND key_hash = :key_hash",
	.in = &kept_schema, .out = &kept_schema);

/* What stands in a box in front of the JSON. Bytes, so that there are no gaps. */
struct head {
	uint8_t fingerprint[SHA256_LEN];
	uint8_t status[2], version[8]; /* big-endian */
	uint8_t versioned;             /* 1: there is a version */
};

static struct sealing installation;

void kept_open(const struct master_key *master, const struct master_key *former)
{
	struct master_key random;

	if (!master)
		random_bytes(random.bytes, sizeof(random.bytes));
	sealing_init(&installation, master ? master : &random, former, S("rest/idempotency"));
	if (!master)
		master_key_done(&random);
}

/* Of a row. */
static void keys_of(const uint8_t key[SHA256_LEN], struct sealing *ret)
{
	sealing_derive(&installation, str_of((const char *)key, SHA256_LEN), ret);
}

/* --- sealing -------------------------------------------------------------------------- */

static struct head head_of(struct req *req, const struct repeat *repeat)
{
	uint16_t status = htobe16((uint16_t)req_success(req));
	int64_t version = 0;
	struct head head = { .versioned = req_version(req, &version) };
	uint64_t wide = htobe64((uint64_t)version);

	memcpy(head.fingerprint, repeat->fingerprint, sizeof(head.fingerprint));
	memcpy(head.status, &status, sizeof(head.status));
	memcpy(head.version, &wide, sizeof(head.version));
	return head;
}

/* The text of the box of `plain`; in the arena. */
static int seal(struct req *req, const struct repeat *repeat, struct str plain, struct str *ret)
{
	size_t len = plain.len + AEAD_OVERHEAD, text_len = base64_len(BASE64_URL, len);
	char *text = arena_alloc(&req->arena, text_len);
	struct sealing keys;
	struct buf box;
	int r;

	if (!text)
		return -(int)err_last()->code;
	buf_init(&box, len);
	if (!buf_room(&box, len))
		return box.failed;

	keys_of(repeat->key, &keys);
	r = aead_seal(&keys.key, str_of(NULL, 0), plain, box.at);
	sealing_done(&keys);
	if (r == 0) {
		(void)base64_write(BASE64_URL, text, str_of(box.at, len));
		*ret = str_of(text, text_len);
	}
	buf_done(&box);
	return r;
}

int kept_make(struct req *req, const struct repeat *repeat, struct kept *ret, struct str *ret_data)
{
	struct kept kept = { .key_hash = str_of(repeat->key_text, sizeof(repeat->key_text)),
		.sealed.set = true };
	struct head head = head_of(req, repeat);
	struct str data = str_of(NULL, 0);
	struct buf plain;
	int r = req->out ? req_data(req, &data) : 0;

	if (r < 0)
		return r;
	buf_init(&plain, sizeof(head) + data.len);
	(void)buf_room(&plain, sizeof(head) + data.len);
	buf_append(&plain, str_of((const char *)&head, sizeof(head)));
	buf_append(&plain, data);
	r = plain.failed ? plain.failed : seal(req, repeat, buf_str(&plain), &kept.sealed.value);
	crypto_wipe(plain.at, plain.len);
	buf_done(&plain);
	if (r == 0)
		*ret = kept, *ret_data = data;
	return r;
}

/* --- opening -------------------------------------------------------------------------- */

static int open_box(
	struct req *req, const struct repeat *repeat, const struct buf *box, struct str *ret)
{
	size_t len = box->len < AEAD_OVERHEAD ? 0 : box->len - AEAD_OVERHEAD;
	char *plain = arena_alloc(&req->arena, MAX(len, 1));
	struct sealing keys;
	int r;

	if (!plain)
		return -(int)err_last()->code;
	keys_of(repeat->key, &keys);
	r = sealing_open(&keys, str_of(NULL, 0), buf_str(box), plain);
	sealing_done(&keys);
	if (r < 0)
		return r;
	if (len < sizeof(struct head))
		return fail(ERR_INVALID, "a kept answer is too short");
	*ret = str_of(plain, len);
	return 0;
}

/* What was sealed; in the arena. -ERR_INVALID when the text is not of this key. */
static int unseal(struct req *req, const struct repeat *repeat, struct str text, struct str *ret)
{
	struct buf box;
	int r;

	buf_init(&box, text.len);
	r = base64_append_read(&box, BASE64_URL, text);
	if (r == 0)
		r = open_box(req, repeat, &box, ret);
	buf_done(&box);
	return r;
}

static int answer_again(struct req *req, const struct head *head, struct str data)
{
	uint16_t status;
	uint64_t version;
	int r = reply_header(req, S("idempotent-replayed"), S("true"));

	memcpy(&status, head->status, sizeof(status));
	memcpy(&version, head->version, sizeof(version));
	if (r == 0 && head->versioned)
		r = reply_etag(req, (int64_t)be64toh(version));
	return r == 0 ? reply_data(req, be16toh(status), data) : r;
}

int kept_replay(struct req *req, const struct repeat *repeat)
{
	struct kept kept = { .key_hash = str_of(repeat->key_text, sizeof(repeat->key_text)) };
	struct str plain = str_of(NULL, 0);
	struct head head;
	int r = db_one(&repeat->db, &kept_get, &kept, &kept);

	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0)
		return r;

	r = unseal(req, repeat, kept.sealed.value, &plain);
	if (r == -ERR_INVALID)
		return fail(ERR_CONFLICT, "this request was done, but what it was answered cannot "
					  "be told again: look for its result, or use another "
					  "Idempotency-Key");
	if (r < 0)
		return r;
	CHECK(plain.at);
	memcpy(&head, plain.at, sizeof(head));
	if (memcmp(head.fingerprint, repeat->fingerprint, sizeof(head.fingerprint)) != 0)
		return fail(ERR_IDEMPOTENCY, "this Idempotency-Key was used for another request");
	r = answer_again(req, &head, str_from(plain, sizeof(head)));
	return r < 0 ? r : 1;
}

/* --- sealing anew ------------------------------------------------------------------------- */

int kept_again(struct str key_hash, struct str text, struct arena *arena, struct str *ret)
{
	uint8_t key[SHA256_LEN];
	struct sealing keys;
	int r;

	if (!hex_read(key_hash, key, sizeof(key)))
		return fail(ERR_INVALID, "this is no digest");
	keys_of(key, &keys);
	r = sealing_again(&keys, str_of(NULL, 0), text, arena, ret);
	sealing_done(&keys);
	return r;
}
