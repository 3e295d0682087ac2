/* Starts libcrypto once and keeps the contexts of each thread. */
#include "crypto/library.h"

#include "base/check.h"
#include "crypto/openssl.h"

#include <openssl/crypto.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key; /* only for its destructor */
static _Thread_local struct openssl_thread thread;

static void end_thread(void *at)
{
	struct openssl_thread *ending = at;

	for (size_t i = 0; i < LEN(ending->digests); i++)
		EVP_MD_CTX_free(ending->digests[i]);
	for (size_t i = 0; i < LEN(ending->ciphers); i++)
		EVP_CIPHER_CTX_free(ending->ciphers[i]);
	for (size_t i = 0; i < LEN(ending->verifiers); i++)
		EVP_PKEY_CTX_free(ending->verifiers[i].context);
	*ending = (struct openssl_thread){ 0 }; /* a later destructor may start anew */
}

static void start(void)
{
	CHECK(OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1);
	CHECK(pthread_key_create(&thread_key, end_thread) == 0);
}

void crypto_start(void)
{
	CHECK(pthread_once(&once, start) == 0);
}

struct openssl_thread *openssl_thread(void)
{
	if (UNLIKELY(!thread.registered)) {
		crypto_start();
		CHECK(pthread_setspecific(thread_key, &thread) == 0);
		thread.registered = true;
	}
	return &thread;
}
