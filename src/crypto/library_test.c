/* What the folder promises about libcrypto: failures leave nothing in its error queue, threads may
 * come and go, a process ends without its handlers. */
#include "crypto/library.h"

#include "base/err.h"
#include "base/test.h"
#include "crypto/openssl.h"
#include "crypto/password.h"
#include "crypto/sign.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct sign_jwk curve_key = {
	.kty = S_INIT("EC"),
	.crv = S_INIT("P-256"),
	.x = S_INIT("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
	.y = S_INIT("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
};

#define EXPECT_CLEAN(call, code)                                                                   \
	({                                                                                         \
		EXPECT_INT(call, code);                                                            \
		EXPECT(ERR_peek_error() == 0);                                                     \
	})

TEST(library_leaves_no_errors)
{
	struct sign_jwk off_curve = curve_key;
	struct aead_key key = { .kind = AEAD_AES_256_GCM };
	struct sign_key *signer = NULL, *other = NULL;
	char box[64] = { 1 }, plain[64], signature[64] = { 0 };
	struct buf text;

	off_curve.y = curve_key.x;
	buf_init(&text, SIGN_PEM_MAX);
	EXPECT_CLEAN(aead_open(&key, S(""), str_of(box, sizeof(box)), plain), -ERR_INVALID);
	EXPECT_CLEAN(sign_key_from_jwk(&off_curve, &other), -ERR_INVALID);
	EXPECT_CLEAN(sign_key_from_pem(S("-----BEGIN PUBLIC KEY-----\nAAAA\n"
					 "-----END PUBLIC KEY-----"),
			     &other),
		-ERR_INVALID);
	EXPECT_CLEAN(sign_key_from_pem(S("-----BEGIN PRIVATE KEY-----\n!\n"
					 "-----END PRIVATE KEY-----"),
			     &other),
		-ERR_INVALID);
	EXPECT_CLEAN(password_verify(S("x"), S("$scrypt$ln=4,r=8,p=1$c29tZXNhbHQ$"
					       "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")),
		-ERR_UNAUTHORIZED);

	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++) {
		EXPECT_CLEAN(sign_key_generate(kind, kind ? 0 : SIGN_RSA_BITS_MIN, &signer), 0);
		EXPECT_CLEAN(sign_key_write_private(signer, &text), 0);
		EXPECT_CLEAN(sign_key_from_pem(buf_str(&text), &other), 0);
		EXPECT_CLEAN(sign_verify(signer, S("m"), str_of(signature, sizeof(signature))),
			-ERR_UNAUTHORIZED);
		sign_key_unref(signer);
		sign_key_unref(other);
		buf_reset(&text);
	}
	buf_done(&text);
}

static void *use_everything(void *arg)
{
	struct aead_key key = { .kind = AEAD_CHACHA20_POLY1305 };
	char box[AEAD_OVERHEAD];
	uint8_t hash[DIGEST_MAX];
	struct sign_key *verifier = arg;

	crypto_start();
	digest(DIGEST_SHA512, S("x"), hash);
	EXPECT_INT(aead_seal(&key, S(""), S(""), box), 0);
	EXPECT_INT(
		sign_verify(verifier, S("x"), str_of((char *)hash, SHA512_LEN)), -ERR_UNAUTHORIZED);
	return NULL;
}

/* What a thread kept is freed with it (the leak check of the sanitizer looks). */
TEST(library_threads_come_and_go)
{
	struct sign_key *key = NULL;

	REQUIRE(sign_key_from_jwk(&curve_key, &key) == 0);
	for (int i = 0; i < 50; i++) {
		pthread_t thread;

		REQUIRE(pthread_create(&thread, NULL, use_everything, key) == 0);
		REQUIRE(pthread_join(thread, NULL) == 0);
	}
	sign_key_unref(key);
}

static void *digest_forever(void *arg)
{
	uint8_t hash[DIGEST_MAX];

	(void)arg;
	for (;;)
		digest(DIGEST_SHA256, S("x"), hash);
	return NULL;
}

/* exit() while a thread is still at work: no handler takes libcrypto away under it. */
TEST(library_ends_under_work)
{
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();
		int status = -1;

		REQUIRE(child >= 0);
		if (child == 0) {
			pthread_t thread;

			CHECK(pthread_create(&thread, NULL, digest_forever, NULL) == 0);
			(void)usleep(2000);
			exit(EXIT_SUCCESS);
		}
		REQUIRE(waitpid(child, &status, 0) == child);
		EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
	}
}
