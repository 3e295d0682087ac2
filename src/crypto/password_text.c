/*
 * Reads the texts of password hashes. They come out of databases of other programs, so they are
 * input: every field is checked and every cost bounded before anything is computed.
 */
#include "crypto/password_text.h"

#include "base/err.h"
#include "base/num.h"
#include "crypto/base64.h"
#include "crypto/password.h"

enum {
	ARGON2_SALT_MIN = 8,
	ARGON2_DIGEST_MIN = 16,
	ARGON2_VERSION = 19,
	BCRYPT_LEN = 60,
	BCRYPT_COST_MIN = 4,
	BCRYPT_COST_MAX = 15,
	SCRYPT_LOG_N_MAX = 20,
	SCRYPT_R_MAX = 32,
	SCRYPT_P_MAX = 64,
	PBKDF2_ROUNDS_MAX = 4000000,
};

#define SCRYPT_WORK_MAX ((uint64_t)1024 * MEGABYTE) /* 128 N r p */

static bool between(uint64_t value, uint64_t low, uint64_t high)
{
	return value >= low && value <= high;
}

/* "name=number" cut from the front of a list with commas. */
static bool take_parameter(struct str *list, struct str name, uint64_t *ret)
{
	struct str item = str_cut(list, ',');

	return str_starts(item, name) && num_parse_u64(str_from(item, name.len), ret);
}

/*
 * The last two fields of most forms. `kind` is of both. Methods whose shorter output begins a
 * longer one ask for whole digests, so that a text that was cut off does not pass.
 */
static bool take_salt_and_digest(
	enum base64_kind kind, struct str salt, struct str digest, struct password_text *text)
{
	return base64_read(kind, salt, text->salt, sizeof(text->salt), &text->salt_len) &&
	       base64_read(kind, digest, text->digest, sizeof(text->digest), &text->digest_len);
}

/* --- one function per form, given what stands behind its prefix ------------ */

/* v=19$m=65536,t=3,p=4$salt$hash */
static bool parse_argon2(struct str rest, struct password_text *text)
{
	struct str version = str_cut(&rest, '$');
	struct str costs = str_cut(&rest, '$');
	struct str salt = str_cut(&rest, '$');
	uint64_t m, t, p, v;

	if (!rest.at || !take_parameter(&version, S("v="), &v) || version.at || v != ARGON2_VERSION)
		return false;
	if (!take_parameter(&costs, S("m="), &m) || !take_parameter(&costs, S("t="), &t) ||
		!take_parameter(&costs, S("p="), &p) || costs.at)
		return false;
	if (!between(p, 1, PASSWORD_LANES_MAX) || !between(t, 1, PASSWORD_PASSES_MAX) ||
		!between(m, 8 * p, PASSWORD_MEMORY_KB_MAX) || m * t > PASSWORD_WORK_KB_MAX)
		return false;

	text->argon2.memory_kb = (uint32_t)m;
	text->argon2.passes = (uint32_t)t;
	text->argon2.lanes = (uint32_t)p;
	return take_salt_and_digest(BASE64_BARE, salt, rest, text) &&
	       text->salt_len >= ARGON2_SALT_MIN && text->digest_len >= ARGON2_DIGEST_MIN;
}

static bool parse_argon2id(struct str rest, struct password_text *text)
{
	text->method = PASSWORD_ARGON2ID;
	return parse_argon2(rest, text);
}

static bool parse_argon2i(struct str rest, struct password_text *text)
{
	text->method = PASSWORD_ARGON2I;
	return parse_argon2(rest, text);
}

