/* What can be said of entries, and how they are told. Pure: no rows, no time. */
#include "modules/audit/audit_internal.h"

#include "json/reader.h"

/* --- personal values ----------------------------------------------------------------------- */

static const struct str opening = S_INIT("{\"personal\":\""), closing = S_INIT("\"}");

/* The next of the values, each of which has a record separator (RFC 7464) in front of it. */
static bool next_value(struct str *rest, struct str *ret)
{
	if (rest->len == 0 || rest->at[0] != AUDIT_SEPARATOR)
		return false;
	*rest = str_from(*rest, 1);
	*ret = str_cut(rest, AUDIT_SEPARATOR);
	if (rest->at) { /* the separator belongs to the one behind it */
		rest->at--;
		rest->len++;
	}
	return true;
}

/* The digest that stands at `at` of a state; empty when none does. */
static struct str digest_at(struct str state, size_t at)
{
	struct str rest = str_from(state, at);

	if (!str_starts(rest, opening) ||
		!str_starts(str_from(rest, opening.len + AUDIT_DIGEST_TEXT), closing))
		return str_of(NULL, 0);
	return str_of(rest.at + opening.len, AUDIT_DIGEST_TEXT);
}

static bool state_has(struct str state, struct str digest)
{
	ptrdiff_t at = str_find(state, digest);

	return at >= (ptrdiff_t)opening.len && digest_at(state, (size_t)at - opening.len).len;
}

static bool values_are_sound(const struct audit_row *row)
{
	struct str rest = row->personal, value;
	char digest[AUDIT_DIGEST_TEXT];
	int64_t count = 0;

	while (next_value(&rest, &value)) {
		struct str text = str_of(digest, sizeof(digest));

		audit_digest(row->personal_salt, value, digest);
		if (!state_has(row->state_before, text) && !state_has(row->state_after, text))
			return false;
		count++;
	}
	return rest.len == 0 && count == row->personal_count;
}

/* Whether any key that may have sealed the entry there has. */
static bool is_sealed(
	const struct uuid *tenant, const struct audit_row *row, const struct audit_eras *eras)
{
	int64_t sequence = row->sequence.set ? row->sequence.value : 0;
	char made[AUDIT_DIGEST_TEXT];

	for (size_t key = 0; key < audit_key_count(); key++) {
		if (!audit_key_may(eras, key, sequence))
			continue;
		audit_seal(key, tenant, row, made);
		if (crypto_equal(str_of(made, sizeof(made)), row->seal))
			return true;
	}
	return false;
}

unsigned audit_row_look(
	const struct uuid *tenant, const struct audit_row *row, const struct audit_eras *eras)
{
	char made[AUDIT_DIGEST_TEXT];
	struct str text = str_of(made, sizeof(made));
	unsigned look = is_sealed(tenant, row, eras) ? 0 : AUDIT_EDITED;

	if (row->address_digest.len && !row->address.len && !row->address_salt.len) {
		look |= AUDIT_NO_ADDRESS;
	} else if (row->address_digest.len || row->address.len) {
		audit_digest(row->address_salt, row->address, made);
		if (!str_eq(text, row->address_digest))
			look |= AUDIT_FORGED;
	}
	if (row->personal_count > 0 && !row->personal.len && !row->personal_salt.len)
		look |= AUDIT_NO_PERSONAL;
	else if (!values_are_sound(row))
		look |= AUDIT_FORGED;
	return look;
}

/* --- the chain -------------------------------------------------------------------------------- */

void audit_walk_from(struct audit_walk *walk, const struct uuid *tenant,
	const struct audit_mark *mark, const struct audit_eras *eras)
{
	*walk = (struct audit_walk){ .tenant = *tenant, .eras = eras, .begins = !mark };
	if (!mark)
		return;
	walk->sequence = mark->sequence;
	walk->lost = mark->chain.len != AUDIT_DIGEST_TEXT;
	if (!walk->lost)
		memcpy(walk->chain, mark->chain.at, AUDIT_DIGEST_TEXT);
}

