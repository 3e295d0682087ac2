/*
 * Refresh tokens: made, read and judged, without rows. doc/decisions/011-refresh-tokens.md.
 *
 * The secret of a token is a one-way function of its parent's, so that the same parent gives the
 * same child however often it is asked. A token also carries a proof, an HMAC over its session,
 * generation and secret: what has a good proof was made here, for that session, as that generation.
 * So an ancestor is known by its number and not by deriving all that came behind it, and whatever
 * was made up is refused before anybody looks for a row.
 */
#include "modules/auth/auth_session.h"

#include "crypto/base64.h"
#include "crypto/digest.h"
#include "crypto/random.h"

enum { PROOF_LEN = 16 };

/* A token as bytes. */
struct wire {
	uint8_t tenant[16], session[16], generation[4];
	uint8_t secret[REFRESH_SECRET_LEN];
	uint8_t proof[PROOF_LEN];
};

_Static_assert(sizeof(struct wire) == REFRESH_BYTES, "the bytes of a token have no holes");

static const struct str prefix = S_INIT("bh_rt_");

static struct str bytes_of(const void *at, size_t len)
{
	return str_of(at, len);
}

void refresh_keys_make(struct refresh_keys *ret, const struct master_key *master,
	const struct refresh_keys *former)
{
	ret->former = former;
	master_key_derive(master, S("auth/refresh/next"), ret->next);
	master_key_derive(master, S("auth/refresh/jump"), ret->jump);
	master_key_derive(master, S("auth/refresh/proof"), ret->proof);
	master_key_derive(master, S("auth/csrf"), ret->csrf);
}

/* --- the family --------------------------------------------------------------------------- */

void refresh_begin(const struct uuid *tenant, const struct uuid *session, struct refresh_token *ret)
{
	*ret = (struct refresh_token){ .tenant = *tenant, .session = *session };
	random_bytes(ret->secret, sizeof(ret->secret));
}

void refresh_next(const struct refresh_keys *keys, const struct refresh_token *token,
	struct refresh_token *ret)
{
	struct refresh_token next = *token;

	next.generation++;
	hmac(DIGEST_SHA256, bytes_of(keys->next, sizeof(keys->next)),
		bytes_of(token->secret, sizeof(token->secret)), next.secret);
	*ret = next;
}

void refresh_jump(const struct refresh_keys *keys, const struct refresh_token *from,
	const struct uuid *tenant, const struct uuid *session, uint32_t generation,
	struct refresh_token *ret)
{
	struct refresh_token to = {
		.tenant = *tenant, .session = *session, .generation = generation + 1
	};
	const uint8_t number[4] = { (uint8_t)(generation >> 24), (uint8_t)(generation >> 16),
		(uint8_t)(generation >> 8), (uint8_t)generation };
	const struct str parts[] = { bytes_of(from->secret, sizeof(from->secret)),
		bytes_of(session->bytes, sizeof(session->bytes)),
		bytes_of(number, sizeof(number)) };

	hmac_parts(DIGEST_SHA256, bytes_of(keys->jump, sizeof(keys->jump)), parts, LEN(parts),
		to.secret);
	*ret = to;
}

/* --- as text --------------------------------------------------------------------------------- */

static void prove(const struct refresh_keys *keys, const struct wire *wire, uint8_t ret[SHA256_LEN])
{
	hmac(DIGEST_SHA256, bytes_of(keys->proof, sizeof(keys->proof)),
		bytes_of(wire, offsetof(struct wire, proof)), ret);
}

void refresh_write(
	const struct refresh_keys *keys, const struct refresh_token *token, char at[REFRESH_LEN])
{
	struct wire wire;
	uint8_t proof[SHA256_LEN];

	memcpy(wire.tenant, token->tenant.bytes, sizeof(wire.tenant));
	memcpy(wire.session, token->session.bytes, sizeof(wire.session));
	memcpy(wire.secret, token->secret, sizeof(wire.secret));
	for (size_t i = 0; i < sizeof(wire.generation); i++)
		wire.generation[i] = (uint8_t)(token->generation >> (24 - 8 * i));
	prove(keys, &wire, proof);
	memcpy(wire.proof, proof, sizeof(wire.proof));
	opaque_write(at, prefix, bytes_of(&wire, sizeof(wire)));
	crypto_wipe(&wire, sizeof(wire));
}

