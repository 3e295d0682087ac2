/* Hands: shared by weight when they are short, nobody starves; the pace follows the backlog. */
#include "modules/jobs/jobs_hands.h"

#include "base/list.h"
#include "base/test.h"

TEST(hands_are_free_for_all_while_there_are_enough)
{
	struct hand_share one, two;
	struct hands hands;

	hands_init(&hands, 100);
	hands_join(&hands, &one, QUEUE_LOW);
	hands_join(&hands, &two, QUEUE_HIGH);
	EXPECT_INT(hands_take(&hands, &one, 90), 90);
	EXPECT_INT(hands_take(&hands, &two, 10), 10);
	EXPECT_INT(hands_take(&hands, &two, 5), 0);
	EXPECT_INT(hands_take(&hands, &one, 5), 0);
	/* One has far more than its part, so what comes back is two's, however often one asks. */
	hands_give(&hands, &one, 7);
	EXPECT_INT(hands_take(&hands, &one, 5), 0);
	EXPECT_INT(hands_take(&hands, &two, 50), 7);
	hands_give(&hands, &one, 83);
	EXPECT_INT(hands_take(&hands, &two, 200), 63);
	EXPECT_INT(hands_take(&hands, &one, 200), 20); /* its part: a fifth */
	hands_give(&hands, &one, 20);
	hands_give(&hands, &two, 80);
	EXPECT_INT(hands.used, 0);
	EXPECT_INT(hands_take(&hands, &two, 0), 0);
	EXPECT_INT(hands_take(&hands, &one, 0), 0);
	EXPECT_INT(hands.weights, 0);
	EXPECT_INT(hands.hungry, 0);
}

/* Three queues that always want more than there is; hands come back one at a time, from anywhere.
 */
TEST(hands_settle_by_weight)
{
	static const enum queue_level levels[] = { QUEUE_HIGH, QUEUE_MEDIUM, QUEUE_LOW };
	struct hand_share shares[LEN(levels)];
	uint64_t seed = 11;
	struct hands hands;

	hands_init(&hands, 700);
	for (size_t i = 0; i < LEN(levels); i++)
		hands_join(&hands, &shares[i], levels[i]);
	EXPECT_INT(hands_take(&hands, &shares[2], 1000), 700); /* the least important was first */
	for (int i = 0; i < 20000; i++) {
		struct hand_share *from = &shares[test_random(&seed) % LEN(levels)];
		struct hand_share *to = &shares[test_random(&seed) % LEN(levels)];

		if (from->held > 0)
			hands_give(&hands, from, 1);
		(void)hands_take(&hands, to, 1000);
		EXPECT(hands.used <= hands.total);
	}
	for (size_t i = 0; i < LEN(levels); i++)
		(void)hands_take(&hands, &shares[i], 1000);
	EXPECT_INT(shares[0].held, 400);
	EXPECT_INT(shares[1].held, 200);
	EXPECT_INT(shares[2].held, 100);
}

/* Many important queues that have all hands already, and give back one at a time. */
TEST(even_the_smallest_share_gets_a_hand)
{
	struct hand_share shares[100];
	struct hands hands;

	hands_init(&hands, 400);
	for (size_t i = 0; i < LEN(shares); i++)
		hands_join(&hands, &shares[i], i == 0 ? QUEUE_LOW : QUEUE_HIGH);
	for (size_t i = 1; i < LEN(shares); i++)
		(void)hands_take(&hands, &shares[i], 10);
	EXPECT_INT(hands.used, 400);
	EXPECT_INT(hands_take(&hands, &shares[0], 1), 0);
	for (size_t i = 1; i < LEN(shares) && shares[0].held == 0; i++) {
		hands_give(&hands, &shares[i], shares[i].held > 0);
		(void)hands_take(&hands, &shares[i], 10);
		(void)hands_take(&hands, &shares[0], 1);
	}
	EXPECT_INT(shares[0].held, 1);
}

TEST(the_pace_follows_the_backlog)
{
	struct queue_settings settings = { .concurrency = 100, .concurrency_min = 1 };
	struct pace pace = { 0 };
	uint64_t now = 100 * SECOND;

	EXPECT_INT(pace_look(&pace, &settings, 0, now), 1);
	for (int64_t hands = 2; hands < 128; hands *= 2) {
		EXPECT_INT(pace_look(&pace, &settings, PACE_AGE, now), hands);
		EXPECT_INT(pace_look(&pace, &settings, PACE_AGE, now + PACE_UP - 1), hands);
		now += PACE_UP;
	}
	EXPECT_INT(pace_look(&pace, &settings, PACE_AGE, now), 100);
	EXPECT_INT(pace_look(&pace, &settings, PACE_AGE - 1, now + SECOND), 100);
	EXPECT_INT(pace_look(&pace, &settings, 0, now + SECOND + PACE_DOWN), 50);
	EXPECT_INT(pace_look(&pace, &settings, 0, now + 2 * SECOND + PACE_DOWN), 50);
	now += 2 * SECOND + 2 * PACE_DOWN;
	EXPECT_INT(pace_look(&pace, &settings, 0, now), 25);
	for (int i = 0; i < 10; i++)
		(void)pace_look(&pace, &settings, 0, now += PACE_DOWN);
	EXPECT_INT(pace.hands, 1);

	settings.concurrency = 0; /* no bound where there should be one */
	EXPECT_INT(pace_look(&pace, &settings, PACE_AGE, now += SECOND), 1);
}
