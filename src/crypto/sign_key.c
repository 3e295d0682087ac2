/*
 * Keys: made, read, written. Whatever a key comes from is first reduced to the numbers of its
 * public half (`struct numbers`), which are checked in one place and from which the public EVP_PKEY
 * is built anew; so a key from PEM and one from a JWK obey the same limits, and a verify context
 * that outlives its key holds nothing secret.
 */
#include "crypto/sign_key.h"

#include "base/err.h"
#include "base/mem.h"
#include "crypto/library.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static const struct {
	struct str alg, kty, crv;
} kinds[SIGN_KINDS] = {
	[SIGN_RS256] = { S_INIT("RS256"), S_INIT("RSA"), S_INIT("") },
	[SIGN_ES256] = { S_INIT("ES256"), S_INIT("EC"), S_INIT("P-256") },
	[SIGN_EDDSA] = { S_INIT("EdDSA"), S_INIT("OKP"), S_INIT("Ed25519") },
};

/* The public half of a key. Big-endian. */
struct numbers {
	enum sign_kind kind;
	size_t n_len, e_len; /* RSA: without leading zero bytes */
	uint8_t n[SIGN_SIGNATURE_MAX];
	uint8_t e[EXPONENT_MAX];
	uint8_t x[COORDINATE_LEN]; /* P-256 and Ed25519 */
	uint8_t y[COORDINATE_LEN]; /* P-256 */
};

static struct str bytes_of(const uint8_t *at, size_t len)
{
	return str_of((const char *)at, len);
}

struct str sign_alg(enum sign_kind kind)
{
	return kinds[kind].alg;
}

/* --- numbers -------------------------------------------------------------- */

static int numbers_check(const struct numbers *numbers)
{
	size_t bits;

	if (numbers->kind != SIGN_RS256)
		return 0; /* OpenSSL looks whether the point is on the curve */

	if (numbers->n_len == 0 || numbers->n[0] == 0 || numbers->e_len == 0 || numbers->e[0] == 0)
		return fail(ERR_INVALID, "a number of the RSA key starts with a zero byte");

	bits = numbers->n_len * 8 - (size_t)(__builtin_clz(numbers->n[0]) - 24);
	if (bits < SIGN_RSA_BITS_MIN || bits > SIGN_RSA_BITS_MAX)
		return fail(ERR_INVALID, "an RSA key has %d to %d bits, not %zu", SIGN_RSA_BITS_MIN,
			SIGN_RSA_BITS_MAX, bits);
	if (numbers->n[numbers->n_len - 1] % 2 == 0)
		return fail(ERR_INVALID, "the modulus of the RSA key is even");
	if (numbers->e[numbers->e_len - 1] % 2 == 0 || (numbers->e_len == 1 && numbers->e[0] < 3))
		return fail(ERR_INVALID, "the exponent of the RSA key is even or 1");
	return 0;
}

/* One number of an EVP_PKEY, in as many bytes as it needs, at most `room`. */
static bool take_number(
	const EVP_PKEY *pkey, const char *name, uint8_t *at, size_t room, size_t *ret)
{
	BIGNUM *number = NULL;
	bool fits = EVP_PKEY_get_bn_param(pkey, name, &number) == 1 &&
		    (size_t)BN_num_bytes(number) <= room;

	if (fits)
		*ret = (size_t)BN_bn2bin(number, at);
	BN_free(number);
	return fits;
}

static bool take_coordinate(const EVP_PKEY *pkey, const char *name, uint8_t *at)
{
	BIGNUM *number = NULL;
	bool fits = EVP_PKEY_get_bn_param(pkey, name, &number) == 1 &&
		    BN_bn2binpad(number, at, COORDINATE_LEN) == COORDINATE_LEN;

	BN_free(number);
	return fits;
}

static bool on_p256(const EVP_PKEY *pkey)
{
	char name[sizeof(SN_X9_62_prime256v1)];
	size_t len;

	return EVP_PKEY_get_group_name(pkey, name, sizeof(name), &len) == 1 &&
	       str_eq(str_of(name, len), S(SN_X9_62_prime256v1));
}

static int numbers_from_pkey(const EVP_PKEY *pkey, struct numbers *numbers)
{
	size_t len = COORDINATE_LEN;
	bool taken = false;

	*numbers = (struct numbers){ 0 };
	if (EVP_PKEY_is_a(pkey, "RSA")) {
		numbers->kind = SIGN_RS256;
		taken = take_number(pkey, OSSL_PKEY_PARAM_RSA_N, numbers->n, sizeof(numbers->n),
				&numbers->n_len) &&
			take_number(pkey, OSSL_PKEY_PARAM_RSA_E, numbers->e, sizeof(numbers->e),
				&numbers->e_len);
	} else if (EVP_PKEY_is_a(pkey, "EC") && on_p256(pkey)) {
		numbers->kind = SIGN_ES256;
		taken = take_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_X, numbers->x) &&
			take_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, numbers->y);
	} else if (EVP_PKEY_is_a(pkey, "ED25519")) {
		numbers->kind = SIGN_EDDSA;
		taken = EVP_PKEY_get_raw_public_key(pkey, numbers->x, &len) == 1;
	}
	if (!taken)
		return openssl_fail(ERR_INVALID, "keys are RSA up to %d bits, P-256 or Ed25519",
			SIGN_RSA_BITS_MAX);

	return numbers_check(numbers);
}