static bool is_proved(const struct refresh_keys *keys, const struct wire *wire)
{
	uint8_t proof[SHA256_LEN];
	bool good = false;

	for (; keys && !good; keys = keys->former) {
		prove(keys, wire, proof);
		good = crypto_equal(bytes_of(proof, PROOF_LEN), bytes_of(wire->proof, PROOF_LEN));
	}
	return good;
}

bool refresh_read(const struct refresh_keys *keys, struct str text, struct refresh_token *ret)
{
	struct wire wire;

	if (!opaque_read(text, prefix, &wire, sizeof(wire)) || !is_proved(keys, &wire))
		return false;

	memcpy(ret->tenant.bytes, wire.tenant, sizeof(wire.tenant));
	memcpy(ret->session.bytes, wire.session, sizeof(wire.session));
	memcpy(ret->secret, wire.secret, sizeof(wire.secret));
	ret->generation = 0;
	for (size_t i = 0; i < sizeof(wire.generation); i++)
		ret->generation = ret->generation << 8 | wire.generation[i];
	crypto_wipe(&wire, sizeof(wire));
	return true;
}

void refresh_hash(const struct refresh_token *token, char at[REFRESH_HASH_LEN])
{
	opaque_hash(at, bytes_of(token->secret, sizeof(token->secret)));
}

/* --- judging -------------------------------------------------------------- */

static bool is_kept(const struct refresh_token *token, const struct refresh_state *state)
{
	char hash[REFRESH_HASH_LEN];

	refresh_hash(token, hash);
	return crypto_equal(str_of(hash, sizeof(hash)), state->token_hash);
}

/* The parent of the newest. When another session of the bundle was switched to it meanwhile, the
 * newest is not its child: within the grace that is no theft, either, but it gets nothing. */
static enum refresh_verdict judge_parent(const struct refresh_keys *keys,
	const struct refresh_token *token, const struct refresh_state *state, int64_t now_us,
	struct refresh_token *ret_next)
{
	if (now_us - state->rotated_at >= (int64_t)(REFRESH_GRACE / MICROSECOND))
		return REFRESH_REUSED;
	for (; keys; keys = keys->former) {
		struct refresh_token next;

		refresh_next(keys, token, &next);
		if (!is_kept(&next, state))
			continue;
		*ret_next = next;
		return REFRESH_PARENT;
	}
	return REFRESH_REFUSED;
}

enum refresh_verdict refresh_judge(const struct refresh_keys *keys,
	const struct refresh_token *token, const struct refresh_state *state, int64_t now_us,
	struct refresh_token *ret_next)
{
	int64_t behind = state->generation - (int64_t)token->generation;

	if (state->revoked || state->expires_at <= now_us || behind < 0)
		return REFRESH_REFUSED;
	if (behind == 0)
		return is_kept(token, state) ? REFRESH_NEWEST : REFRESH_REFUSED;
	if (behind == 1)
		return judge_parent(keys, token, state, now_us, ret_next);
	return REFRESH_REUSED;
}

/* --- CSRF ----------------------------------------------------------------- */

void csrf_write(const struct refresh_keys *keys, const struct uuid *session, char at[CSRF_LEN])
{
	uint8_t mac[SHA256_LEN];

	hmac(DIGEST_SHA256, bytes_of(keys->csrf, sizeof(keys->csrf)),
		bytes_of(session->bytes, sizeof(session->bytes)), mac);
	(void)base64_write(BASE64_URL, at, bytes_of(mac, sizeof(mac)));
}

bool csrf_is(const struct refresh_keys *keys, const struct uuid *session, struct str text)
{
	char wanted[CSRF_LEN];
	bool good = false;

	for (; keys && !good; keys = keys->former) {
		csrf_write(keys, session, wanted);
		good = crypto_equal(text, str_of(wanted, sizeof(wanted)));
	}
	return good;
}
