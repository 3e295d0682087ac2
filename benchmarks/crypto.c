/*
 * What the crypto folder costs per call on one thread, and what starting libcrypto costs. Prints
 * one line per operation; the numbers of doc/crypto.md come from here.
 */
#include "base/err.h"
#include "crypto/aead.h"
#include "crypto/base64.h"
#include "crypto/digest.h"
#include "crypto/library.h"
#include "crypto/password.h"
#include "crypto/random.h"
#include "crypto/sign.h"
#include "crypto/uuid.h"

#include <stdio.h>
#include <time.h>

enum { TEXT_LEN = 1024 };

/* What the operations work on. */
struct bench {
	struct str text;
	struct aead_key key;
	struct sign_key *signer;
	size_t signature_len;
	uint8_t signature[SIGN_SIGNATURE_MAX];
	uint8_t out[2 * TEXT_LEN];
	char hash[PASSWORD_HASH_SIZE];
};

static const struct password_cost cost = { .memory_kb = 19 * 1024, .passes = 2, .lanes = 1 };

static uint64_t now_ns(void)
{
	struct timespec now;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void report(const char *name, uint64_t total_ns, size_t rounds)
{
	printf("%-28s %12.3f us\n", name, (double)total_ns / (double)rounds / 1000);
}

static void op_random(struct bench *bench)
{
	random_bytes(bench->out, 16);
}

static void op_uuid(struct bench *bench)
{
	struct uuid uuid;

	uuid_v7(&uuid, 1790000000000000);
	uuid_write((char *)bench->out, &uuid);
}

static void op_encode(struct bench *bench)
{
	(void)base64_write(BASE64_URL, (char *)bench->out, bench->text);
}

static void op_decode(struct bench *bench)
{
	size_t len;

	CHECK(base64_read(BASE64_URL, bench->text, bench->out, sizeof(bench->out), &len));
}

static void op_sha256(struct bench *bench)
{
	digest(DIGEST_SHA256, bench->text, bench->out);
}

static void op_hmac(struct bench *bench)
{
	hmac(DIGEST_SHA256, str_first(bench->text, 32), bench->text, bench->out);
}

static void op_seal(struct bench *bench)
{
	CHECK(aead_seal(&bench->key, S("t"), bench->text, bench->out) == 0);
}

static void op_sign(struct bench *bench)
{
	CHECK(sign_make(bench->signer, bench->text, bench->signature, SIGN_SIGNATURE_MAX) > 0);
}

static void op_verify(struct bench *bench)
{
	CHECK(sign_verify(bench->signer, bench->text,
		      str_of((const char *)bench->signature, bench->signature_len)) == 0);
}

static void op_password(struct bench *bench)
{
	CHECK(password_hash(S("correct horse"), &cost, bench->hash) > 0);
}

static void run(const char *name, void (*op)(struct bench *), struct bench *bench, size_t rounds)
{
	uint64_t began;

	op(bench); /* what is fetched at first use */
	began = now_ns();
	for (size_t i = 0; i < rounds; i++)
		op(bench);
	report(name, now_ns() - began, rounds);
}

static void run_signatures(struct bench *bench)
{
	static const struct {
		const char *sign, *verify;
		unsigned bits;
	} kinds[SIGN_KINDS] = {
		[SIGN_RS256] = { "RS256 sign (2048)", "RS256 verify (2048)", 2048 },
		[SIGN_ES256] = { "ES256 sign", "ES256 verify", 0 },
		[SIGN_EDDSA] = { "EdDSA sign", "EdDSA verify", 0 },
	};

	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++) {
		CHECK(sign_key_generate(kind, kinds[kind].bits, &bench->signer) == 0);
		bench->signature_len = sign_len(bench->signer);
		run(kinds[kind].sign, op_sign, bench, 1000);
		run(kinds[kind].verify, op_verify, bench, 10000);
		sign_key_unref(bench->signer);
	}
}

int main(void)
{
	static char text[TEXT_LEN];
	static struct bench bench;
	uint64_t began = now_ns();

	crypto_start();
	report("start", now_ns() - began, 1);
	began = now_ns();
	digest(DIGEST_SHA256, S(""), bench.out);
	report("first SHA-256", now_ns() - began, 1);

	memset(text, 'x', sizeof(text));
	bench.text = str_of(text, sizeof(text));
	CHECK(aead_key_init(&bench.key, AEAD_AES_256_GCM, 1, str_first(bench.text, AEAD_KEY_LEN)) ==
		0);

	run("random, 16 bytes", op_random, &bench, 1000000);
	run("UUIDv7 and its text", op_uuid, &bench, 1000000);
	run("base64url of 1 KB", op_encode, &bench, 100000);
	run("base64url, 1 KB read", op_decode, &bench, 100000);
	run("SHA-256 of 1 KB", op_sha256, &bench, 100000);
	run("HMAC-SHA256 of 1 KB", op_hmac, &bench, 100000);
	run("AES-256-GCM box of 1 KB", op_seal, &bench, 100000);
	run_signatures(&bench);
	run("Argon2id 19 MB, 2 passes", op_password, &bench, 10);
	return 0;
}