/* Value of a digit of crypt(5)'s alphabet, or -1. */
static int crypt_digit(char digit)
{
	static const struct str digits =
		S_INIT("./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

	return (int)str_find_byte(digits, digit);
}

/* 12$ and 53 digits: 22 of salt, 31 of hash. bcrypt's alphabet has crypt(5)'s digits in another
 * order. */
static bool parse_bcrypt(struct str rest, struct password_text *text)
{
	struct str cost = str_cut(&rest, '$');
	uint64_t log_rounds;

	if (cost.len != 2 || text->setting.len != BCRYPT_LEN || !rest.at)
		return false;
	if (cost.at[0] == '0')
		cost = str_from(cost, 1);
	for (size_t i = 0; i < rest.len; i++)
		if (crypt_digit(rest.at[i]) < 0)
			return false;

	text->method = PASSWORD_BCRYPT;
	return num_parse_u64(cost, &log_rounds) &&
	       between(log_rounds, BCRYPT_COST_MIN, BCRYPT_COST_MAX);
}

static bool scrypt_costs(uint64_t log_n, uint64_t r, uint64_t p, struct password_text *text)
{
	uint64_t block;

	if (!between(r, 1, SCRYPT_R_MAX) || !between(p, 1, SCRYPT_P_MAX) ||
		!between(log_n, 1, MIN(SCRYPT_LOG_N_MAX, 16 * r - 1))) /* N < 2^(128 r / 8) */
		return false;

	block = 128 * r << log_n;
	if (block > (uint64_t)PASSWORD_MEMORY_KB_MAX * KILOBYTE || block * p > SCRYPT_WORK_MAX)
		return false;

	text->method = PASSWORD_SCRYPT;
	text->scrypt.n = (uint64_t)1 << log_n;
	text->scrypt.r = r;
	text->scrypt.p = p;
	return true;
}

/* ln=16,r=8,p=1$salt$hash */
static bool parse_scrypt(struct str rest, struct password_text *text)
{
	struct str costs = str_cut(&rest, '$');
	struct str salt = str_cut(&rest, '$');
	uint64_t log_n, r, p;

	return rest.at && take_parameter(&costs, S("ln="), &log_n) &&
	       take_parameter(&costs, S("r="), &r) && take_parameter(&costs, S("p="), &p) &&
	       !costs.at && scrypt_costs(log_n, r, p, text) &&
	       take_salt_and_digest(BASE64_BARE, salt, rest, text) &&
	       (text->digest_len == SHA256_LEN || text->digest_len == SHA512_LEN);
}

/* crypt(5) digits, lowest first, into a number of at most 30 bits. */
static bool take_crypt_number(struct str *text, size_t digits, uint32_t *ret)
{
	uint32_t value = 0;

	if (text->len < digits)
		return false;

	for (size_t i = digits; i-- > 0;) {
		int digit = crypt_digit(text->at[i]);

		if (digit < 0)
			return false;
		value = value << 6 | (uint32_t)digit;
	}

	*text = str_from(*text, digits);
	*ret = value;
	return true;
}

/* 32 bytes: ten groups of 4 digits for 3 bytes, and 3 digits for 2. */
static bool take_crypt_digest(struct str text, struct password_text *ret)
{
	for (size_t at = 0; at < SHA256_LEN; at += 3) {
		size_t len = MIN((size_t)SHA256_LEN - at, (size_t)3);
		uint32_t group;

		if (!take_crypt_number(&text, len + 1, &group) || group >> (8 * len))
			return false;
		for (size_t i = 0; i < len; i++)
			ret->digest[at + i] = (uint8_t)(group >> (8 * i));
	}

	ret->digest_len = SHA256_LEN;
	return text.len == 0;
}

/* One digit of log2 N, five of r, five of p, the salt as it stands, $ and 43 digits. */
static bool parse_crypt_scrypt(struct str rest, struct password_text *text)
{
	uint32_t log_n, r, p;
	struct str salt;

	if (!take_crypt_number(&rest, 1, &log_n) || !take_crypt_number(&rest, 5, &r) ||
		!take_crypt_number(&rest, 5, &p) || !scrypt_costs(log_n, r, p, text))
		return false;

	salt = str_cut(&rest, '$');
	if (!rest.at || salt.len == 0 || salt.len > sizeof(text->salt))
		return false;

	memcpy(text->salt, salt.at, salt.len);
	text->salt_len = salt.len;
	return take_crypt_digest(rest, text);
}

static bool pbkdf2_costs(enum digest_kind digest, struct str rounds, struct password_text *text)
{
	uint64_t count;

	if (!num_parse_u64(rounds, &count) || !between(count, 1, PBKDF2_ROUNDS_MAX))
		return false;

	text->method = PASSWORD_PBKDF2;
	text->pbkdf2.digest = digest;
	text->pbkdf2.rounds = (uint32_t)count;
	return true;
}

/* passlib writes "." for base64's "+". */
static bool plus_for_dot(struct str *text, char *room, size_t size)
{
	if (text->len > size)
		return false;

	for (size_t i = 0; i < text->len; i++)
		room[i] = text->at[i] == '.' ? '+' : text->at[i];
	*text = str_of(room, text->len);
	return true;
}

/* 600000$salt$hash, both without padding */
static bool parse_pbkdf2(enum digest_kind digest, struct str rest, struct password_text *text)
{
	char salt_room[BASE64_SIZE(PASSWORD_SALT_MAX)], hash_room[BASE64_SIZE(PASSWORD_DIGEST_MAX)];
	struct str rounds = str_cut(&rest, '$');
	struct str salt = str_cut(&rest, '$');

	return rest.at && pbkdf2_costs(digest, rounds, text) &&
	       plus_for_dot(&salt, salt_room, sizeof(salt_room)) &&
	       plus_for_dot(&rest, hash_room, sizeof(hash_room)) &&
	       take_salt_and_digest(BASE64_BARE, salt, rest, text) &&
	       text->digest_len == digest_len(digest);
}

static bool parse_pbkdf2_sha256(struct str rest, struct password_text *text)
{
	return parse_pbkdf2(DIGEST_SHA256, rest, text);
}

static bool parse_pbkdf2_sha512(struct str rest, struct password_text *text)
{
	return parse_pbkdf2(DIGEST_SHA512, rest, text);
}

/* 600000$salt$hash, the salt as it stands, the hash padded */
static bool parse_django(struct str rest, struct password_text *text)
{
	struct str rounds = str_cut(&rest, '$');
	struct str salt = str_cut(&rest, '$');

	if (!rest.at || !pbkdf2_costs(DIGEST_SHA256, rounds, text))
		return false;
	if (salt.len == 0 || salt.len > sizeof(text->salt))
		return false;

	memcpy(text->salt, salt.at, salt.len);
	text->salt_len = salt.len;
	text->digest_len = SHA256_LEN;
	return base64_read_exact(BASE64_PADDED, rest, text->digest, SHA256_LEN);
}

/* --- public ---------------------------------------------------------------- */

static const struct {
	struct str prefix;
	bool (*parse)(struct str rest, struct password_text *text);
} forms[] = {
	{ S_INIT("$argon2id$"), parse_argon2id },
	{ S_INIT("$argon2i$"), parse_argon2i },
	{ S_INIT("$2a$"), parse_bcrypt },
	{ S_INIT("$2b$"), parse_bcrypt },
	{ S_INIT("$2y$"), parse_bcrypt },
	{ S_INIT("$scrypt$"), parse_scrypt },
	{ S_INIT("$7$"), parse_crypt_scrypt },
	{ S_INIT("$pbkdf2-sha256$"), parse_pbkdf2_sha256 },
	{ S_INIT("$pbkdf2-sha512$"), parse_pbkdf2_sha512 },
	{ S_INIT("pbkdf2_sha256$"), parse_django },
};

int password_text_parse(struct str text, struct password_text *ret)
{
	struct password_text parsed = { .setting = text };

	if (text.len > PASSWORD_HASH_MAX)
		return fail(
			ERR_INVALID, "a password hash of more than %d bytes", PASSWORD_HASH_MAX);

	for (size_t i = 0; i < LEN(forms); i++) {
		if (!str_starts(text, forms[i].prefix))
			continue;
		if (!forms[i].parse(str_from(text, forms[i].prefix.len), &parsed))
			return fail(ERR_INVALID, "a malformed or too costly password hash (%.*s)",
				STR_ARG(forms[i].prefix));
		*ret = parsed;
		return 0;
	}
	return fail(ERR_INVALID, "an unknown form of password hash");
}
