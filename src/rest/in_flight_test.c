/* The table of what is in work, against a model, at its limit and from several threads. */
#include "rest/in_flight.h"

#include "base/check.h"
#include "base/err.h"
#include "base/test.h"

#include <pthread.h>

static const int one, other;

static void key_of(uint64_t number, uint8_t key[SHA256_LEN])
{
	memset(key, 0, SHA256_LEN);
	memcpy(key, &number, sizeof(number));
}

TEST(in_flight_is_entered_once)
{
	uint8_t key[SHA256_LEN];

	key_of(1, key);
	EXPECT_INT(in_flight_enter(&one, key), 0);
	EXPECT_INT(in_flight_enter(&one, key), -ERR_CONFLICT);
	EXPECT_INT(in_flight_enter(&other, key), 0);
	key[SHA256_LEN - 1] = 1; /* the same home */
	EXPECT_INT(in_flight_enter(&one, key), 0);
	EXPECT_INT(in_flight_count(), 3);

	in_flight_leave(&one, key);
	EXPECT_INT(in_flight_enter(&one, key), 0);
	in_flight_leave(&one, key);
	key[SHA256_LEN - 1] = 0;
	in_flight_leave(&one, key);
	in_flight_leave(&other, key);
	EXPECT_INT(in_flight_count(), 0);
}

TEST(in_flight_is_bounded)
{
	uint8_t key[SHA256_LEN];

	for (uint64_t i = 0; i < IN_FLIGHT_MAX; i++) {
		key_of(i, key);
		EXPECT_INT(in_flight_enter(&one, key), 0);
	}
	key_of(IN_FLIGHT_MAX, key);
	EXPECT_INT(in_flight_enter(&one, key), -ERR_FULL);
	key_of(7, key);
	EXPECT_INT(in_flight_enter(&one, key), -ERR_CONFLICT); /* which says more */
	in_flight_leave(&one, key);
	key_of(IN_FLIGHT_MAX, key);
	EXPECT_INT(in_flight_enter(&one, key), 0);
}

/* Keys whose homes crowd around the end of the table, so that runs wrap and gaps close across it.
 */
TEST(in_flight_agrees_with_a_model)
{
	enum { KEYS = 64, HOMES = 8, STEPS = 20000 };
	bool model[KEYS] = { 0 };
	uint64_t seed = 11;
	size_t count = 0;

	for (int i = 0; i < STEPS; i++) {
		size_t number = test_random(&seed) % KEYS;
		uint8_t key[SHA256_LEN];

		key_of(2 * IN_FLIGHT_MAX - HOMES / 2 + number % HOMES, key);
		key[SHA256_LEN - 1] = (uint8_t)number;
		if (model[number] && test_random(&seed) % 2) {
			in_flight_leave(&one, key);
			model[number] = false;
			count--;
			continue;
		}
		REQUIRE(in_flight_enter(&one, key) == (model[number] ? -ERR_CONFLICT : 0));
		count += !model[number];
		model[number] = true;
		REQUIRE(in_flight_count() == count);
	}
}

static void *enter_all(void *arg)
{
	size_t *entered = arg;

	for (uint64_t i = 0; i < 1000; i++) {
		uint8_t key[SHA256_LEN];

		key_of(i, key);
		*entered += in_flight_enter(&one, key) == 0;
	}
	return NULL;
}

TEST(in_flight_threads_share_it)
{
	enum { THREADS = 4 };
	pthread_t threads[THREADS];
	size_t entered[THREADS] = { 0 }, sum = 0;

	for (int i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, enter_all, &entered[i]) == 0);
	for (int i = 0; i < THREADS; i++) {
		REQUIRE(pthread_join(threads[i], NULL) == 0);
		sum += entered[i];
	}
	EXPECT_INT(sum, 1000);
	EXPECT_INT(in_flight_count(), 1000);
}
