/*
 * Computes password hashes with libargon2, libcrypt (bcrypt) and libcrypto (scrypt, PBKDF2). Pure
 * and blocking: no fibers, no threads of its own. Memory of Argon2 is counted by base/mem.h and
 * wiped.
 */
#include "crypto/password.h"

#include "base/err.h"
#include "base/mem.h"
#include "crypto/base64.h"
#include "crypto/library.h"
#include "crypto/openssl.h"
#include "crypto/password_text.h"
#include "crypto/random.h"

#include <argon2.h>
#include <crypt.h>
#include <stdio.h>

enum {
	SALT_LEN = 16,
	HASH_LEN = 32,
	BCRYPT_SEEN = 72, /* bytes of a password that bcrypt uses */
	BCRYPT_HASH_LEN = 31,
};

int password_cost_check(const struct password_cost *cost)
{
	if (cost->memory_kb < PASSWORD_MEMORY_KB_MIN || cost->memory_kb > PASSWORD_MEMORY_KB_MAX)
		return fail(ERR_INVALID, "Argon2id memory is %d to %d KB, not %u",
			PASSWORD_MEMORY_KB_MIN, PASSWORD_MEMORY_KB_MAX, cost->memory_kb);
	if (cost->passes < 1 || cost->passes > PASSWORD_PASSES_MAX)
		return fail(ERR_INVALID, "Argon2id passes are 1 to %d, not %u", PASSWORD_PASSES_MAX,
			cost->passes);
	if (cost->lanes < 1 || cost->lanes > PASSWORD_LANES_MAX)
		return fail(ERR_INVALID, "Argon2id lanes are 1 to %d, not %u", PASSWORD_LANES_MAX,
			cost->lanes);
	if ((uint64_t)cost->memory_kb * cost->passes > PASSWORD_WORK_KB_MAX)
		return fail(ERR_INVALID, "Argon2id memory times passes is at most %d KB",
			PASSWORD_WORK_KB_MAX);
	return 0;
}

size_t password_cost_memory(const struct password_cost *cost)
{
	return cost->memory_kb * KILOBYTE;
}

/* --- the methods: each fills `at` with text->digest_len bytes ---------------- */

static int argon2_allocate(uint8_t **ret, size_t size)
{
	*ret = mem_alloc(size);
	return *ret ? ARGON2_OK : ARGON2_MEMORY_ALLOCATION_ERROR;
}

static void argon2_free(uint8_t *at, size_t size)
{
	mem_free(at, size); /* libargon2 has wiped it */
}

static int compute_argon2(struct str password, const struct password_text *text, uint8_t *at)
{
	argon2_type type = text->method == PASSWORD_ARGON2ID ? Argon2_id : Argon2_i;
	argon2_context context = {
		.out = at,
		.outlen = (uint32_t)text->digest_len,
		.pwd = (uint8_t *)openssl_bytes(password), /* only read: no CLEAR flag is set */
		.pwdlen = (uint32_t)password.len,
		.salt = (uint8_t *)text->salt,
		.saltlen = (uint32_t)text->salt_len,
		.t_cost = text->argon2.passes,
		.m_cost = text->argon2.memory_kb,
		.lanes = text->argon2.lanes,
		.threads = 1, /* the pool decides about parallelism, not the hash */
		.version = ARGON2_VERSION_13,
		.allocate_cbk = argon2_allocate,
		.free_cbk = argon2_free,
		.flags = ARGON2_DEFAULT_FLAGS,
	};
	int result = argon2_ctx(&context, type);

	if (result == ARGON2_MEMORY_ALLOCATION_ERROR)
		return fail(ERR_NO_MEMORY, "no memory for a password hash");
	if (result != ARGON2_OK)
		return fail(ERR_INTERNAL, "Argon2: %s", argon2_error_message(result));
	return 0;
}

static int compute_scrypt(struct str password, const struct password_text *text, uint8_t *at)
{
	uint64_t room = (uint64_t)PASSWORD_MEMORY_KB_MAX * KILOBYTE + MEGABYTE;

	crypto_start();
	if (EVP_PBE_scrypt((const char *)openssl_bytes(password), password.len, text->salt,
		    text->salt_len, text->scrypt.n, text->scrypt.r, text->scrypt.p, room, at,
		    text->digest_len) != 1)
		return openssl_fail(ERR_NO_MEMORY, "no memory for a password hash");
	return 0;
}

static int compute_pbkdf2(struct str password, const struct password_text *text, uint8_t *at)
{
	crypto_start();
	if (PKCS5_PBKDF2_HMAC((const char *)openssl_bytes(password), (int)password.len, text->salt,
		    (int)text->salt_len, (int)text->pbkdf2.rounds,
		    openssl_digest(text->pbkdf2.digest), (int)text->digest_len, at) != 1)
		return openssl_fail(ERR_NO_MEMORY, "no memory for a password hash");
	return 0;
}

/* --- verifying ------------------------------------------------------------- */

static int wrong(void)
{
	return fail(ERR_UNAUTHORIZED, "the password is wrong");
}