static int numbers_from_jwk(const struct sign_jwk *jwk, struct numbers *numbers)
{
	bool taken = false;

	*numbers = (struct numbers){ 0 };
	if (str_eq(jwk->kty, kinds[SIGN_RS256].kty)) {
		numbers->kind = SIGN_RS256;
		taken = base64_read(BASE64_URL, jwk->n, numbers->n, sizeof(numbers->n),
				&numbers->n_len) &&
			base64_read(BASE64_URL, jwk->e, numbers->e, sizeof(numbers->e),
				&numbers->e_len);
	} else if (str_eq(jwk->kty, kinds[SIGN_ES256].kty) &&
		   str_eq(jwk->crv, kinds[SIGN_ES256].crv)) {
		numbers->kind = SIGN_ES256;
		taken = base64_read_exact(BASE64_URL, jwk->x, numbers->x, sizeof(numbers->x)) &&
			base64_read_exact(BASE64_URL, jwk->y, numbers->y, sizeof(numbers->y));
	} else if (str_eq(jwk->kty, kinds[SIGN_EDDSA].kty) &&
		   str_eq(jwk->crv, kinds[SIGN_EDDSA].crv)) {
		numbers->kind = SIGN_EDDSA;
		taken = base64_read_exact(BASE64_URL, jwk->x, numbers->x, sizeof(numbers->x));
	} else {
		return fail(ERR_INVALID, "a JWK is RSA, EC on P-256 or OKP with Ed25519");
	}
	if (!taken)
		return fail(ERR_INVALID, "a member of the JWK is no base64url of the right length");

	return numbers_check(numbers);
}

/* --- from numbers to a key ------------------------------------------------ */

static bool push_numbers(OSSL_PARAM_BLD *builder, const struct numbers *numbers, BIGNUM *n,
	BIGNUM *e, uint8_t *point)
{
	if (numbers->kind == SIGN_RS256)
		return n && e && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		       OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1;

	point[0] = POINT_CONVERSION_UNCOMPRESSED;
	memcpy(point + 1, numbers->x, COORDINATE_LEN);
	memcpy(point + 1 + COORDINATE_LEN, numbers->y, COORDINATE_LEN);
	return OSSL_PARAM_BLD_push_utf8_string(
		       builder, OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) == 1 &&
	       OSSL_PARAM_BLD_push_octet_string(
		       builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * COORDINATE_LEN) == 1;
}

/* The public EVP_PKEY of RSA or P-256 numbers; NULL when there is no memory or no such point. */
static EVP_PKEY *pkey_from_numbers(const struct numbers *numbers)
{
	const char *type = numbers->kind == SIGN_RS256 ? "RSA" : "EC";
	uint8_t point[1 + 2 * COORDINATE_LEN];
	BIGNUM *n = BN_bin2bn(numbers->n, (int)numbers->n_len, NULL);
	BIGNUM *e = BN_bin2bn(numbers->e, (int)numbers->e_len, NULL);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (context && builder && push_numbers(builder, numbers, n, e, point))
		params = OSSL_PARAM_BLD_to_param(builder);
	if (params && EVP_PKEY_fromdata_init(context) == 1)
		(void)EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params);

	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(context);
	BN_free(n);
	BN_free(e);
	return pkey;
}

static EVP_PKEY *public_pkey(const struct numbers *numbers)
{
	if (numbers->kind == SIGN_EDDSA)
		return EVP_PKEY_new_raw_public_key_ex(
			NULL, "ED25519", NULL, numbers->x, sizeof(numbers->x));
	return pkey_from_numbers(numbers);
}

static struct str write_member(char *at, const uint8_t *bytes, size_t len)
{
	return str_of(at, base64_write(BASE64_URL, at, bytes_of(bytes, len)));
}

static void fill_jwk(struct sign_key *key, const struct numbers *numbers)
{
	key->jwk = (struct sign_jwk){ .kty = kinds[key->kind].kty, .crv = kinds[key->kind].crv };
	if (key->kind == SIGN_RS256) {
		key->jwk.n = write_member(key->n, numbers->n, numbers->n_len);
		key->jwk.e = write_member(key->e, numbers->e, numbers->e_len);
		return;
	}

	key->jwk.x = write_member(key->x, numbers->x, COORDINATE_LEN);
	if (key->kind == SIGN_ES256)
		key->jwk.y = write_member(key->y, numbers->y, COORDINATE_LEN);
}

