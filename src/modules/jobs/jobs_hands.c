/* Sharing hands among queues, and the pace of dynamic ones. Plain counting: of one thread, no
 * clock. */
#include "modules/jobs/jobs_hands.h"

#include "base/check.h"
#include "base/list.h"

/* --- shares ------------------------------------------------------------------------------ */

static const size_t weights[QUEUE_LEVELS] = {
	[QUEUE_HIGH] = 4, [QUEUE_MEDIUM] = 2, [QUEUE_LOW] = 1
};

void hands_init(struct hands *hands, size_t total)
{
	*hands = (struct hands){ .total = total };
	link_init(&hands->shares);
}

void hands_join(struct hands *hands, struct hand_share *share, enum queue_level level)
{
	*share = (struct hand_share){ .weight = weights[level] };
	list_push(&hands->shares, &share->link);
}

static bool counts(const struct hand_share *share)
{
	return share->held > 0 || share->hungry;
}

/* Around a change of a share: its weight is in the sum while it counts. */
static void leave_sum(struct hands *hands, const struct hand_share *share)
{
	if (counts(share))
		hands->weights -= share->weight;
	hands->hungry -= share->hungry;
}

static void enter_sum(struct hands *hands, const struct hand_share *share)
{
	if (counts(share))
		hands->weights += share->weight;
	hands->hungry += share->hungry;
}

void hands_weigh(struct hands *hands, struct hand_share *share, enum queue_level level)
{
	leave_sum(hands, share);
	share->weight = weights[level];
	enter_sum(hands, share);
}

/* What is missing to its part by weight. */
static size_t missing(const struct hands *hands, const struct hand_share *share)
{
	size_t part = hands->total * share->weight / hands->weights;

	return part > share->held ? part - share->held : 0;
}

/* What other hungry ones have a right to. */
static size_t owed_to_others(const struct hands *hands, const struct hand_share *share)
{
	struct hand_share *other;
	size_t owed = 0;

	if (hands->hungry > share->hungry)
		LIST_EACH (other, &hands->shares, struct hand_share, link)
			if (other != share && other->hungry)
				owed += missing(hands, other);
	return owed;
}

size_t hands_take(struct hands *hands, struct hand_share *share, size_t want)
{
	size_t free = hands->total - hands->used, owed, got;

	leave_sum(hands, share);
	share->hungry = want > 0;
	enter_sum(hands, share);
	if (want == 0)
		return 0;

	owed = owed_to_others(hands, share);
	got = MAX(MIN(missing(hands, share), free), free > owed ? free - owed : 0);
	got = MIN(got, want);
	leave_sum(hands, share);
	share->held += got;
	share->hungry = got < want;
	enter_sum(hands, share);
	hands->used += got;
	return got;
}

void hands_give(struct hands *hands, struct hand_share *share, size_t count)
{
	CHECK(count <= share->held && count <= hands->used);
	leave_sum(hands, share);
	share->held -= count;
	enter_sum(hands, share);
	hands->used -= count;
}

/* --- pace ---------------------------------------------------------------------------------- */

int64_t pace_look(
	struct pace *pace, const struct queue_settings *settings, uint64_t age_ns, uint64_t now_ns)
{
	int64_t most = MAX(settings->concurrency, (int64_t)1);
	int64_t least = MIN(MAX(settings->concurrency_min, (int64_t)1), most);
	bool old = age_ns >= PACE_AGE;

	pace->hands = MIN(MAX(pace->hands, least), most);
	if (old)
		pace->calm_ns = 0;
	else if (pace->calm_ns == 0)
		pace->calm_ns = now_ns;

	if (old && now_ns - pace->changed_ns >= PACE_UP) {
		pace->hands = MIN(2 * pace->hands, most);
		pace->changed_ns = now_ns;
	} else if (pace->calm_ns && now_ns - MAX(pace->calm_ns, pace->changed_ns) >= PACE_DOWN) {
		pace->hands = MAX(pace->hands / 2, least);
		pace->changed_ns = now_ns;
	}
	return pace->hands;
}
