/* That neither the answer nor the time of a login tells who has an account. */
#include "modules/auth/auth_signin_world_test.h"

#include "observe/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* Sanitizers have times of their own; there only the hashes count. */
enum { KINDS = 4, SAMPLES = BUILT_WITH_TSAN || BUILT_WITH_ASAN ? 8 : 60 };

static int suspend(const struct db *db, void *arg)
{
	(void)arg;
	return db_exec(db, &signin_suspend_all, NULL);
}

static int compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(const double *at)
{
	double sorted[SAMPLES];

	memcpy(sorted, at, sizeof(sorted));
	qsort(sorted, SAMPLES, sizeof(*sorted), compare_doubles);
	return (sorted[SAMPLES / 2 - 1] + sorted[SAMPLES / 2]) / 2;
}

/* Mann and Whitney's test: how many standard deviations the ranks of `a` lie from those of `b`. */
static double rank_distance(const double *a, const double *b)
{
	double wins = 0, n = SAMPLES;

	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t k = 0; k < SAMPLES; k++)
			wins += a[i] > b[k] ? 1 : a[i] == b[k] ? 0.5 : 0;
	return (wins - n * n / 2) / __builtin_sqrt(n * n * (2 * n + 1) / 12);
}

/*
 * One hash each, whatever is wrong; and times that cannot be told apart. Samples are taken in turn,
 * so that what else the machine does meets all of them alike. A difference counts when it is both
 * beyond chance and more than a twentieth.
 */
WORLD_TEST(signin_takes_the_same_time, signin_modules)
{
	static const char *const emails[KINDS] = { "ada@example.com", "nobody@example.com",
		"locked@example.com", "sus@example.com" };
	static double times[KINDS][SAMPLES];
	struct answer answer, first;

	signin_few_tries(2);
	REQUIRE(signin_found(world, "ada@example.com", "acme").status == 201);
	REQUIRE(signin_join(world, "locked@example.com", "acme").status == 201);
	REQUIRE(signin_post(world, "auth/register",
			"{\"email\":\"sus@example.com\",\"password\":\"" SIGNIN_PASSWORD
			"\",\"name\":\"Sus\",\"tenant\":{\"slug\":\"acme\"}}")
			.status == 201);
	world_do(world, "otto", suspend, NULL);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(signin_status(world, "locked@example.com", "wrong", "acme"), 401);
	signin_few_tries(1000000);

	first = signin_login(world, emails[0], "wrong", "acme");
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t k = 0; k < KINDS; k++) {
			uint64_t began = clock_now_ns(), before = passwords_computed();

			answer = signin_login(world, emails[(k + i) % KINDS],
				k % 2 || (k + i) % KINDS == 0 ? "wrong" : SIGNIN_PASSWORD, "acme");
			times[(k + i) % KINDS][i] = (double)(clock_now_ns() - began);
			EXPECT_INT(passwords_computed() - before, 1);
			EXPECT_INT(answer.status, 401);
			EXPECT_INT(answer.body.len, first.body.len);
		}
	for (size_t k = 1; k < KINDS; k++) {
		double distance = rank_distance(times[0], times[k]);
		double ratio = median(times[k]) / median(times[0]);

		if (!EXPECT((distance > -4.5 && distance < 4.5) || (ratio > 0.95 && ratio < 1.05)))
			fprintf(stderr, "  %s: %.1f deviations, ratio %.3f\n", emails[k], distance,
				ratio);
	}
}