static bool is_linked_by(const struct audit_walk *walk, size_t key,
	const char former[AUDIT_DIGEST_TEXT], const struct audit_row *row,
	char made[AUDIT_DIGEST_TEXT])
{
	char begin[AUDIT_DIGEST_TEXT];

	if (walk->begins) {
		audit_chain_begin(key, &walk->tenant, begin);
		former = begin;
	}
	audit_chain_next(
		key, str_of(former, AUDIT_DIGEST_TEXT), row->sequence.value, row->seal, made);
	return crypto_equal(str_of(made, AUDIT_DIGEST_TEXT), row->chain);
}

/* Whether the entry is chained to what is before it, first by the key of the last link; what its
 * chain should be by that one goes to `made`. */
static bool is_linked(struct audit_walk *walk, const char former[AUDIT_DIGEST_TEXT],
	const struct audit_row *row, char made[AUDIT_DIGEST_TEXT])
{
	char other[AUDIT_DIGEST_TEXT];
	bool may = audit_key_may(walk->eras, walk->key, row->sequence.value);

	if (!may)
		walk->key = 0;
	if (is_linked_by(walk, walk->key, former, row, made))
		return true;
	for (size_t key = 0; key < audit_key_count(); key++) {
		if (key == walk->key || !audit_key_may(walk->eras, key, row->sequence.value) ||
			!is_linked_by(walk, key, former, row, other))
			continue;
		memcpy(made, other, AUDIT_DIGEST_TEXT);
		walk->key = key;
		return true;
	}
	return false;
}

enum audit_step audit_walk_step(struct audit_walk *walk, const struct audit_row *row)
{
	char made[AUDIT_DIGEST_TEXT] = "";
	bool linked = walk->lost && !walk->doubtful;
	enum audit_step step = AUDIT_FOLLOWS;

	if (!linked && !walk->lost)
		linked = is_linked(walk, walk->chain, row, made);
	if (!linked && walk->doubtful)
		linked = is_linked(walk, walk->made, row, made);
	if (row->sequence.value != walk->sequence + 1)
		step = AUDIT_AFTER_GAP;
	else if (!linked)
		step = AUDIT_MISPLACED;

	walk->begins = false;
	walk->doubtful = step == AUDIT_MISPLACED;
	memcpy(walk->made, made, sizeof(made));
	walk->sequence = row->sequence.value;
	walk->lost = row->chain.len != AUDIT_DIGEST_TEXT;
	if (!walk->lost)
		memcpy(walk->chain, row->chain.at, AUDIT_DIGEST_TEXT);
	return step;
}

/* --- entries as they are told --------------------------------------------- */

/* The value of a digest; empty when it is not there any more. */
static struct str value_of(const struct audit_row *row, struct str digest)
{
	struct str rest = row->personal, value;
	char made[AUDIT_DIGEST_TEXT];

	while (next_value(&rest, &value)) {
		audit_digest(row->personal_salt, value, made);
		if (str_eq(str_of(made, sizeof(made)), digest))
			return value;
	}
	return str_of(NULL, 0);
}

/* Puts personal values in the place of their digests. */
static void fill_in(const struct audit_row *row, struct str state, struct buf *out)
{
	size_t done = 0, len = opening.len + AUDIT_DIGEST_TEXT + closing.len;
	ptrdiff_t found;

	while ((found = str_find(str_from(state, done), opening)) >= 0) {
		size_t at = done + (size_t)found;
		struct str digest = digest_at(state, at);
		struct str value = digest.len ? value_of(row, digest) : digest;
		size_t next = at + (value.len ? len : opening.len);

		buf_append(out, str_of(state.at + done, (value.len ? at : next) - done));
		buf_append(out, value);
		done = next;
	}
	buf_append(out, str_from(state, done));
}