/* RFC 7638: the required members only, in this order, without white space. */
static void fill_id(struct sign_key *key)
{
	const struct sign_jwk *jwk = &key->jwk;
	const struct str rsa[] = { S_INIT("{\"e\":\""), jwk->e,
		S_INIT("\",\"kty\":\"RSA\",\"n\":\""), jwk->n, S_INIT("\"}") };
	const struct str ec[] = { S_INIT("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\""), jwk->x,
		S_INIT("\",\"y\":\""), jwk->y, S_INIT("\"}") };
	const struct str okp[] = { S_INIT("{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\""), jwk->x,
		S_INIT("\"}") };
	uint8_t thumbprint[SHA256_LEN];

	if (key->kind == SIGN_RS256)
		digest_parts(DIGEST_SHA256, rsa, LEN(rsa), thumbprint);
	else if (key->kind == SIGN_ES256)
		digest_parts(DIGEST_SHA256, ec, LEN(ec), thumbprint);
	else
		digest_parts(DIGEST_SHA256, okp, LEN(okp), thumbprint);
	CHECK(base64_write(BASE64_URL, key->id, bytes_of(thumbprint, sizeof(thumbprint))) ==
		sizeof(key->id));
}

/* A key whose private half, if any, it takes over in every case. */
static int key_new(const struct numbers *numbers, EVP_PKEY *private, struct sign_key **ret)
{
	static _Atomic uint64_t serials;
	struct sign_key *key = mem_zalloc(sizeof(*key));

	if (!key) {
		EVP_PKEY_free(private);
		return err_wrap("making a key");
	}

	atomic_init(&key->references, 1);
	key->kind = numbers->kind;
	key->serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed) + 1;
	key->private = private;
	key->signature_len = numbers->kind == SIGN_RS256 ? numbers->n_len : SIGN_RAW_LEN;
	key->public = public_pkey(numbers);
	if (!key->public) {
		sign_key_unref(key);
		return openssl_fail(ERR_INVALID, "the numbers of the key are refused");
	}

	fill_jwk(key, numbers);
	fill_id(key);
	*ret = key;
	return 0;
}

/* A private half that does not fit its public one would, with RSA, even give itself away. */
static int check_pair(const struct sign_key *key)
{
	uint8_t signature[SIGN_SIGNATURE_MAX];
	struct str message = S("pair");
	int len = sign_make(key, message, signature, sizeof(signature));

	if (len < 0 || sign_verify(key, message, bytes_of(signature, (size_t)len)) < 0)
		return openssl_fail(ERR_INVALID, "the private key does not fit its public half");
	return 0;
}

/* A key from an EVP_PKEY, which it takes over in every case. */
static int key_from_pkey(EVP_PKEY *pkey, bool private, struct sign_key **ret)
{
	struct sign_key *key = NULL;
	struct numbers numbers;
	int error = numbers_from_pkey(pkey, &numbers);

	if (error < 0 || !private) {
		EVP_PKEY_free(pkey);
		return error < 0 ? error : key_new(&numbers, NULL, ret);
	}

	error = key_new(&numbers, pkey, &key);
	if (error < 0)
		return error;

	error = check_pair(key);
	if (error < 0) {
		sign_key_unref(key);
		return error;
	}

	*ret = key;
	return 0;
}

/* --- public --------------------------------------------------------------- */

int sign_key_generate(enum sign_kind kind, unsigned rsa_bits, struct sign_key **ret)
{
	EVP_PKEY *pkey = NULL;
	bool bits_fit = kind == SIGN_RS256
				? rsa_bits >= SIGN_RSA_BITS_MIN && rsa_bits <= SIGN_RSA_BITS_MAX &&
					  rsa_bits % 256 == 0
				: rsa_bits == 0;

	if (!bits_fit)
		return fail(ERR_INVALID, "%.*s keys do not come with %u bits",
			STR_ARG(kinds[kind].alg), rsa_bits);

	crypto_start();
	if (kind == SIGN_RS256)
		pkey = EVP_RSA_gen(rsa_bits);
	else if (kind == SIGN_ES256)
		pkey = EVP_EC_gen("P-256");
	else
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!pkey)
		return openssl_fail(ERR_INTERNAL, "no key could be generated");

	return key_from_pkey(pkey, true, ret);
}

