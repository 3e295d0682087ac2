/*
 * As many Argon2id hashes as the processors can do: threads in a loop around libargon2, nothing
 * else. limit-argon2 THREADS SECONDS MEMORY_KB PASSES prints hashes per second.
 */
#include <argon2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS_MAX = 256, HASH_LEN = 32 };

static atomic_bool ended;
static _Atomic uint64_t hashes;
static uint32_t memory_kb, passes;

static void *loop(void *arg)
{
	static const char password[] = "tin whistle over boots", salt[16] = "0123456789abcde";
	uint8_t hash[HASH_LEN];

	(void)arg;
	while (!atomic_load(&ended)) {
		if (argon2id_hash_raw(passes, memory_kb, 1, password, sizeof(password) - 1, salt,
			    sizeof(salt), hash, sizeof(hash)) != ARGON2_OK)
			abort();
		(void)atomic_fetch_add(&hashes, 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	int count, seconds;

	if (argc != 5) {
		(void)fprintf(stderr, "limit-argon2 THREADS SECONDS MEMORY_KB PASSES\n");
		return 2;
	}
	count = atoi(argv[1]);
	seconds = atoi(argv[2]);
	memory_kb = (uint32_t)atoi(argv[3]);
	passes = (uint32_t)atoi(argv[4]);
	if (count < 1 || count > THREADS_MAX || seconds < 1)
		return 2;
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, loop, NULL) != 0)
			return 1;
	(void)sleep((unsigned)seconds);
	atomic_store(&ended, true);
	/* The last ones were begun in time and are not counted whole: they are left out. */
	(void)printf("%.2f\n", (double)atomic_load(&hashes) / seconds);
	return 0;
}
