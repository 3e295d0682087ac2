/*
 * Jobs of groups that are added together: those of one group join it by one change, and on
 * PostgreSQL all groups of a queue by one statement.
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"

#include <stdlib.h>

/* Jobs that join groups, by queue and group, and in the order in which they were given. */
struct joiners {
	struct adding **at;
	size_t count;
};

static int by_group(const void *a, const void *b)
{
	const struct adding *left = *(struct adding *const *)a;
	const struct adding *right = *(struct adding *const *)b;
	const struct group_ref x = { left->row.queue, left->row.group_key.value };
	const struct group_ref y = { right->row.queue, right->row.group_key.value };
	int r = group_cmp(&x, &y);

	return r ? r : (left > right) - (left < right);
}

/* Those of one queue from `from` on. */
static int join_queue(struct tx *tx, const struct joiners *joiners, size_t from, size_t count,
	struct adding **ret_refused)
{
	struct group_joining *groups = arena_zalloc(tx_arena(tx), count * sizeof(*groups));
	struct adding **at = &joiners->at[from];
	size_t group_count = 0, placed = 0;
	int r;

	if (!groups)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++) {
		struct str key = at[i]->row.group_key.value;

		if (!group_count || !str_eq(groups[group_count - 1].key, key))
			groups[group_count++].key = key;
		groups[group_count - 1].count++;
	}
	r = groups_join_in_tx(tx, at[0]->row.queue, groups, group_count);
	for (size_t i = 0; i < group_count && r == 0; i++)
		for (size_t place = 0; place < groups[i].count && r == 0; place++) {
			*ret_refused = at[placed++];
			r = adding_place(*ret_refused, &groups[i], place, tx_now_us(tx));
		}
	return r;
}

/* A job with a key may take the place of another one, so these are done one after the other, and
 * with them all others, which must not get before them. */
static int find(struct tx *tx, struct adding *addings, size_t count, struct joiners *ret)
{
	ret->count = 0;
	ret->at = arena_alloc(tx_arena(tx), count * sizeof(struct adding *));
	if (!ret->at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++) {
		if (!adding_wants_seat(&addings[i]))
			continue;
		if (addings[i].row.unique_key.set) {
			ret->count = 0;
			return 0;
		}
		ret->at[ret->count++] = &addings[i];
	}
	return 0;
}

int addings_join_in_tx(struct tx *tx, struct adding *addings, size_t count, size_t *ret_which)
{
	struct joiners joiners = { NULL, 0 };
	struct adding *refused = addings;
	size_t some;
	int r = count > 1 ? find(tx, addings, count, &joiners) : 0;

	if (r == 0 && joiners.count > 1)
		qsort(joiners.at, joiners.count, sizeof(struct adding *), by_group);
	for (size_t i = 0; i < joiners.count && r == 0; i += some) {
		struct str queue = joiners.at[i]->row.queue;

		for (some = 1; i + some < joiners.count; some++)
			if (!str_eq(joiners.at[i + some]->row.queue, queue))
				break;
		r = join_queue(tx, &joiners, i, some, &refused);
	}
	if (r < 0)
		*ret_which = (size_t)(refused - addings);
	return r;
}