/* The one block of a PEM text; false when it is not one of the two kinds that we read. */
static bool pem_block(struct str pem, bool *ret_private, unsigned char **ret_der, long *ret_len)
{
	static const struct str private_end = S_INIT("-----END PRIVATE KEY-----");
	static const struct str public_end = S_INIT("-----END PUBLIC KEY-----");
	bool private =
		str_starts(pem, S("-----BEGIN PRIVATE KEY-----")) && str_ends(pem, private_end);
	bool public = str_starts(pem, S("-----BEGIN PUBLIC KEY-----")) && str_ends(pem, public_end);
	struct str end = private ? private_end : public_end;
	char *name = NULL, *header = NULL;
	BIO *bio = NULL;
	bool found;

	if (!(private || public) || str_find(pem, end) != (ptrdiff_t)(pem.len - end.len))
		return false;

	bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	found = bio && PEM_read_bio(bio, &name, &header, ret_der, ret_len) == 1;
	if (found && header[0] != 0) {
		OPENSSL_clear_free(TAKE(*ret_der), (size_t)*ret_len);
		found = false;
	}

	*ret_private = private;
	OPENSSL_free(name);
	OPENSSL_free(header);
	BIO_free(bio);
	return found;
}

/* The key in DER; NULL when it is none or something follows it. */
static EVP_PKEY *pkey_from_der(const unsigned char *der, long len, bool private)
{
	const unsigned char *at = der;
	PKCS8_PRIV_KEY_INFO *info;
	EVP_PKEY *pkey;

	if (private) {
		info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, len);
		pkey = info ? EVP_PKCS82PKEY(info) : NULL;
		PKCS8_PRIV_KEY_INFO_free(info);
	} else {
		pkey = d2i_PUBKEY(NULL, &at, len);
	}

	if (pkey && at == der + len)
		return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

static struct str trim_lines(struct str text)
{
	static const struct str blank = S_INIT(" \t\r\n");

	while (text.len && str_find_byte(blank, text.at[0]) >= 0)
		text = str_from(text, 1);
	while (text.len && str_find_byte(blank, text.at[text.len - 1]) >= 0)
		text.len--;
	return text;
}

int sign_key_from_pem(struct str pem, struct sign_key **ret)
{
	unsigned char *der = NULL;
	EVP_PKEY *pkey;
	bool private;
	long len;

	if (pem.len > SIGN_PEM_MAX)
		return fail(ERR_INVALID, "a PEM text of more than %d bytes", SIGN_PEM_MAX);

	crypto_start();
	if (!pem_block(trim_lines(pem), &private, &der, &len))
		return openssl_fail(ERR_INVALID,
			"this is not one PEM block PRIVATE KEY (PKCS #8) or PUBLIC KEY (SPKI)");

	pkey = pkey_from_der(der, len, private);
	OPENSSL_clear_free(der, (size_t)len);
	if (!pkey)
		return openssl_fail(ERR_INVALID, "the PEM block does not hold a key");

	ERR_clear_error(); /* the decoders leave the attempts that failed */
	return key_from_pkey(pkey, private, ret);
}

int sign_key_from_jwk(const struct sign_jwk *jwk, struct sign_key **ret)
{
	struct numbers numbers;
	int error = numbers_from_jwk(jwk, &numbers);

	if (error < 0)
		return error;

	crypto_start();
	return key_new(&numbers, NULL, ret);
}

struct sign_key *sign_key_ref(struct sign_key *key)
{
	atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
	return key;
}

void sign_key_unref(struct sign_key *key)
{
	if (!key || atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) != 1)
		return;

	EVP_PKEY_free(key->public);
	EVP_PKEY_free(key->private); /* OpenSSL wipes what it frees of private keys */
	mem_free(key, sizeof(*key));
}

static int write_pem(const EVP_PKEY *pkey, bool private, struct buf *buf)
{
	BIO *bio = BIO_new(BIO_s_mem()); /* wipes its memory when it grows and when it is freed */
	char *text;
	bool wrote = false;

	if (bio && private)
		wrote = PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1;
	else if (bio)
		wrote = PEM_write_bio_PUBKEY(bio, pkey) == 1;
	if (wrote) {
		size_t len = (size_t)BIO_get_mem_data(bio, &text);

		buf_append(buf, str_of(text, len));
	}

	BIO_free(bio);
	if (!wrote)
		return openssl_fail(ERR_INTERNAL, "the key could not be written");
	return buf->failed;
}

int sign_key_write_private(const struct sign_key *key, struct buf *buf)
{
	if (!key->private)
		return fail(ERR_INVALID, "this key has no private half");
	return write_pem(key->private, true, buf);
}

int sign_key_write_public(const struct sign_key *key, struct buf *buf)
{
	return write_pem(key->public, false, buf);
}

enum sign_kind sign_key_kind(const struct sign_key *key)
{
	return key->kind;
}

bool sign_key_private(const struct sign_key *key)
{
	return key->private != NULL;
}

const struct sign_jwk *sign_key_jwk(const struct sign_key *key)
{
	return &key->jwk;
}

struct str sign_key_id(const struct sign_key *key)
{
	return str_of(key->id, sizeof(key->id));
}