/*
 * bcrypt's answer is compared by its last 31 digits: the digits of the salt are what we passed,
 * but libcrypt writes the last one in its canonical form.
 */
static int verify_bcrypt(struct str password, const struct password_text *text)
{
	struct str seen = str_first(password, BCRYPT_SEEN);
	struct crypt_data *data;
	char key[BCRYPT_SEEN + 1] = { 0 };
	char setting[PASSWORD_HASH_SIZE] = { 0 };
	const char *answer;
	bool same;

	data = mem_zalloc(sizeof(*data));
	if (!data)
		return err_wrap("verifying a password");

	if (seen.len)
		memcpy(key, seen.at, seen.len);
	memcpy(setting, text->setting.at, text->setting.len);
	answer = crypt_r(key, setting, data);
	same = answer && strlen(answer) == text->setting.len &&
	       crypto_equal(str_from(str_from_c(answer), text->setting.len - BCRYPT_HASH_LEN),
		       str_from(text->setting, text->setting.len - BCRYPT_HASH_LEN));

	crypto_wipe(key, sizeof(key));
	crypto_wipe(data, sizeof(*data));
	mem_free(data, sizeof(*data));
	return same ? 0 : wrong();
}

static int compute(struct str password, const struct password_text *text, uint8_t *at)
{
	if (text->method == PASSWORD_SCRYPT)
		return compute_scrypt(password, text, at);
	if (text->method == PASSWORD_PBKDF2)
		return compute_pbkdf2(password, text, at);
	return compute_argon2(password, text, at);
}

int password_verify(struct str password, struct str hash)
{
	struct password_text text;
	uint8_t digest[PASSWORD_DIGEST_MAX];
	int error = password_text_parse(hash, &text);
	bool argon2, same;

	if (error < 0)
		return error;

	/* bcrypt ends a password at a zero byte, HMAC ignores zero bytes behind a short one. */
	argon2 = text.method == PASSWORD_ARGON2ID || text.method == PASSWORD_ARGON2I;
	if (password.len > PASSWORD_MAX || (!argon2 && str_find_byte(password, 0) >= 0))
		return wrong();
	if (text.method == PASSWORD_BCRYPT)
		return verify_bcrypt(password, &text);

	error = compute(password, &text, digest);
	if (error < 0)
		return error;

	same = crypto_equal(str_of((const char *)digest, text.digest_len),
		str_of((const char *)text.digest, text.digest_len));
	crypto_wipe(digest, sizeof(digest));
	return same ? 0 : wrong();
}

int password_memory(struct str hash, size_t *ret_bytes)
{
	struct password_text text;
	int error = password_text_parse(hash, &text);

	if (error < 0)
		return error;

	switch (text.method) {
	case PASSWORD_ARGON2ID:
	case PASSWORD_ARGON2I: *ret_bytes = text.argon2.memory_kb * KILOBYTE; break;
	case PASSWORD_SCRYPT: /* the N blocks, the p blocks, and two to work in */
		*ret_bytes = 128 * text.scrypt.r * (text.scrypt.n + text.scrypt.p + 2);
		break;
	case PASSWORD_BCRYPT: *ret_bytes = sizeof(struct crypt_data); break;
	case PASSWORD_PBKDF2: *ret_bytes = KILOBYTE; break;
	}
	return 0;
}

/* --- making ---------------------------------------------------------------- */

int password_hash(struct str password, const struct password_cost *cost, char *at)
{
	struct password_text text = {
		.method = PASSWORD_ARGON2ID, .salt_len = SALT_LEN, .digest_len = HASH_LEN
	};
	struct str salt = str_of((const char *)text.salt, SALT_LEN);
	struct str digest = str_of((const char *)text.digest, HASH_LEN);
	int error = password_cost_check(cost);
	size_t len;

	if (error < 0)
		return error;
	if (password.len > PASSWORD_MAX)
		return fail(ERR_INVALID, "a password of more than %d bytes", PASSWORD_MAX);

	text.argon2.memory_kb = cost->memory_kb;
	text.argon2.passes = cost->passes;
	text.argon2.lanes = cost->lanes;
	random_bytes(text.salt, SALT_LEN);
	error = compute_argon2(password, &text, text.digest);
	if (error < 0)
		return error;

	len = (size_t)snprintf(at, PASSWORD_HASH_SIZE, "$argon2id$v=%d$m=%u,t=%u,p=%u$",
		ARGON2_VERSION_13, cost->memory_kb, cost->passes, cost->lanes);
	len += base64_write(BASE64_BARE, at + len, salt);
	at[len++] = '$';
	len += base64_write(BASE64_BARE, at + len, digest);
	crypto_wipe(&text, sizeof(text));
	return (int)len;
}

bool password_needs_rehash(struct str hash, const struct password_cost *cost)
{
	struct password_text text;

	return password_text_parse(hash, &text) < 0 || text.method != PASSWORD_ARGON2ID ||
	       text.argon2.memory_kb != cost->memory_kb || text.argon2.passes != cost->passes ||
	       text.argon2.lanes != cost->lanes || text.salt_len != SALT_LEN ||
	       text.digest_len != HASH_LEN;
}