/* Whether it is still what was written: JSON. */
static bool is_json(struct str text, struct arena *arena)
{
	struct arena_mark mark = arena_mark(arena);
	struct json_reader reader;
	int event;

	json_reader_init(&reader, text, arena, NULL);
	do
		event = json_next(&reader);
	while (event > JSON_END);
	arena_back(arena, mark);
	return event == JSON_END;
}

static int make_state(
	const struct audit_row *row, struct str state, struct arena *arena, struct json_value *ret)
{
	struct str text = state;
	struct buf filled;
	int r = 0;

	if (row->personal.len && state.len) {
		buf_init(&filled, AUDIT_STATE_INPUT);
		fill_in(row, state, &filled);
		r = filled.failed;
		if (r == 0)
			text = arena_str(arena, buf_str(&filled));
		if (r == 0 && !text.at)
			r = -(int)err_last()->code;
		buf_done(&filled);
	}
	if (r == 0 && text.len && !is_json(text, arena)) /* somebody was at the database */
		text = S("null");
	if (r == 0)
		ret->json = text;
	return r;
}

/* The end of the year 9999: later times have no text. */
#define TIME_LAST INT64_C(253402300799999999)

int audit_item_of(const struct audit_row *row, struct arena *arena, struct audit_item *ret)
{
	struct audit_item item = {
		.id = row->id,
		.sequence = row->sequence,
		.kind = row->kind,
		.user_id = row->user_id,
		.key_id = row->key_id,
		.session_id = row->session_id,
		.impersonator_id = row->impersonator_id,
		.address = row->address,
		.action = row->action,
		.target_type = row->target_type,
		.target_id = row->target_id,
		.security = row->security,
		.request_id = row->request_id,
		.trace_id = row->trace_id,
		.created_at = MIN(MAX(row->created_at, 0), TIME_LAST),
	};
	int r = make_state(row, row->state_before, arena, &item.before);

	if (r == 0)
		r = make_state(row, row->state_after, arena, &item.after);
	if (r == 0)
		*ret = item;
	return r;
}

/* --- queries -------------------------------------------------------------- */

/* Clocks of instances differ, and ids of one thread do not go back with its clock. */
#define CLOCKS_DIFFER INT64_C(60000000)

struct str audit_id_at(char at[UUID_TEXT_LEN], int64_t time_us)
{
	int64_t time = MAX(time_us, 0) / 1000;
	struct uuid id = { { 0 } };

	for (size_t i = 0; i < 6; i++)
		id.bytes[i] = (uint8_t)(time >> (40 - 8 * i));
	uuid_write(at, &id);
	return str_of(at, UUID_TEXT_LEN);
}

static int copy_id(struct arena *arena, int64_t time_us, struct str *ret)
{
	char text[UUID_TEXT_LEN];
	struct str copy = arena_str(arena, audit_id_at(text, time_us));

	if (!copy.at)
		return -(int)err_last()->code;
	*ret = copy;
	return 0;
}

/* All that begin with "user." are between "user." and "user/". */
static int split_action(struct arena *arena, struct audit_query *query)
{
	struct str action = query->action.value, from, to;

	if (!query->action.set || !str_ends(action, S(".*")))
		return 0;
	from = str_first(action, action.len - 1);
	to = arena_printf(arena, "%.*s/", STR_ARG(str_first(action, action.len - 2)));
	if (!to.at)
		return -(int)err_last()->code;
	query->action_from = (struct opt_str){ .set = true, .value = from };
	query->action_to = (struct opt_str){ .set = true, .value = to };
	query->action = (struct opt_str){ 0 };
	return 0;
}

int audit_query_ready(struct arena *arena, struct audit_query *query)
{
	int r = split_action(arena, query);

	query->first_id = str_from_c(UUID_FIRST);
	query->last_id = str_from_c(UUID_LAST);
	if (r == 0 && query->from.set)
		r = copy_id(arena, query->from.value - CLOCKS_DIFFER, &query->first_id);
	if (r == 0 && query->to.set)
		r = copy_id(arena, query->to.value + CLOCKS_DIFFER, &query->last_id);
	return r;
}
