/*
 * What a key may be. Pure but for the table of rights: no rows, no time.
 *
 * Keys are compared by what they allow, so that a key with the right keys:write cannot make one
 * that allows more than itself: in rights, in time, in places and in pace.
 */
#include "modules/api_keys/api_keys_internal.h"

#include "base/num.h"
#include "schema/problem.h"

#include <stdio.h>

/* --- scopes ---------------------------------------------------------------------------- */

/* What no publishable key may hold, since anybody who opens a page can read it. All else of it is
 * to read, and named in full. */
static const struct str never_publishable[] = { S_INIT("account"), S_INIT("api-keys"),
	S_INIT("audit"), S_INIT("billing"), S_INIT("invitations"), S_INIT("jobs"), S_INIT("keys"),
	S_INIT("mails"), S_INIT("platform"), S_INIT("roles"), S_INIT("secrets"), S_INIT("sessions"),
	S_INIT("tenant"), S_INIT("tenants"), S_INIT("users"), S_INIT("webhooks") };

bool scope_is_publishable(struct str scope)
{
	struct str rest = scope, resource = str_cut(&rest, ':');

	if (str_eq(resource, S("*")))
		return false;
	for (size_t i = 0; i < LEN(never_publishable); i++)
		if (str_eq(resource, never_publishable[i]))
			return false;
	return str_eq(rest, S("read"));
}

static int check_scope(enum api_key_kind kind, struct str scope, const char *field)
{
	struct rights rights = { 0 };

	if (kind == API_KEY_PUBLISHABLE && !scope_is_publishable(scope))
		return fail_field(ERR_INVALID, field, "not_publishable",
			"is not for a publishable key, which everybody may see");
	if (rights_add(&rights, scope) < 0)
		return fail_field(ERR_INVALID, field, "unknown_right", "names no right there is");
	return 0;
}

int scopes_check(enum api_key_kind kind, const struct key_texts *scopes)
{
	int r = 0;

	for (size_t i = 0; i < scopes->count && r == 0; i++) {
		char field[ERR_FIELD_MAX];

		(void)snprintf(field, sizeof(field), "scopes.%zu", i);
		r = check_scope(kind, scopes->at[i], field);
	}
	return r;
}

void scopes_rights(enum api_key_kind kind, const struct key_texts *scopes, struct rights *ret)
{
	*ret = (struct rights){ 0 };
	for (size_t i = 0; i < scopes->count; i++)
		if (kind == API_KEY_SECRET || scope_is_publishable(scopes->at[i]))
			(void)rights_add(ret, scopes->at[i]);
}

/* --- addresses --------------------------------------------------------------------------- */

int networks_check(const struct key_texts *networks)
{
	for (size_t i = 0; i < networks->count; i++) {
		struct network network;
		char field[ERR_FIELD_MAX];

		if (network_parse(networks->at[i], &network) == 0)
			continue;
		(void)snprintf(field, sizeof(field), "allowedAddresses.%zu", i);
		return fail_field(ERR_INVALID, field, PROBLEM_INVALID_CIDR,
			"must be an address or a network such as 10.0.0.0/8");
	}
	return 0;
}

bool networks_have(const struct network *networks, size_t count, const struct address *address)
{
	for (size_t i = 0; i < count; i++)
		if (network_has(&networks[i], address))
			return true;
	return count == 0;
}

/* --- time ----------------------------------------------------------------------------------- */

int overlap_read(struct str text, int64_t *ret_us)
{
	uint64_t ns;

	if (!num_parse_duration(text, &ns))
		return fail_field(ERR_INVALID, "overlap", PROBLEM_INVALID_DURATION,
			"must be a duration such as 24h");
	if (ns > API_KEY_OVERLAP_DAYS * 24 * HOUR)
		return fail_field(ERR_INVALID, "overlap", PROBLEM_TOO_LARGE,
			"must be at most %d days", API_KEY_OVERLAP_DAYS);
	*ret_us = (int64_t)(ns / MICROSECOND);
	return 0;
}

static int64_t end_of(const struct opt_i64 *time)
{
	return time->set && !time->null ? time->value : INT64_MAX;
}

bool key_has_ended(const struct api_key *key, int64_t now_us)
{
	return end_of(&key->revoked_at) <= now_us || end_of(&key->expires_at) <= now_us;
}

void key_set_end(struct api_key *key)
{
	int64_t end = MIN(end_of(&key->revoked_at), end_of(&key->expires_at));

	key->ends_at = end == INT64_MAX ? (struct opt_i64){ 0 }
					: (struct opt_i64){ .set = true, .value = end };
}

/* --- changes ---------------------------------------------------------------------------------- */

static bool texts_eq(const struct key_texts *a, const struct key_texts *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; i < a->count && same; i++)
		same = str_eq(a->at[i], b->at[i]);
	return same;
}

static bool merge_texts(struct key_texts *to, const struct key_texts *from)
{
	bool differs = from->count > 0 && !texts_eq(to, from);

	if (differs)
		*to = *from;
	return differs;
}

static bool merge_number(struct opt_i64 *to, const struct opt_i64 *from)
{
	bool had = to->set && !to->null, gets = from->set && !from->null;

	if (!from->set || (had == gets && (!had || to->value == from->value)))
		return false;
	*to = gets ? *from : (struct opt_i64){ 0 };
	return true;
}

bool key_merge(struct api_key *key, const struct api_key_patch *patch)
{
	bool differs = patch->name.set && !str_eq(key->name, patch->name.value);

	if (differs)
		key->name = patch->name.value;
	differs |= merge_texts(&key->scopes, &patch->scopes);
	differs |= merge_texts(&key->allowed_addresses, &patch->allowed_addresses);
	differs |= merge_number(&key->requests_per_minute, &patch->requests_per_minute);
	differs |= merge_number(&key->expires_at, &patch->expires_at);
	key_set_end(key);
	return differs;
}

/* --- no more than who asks ------------------------------------------------ */

/* Whether all addresses of the text's network are in one of the others. */
static bool network_is_within(struct str text, const struct key_texts *outer)
{
	struct network inner, network;

	if (network_parse(text, &inner) < 0)
		return false;
	for (size_t i = 0; i < outer->count; i++)
		if (network_parse(outer->at[i], &network) == 0 && network.prefix <= inner.prefix &&
			network_has(&network, &inner.address))
			return true;
	return false;
}

static int check_places(const struct key_texts *inner, const struct key_texts *outer)
{
	bool within = inner->count > 0 || outer->count == 0;

	for (size_t i = 0; i < inner->count && within && outer->count > 0; i++)
		within = network_is_within(inner->at[i], outer);
	return within ? 0
		      : fail_field(ERR_FORBIDDEN, "allowedAddresses", "escalation",
				"must lie within those of the key that asks");
}

int key_is_within(
	const struct api_key *key, const struct rights *rights, const struct api_key *with)
{
	struct rights asked;

	scopes_rights(key->kind, &key->scopes, &asked);
	if (!rights_within(&asked, rights))
		return fail_field(
			ERR_FORBIDDEN, "scopes", "escalation", "are more than who asks may do");
	if (!with)
		return 0;
	if (end_of(&key->expires_at) > end_of(&with->expires_at))
		return fail_field(ERR_FORBIDDEN, "expiresAt", "escalation",
			"must not be later than that of the key that asks");
	if (end_of(&key->requests_per_minute) > end_of(&with->requests_per_minute))
		return fail_field(ERR_FORBIDDEN, "requestsPerMinute", "escalation",
			"must not be more than that of the key that asks");
	return check_places(&key->allowed_addresses, &with->allowed_addresses);
}
