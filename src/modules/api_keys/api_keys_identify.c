/*
 * Who asks, when it is a program: the hook in front of the one that knows people. A key may come as
 * "Authorization: Bearer KEY", as "Authorization: KEY" or as "X-API-Key: KEY". Two credentials that
 * differ are refused, since two readers of the request could each believe another one; a cookie
 * beside a key is not looked at, since browsers send it unasked.
 *
 * Whatever is wrong with a key, the caller hears the same; what it was stands in the log.
 */
#include "modules/api_keys/api_keys_internal.h"

#include "http/server.h"
#include "observe/clock.h"
#include "observe/log.h"

/* Who was there before, and whom everything but keys is for. */
static int (*former)(struct req *, struct caller *);

/* How often a caller gets into the audit log for what was refused. */
static struct limiter incidents;

/* --- where it is ------------------------------------------------------------------------------ */

static struct str without_scheme(struct str value)
{
	static const struct str scheme = S_INIT("Bearer ");

	if (value.len > scheme.len && str_eq_nocase(str_first(value, scheme.len), scheme))
		return str_trim(str_from(value, scheme.len));
	return value;
}

/* 1 with the text of a key, 0 when there is none, -ERR_UNAUTHORIZED for two credentials. */
static int find_text(const struct req *req, struct str *ret)
{
	struct str own = h1_value(&req->head, H1_X_API_KEY);
	struct str other = h1_value(&req->head, H1_AUTHORIZATION);
	struct str text = without_scheme(other);

	if (own.at && other.at && !str_eq(own, text))
		return fail(ERR_UNAUTHORIZED, "a request has one credential, not two");
	*ret = own.at ? own : text;
	return own.at || key_text_is(text);
}

/* --- whether it is good --------------------------------------------------- */

static int refuse(const char *why)
{
	(void)fail(ERR_UNAUTHORIZED, "%s", why);
	return err_wrap("this API key is not valid");
}

static bool secret_is(const struct known_key *known, const struct key_text *text, int64_t now_us)
{
	uint8_t hash[SHA256_LEN];
	struct str given = str_of((const char *)hash, sizeof(hash));
	bool is_current, is_previous;

	digest(DIGEST_SHA256, str_of((const char *)text->secret, sizeof(text->secret)), hash);
	is_current = crypto_equal(given, str_of((const char *)known->hash, SHA256_LEN));
	is_previous = crypto_equal(given, str_of((const char *)known->previous, SHA256_LEN));
	return is_current ||
	       (is_previous && known->has_previous && now_us < known->previous_until_us);
}

/* A key of a former rotation, or of the wrong kind, is as good as none. */
static int verify(const struct known_key *known, const struct key_text *text, int64_t now_us)
{
	if (!secret_is(known, text, now_us))
		return refuse("its secret is not, or no more, that of the key");
	if (known->kind != text->kind)
		return refuse("it is of the other kind");
	if (known->ends_us <= now_us)
		return refuse("it has expired or was revoked");
	return 0;
}

/* --- from where ----------------------------------------------------------- */

struct incident {
	struct audit_actor actor;
	struct str action, key;
};

static int tell_in_tx(struct tx *tx, void *arg)
{
	const struct incident *incident = arg;

	return tx_audit(tx, &incident->actor,
		&(struct audit_entry){ .action = incident->action,
			.type = S("api_key"),
			.id = incident->key,
			.security = true });
}

void tell_security(struct req *req, const struct uuid *tenant, const struct caller *caller,
	struct str action, struct str key)
{
	struct db db = db_of(req_server(req)->store, tenant, &req->arena);
	struct incident incident = { audit_actor_of(req), action, key };
	struct limit_verdict verdict;

	limiter_take(&incidents, caller->id, 1, clock_now_ns(), &verdict);
	if (!verdict.allowed)
		return;
	if (caller->owner.len) {
		incident.actor.kind = AUDIT_KEY;
		incident.actor.key = caller->id;
		incident.actor.user = caller->owner;
	}
	if (db_write(&db, tell_in_tx, &incident) < 0)
		log_warn("a security entry was not written", LOG_STR("action", action), LOG_ERR);
}

static int check_address(struct req *req, const struct known_key *known, const struct uuid *tenant,
	const struct caller *caller)
{
	if (networks_have(known->networks, known->network_count, &req->client))
		return 0;
	tell_security(req, tenant, caller, S("api_key.address_refused"), caller->id);
	return fail(
		ERR_FORBIDDEN, "this API key may not be used from %.*s", STR_ARG(req->client_text));
}

/* --- who it is ------------------------------------------------------------ */

/* What the key says it may, as far as its owner may do it now. */
static int set_rights(struct req *req, const struct known_key *known, const struct uuid *tenant,
	struct caller *caller)
{
	struct rights *rights = arena_new(&req->arena, struct rights);
	struct texts roles = { 0 };
	int r;

	if (!rights)
		return -(int)err_last()->code;
	r = rbac_rights(
		req_server(req)->store, tenant, &known->owner_id, &req->arena, rights, &roles);
	if (r < 0)
		return r;
	rights_intersect(rights, &known->scopes);
	caller->rights = rights;
	return 0;
}

static int make_caller(struct req *req, const struct known_key *known, const struct key_text *text,
	struct caller *ret)
{
	char *at = arena_alloc(&req->arena, (size_t)2 * UUID_TEXT_LEN);

	if (!at)
		return -(int)err_last()->code;
	uuid_write(at, &text->id);
	uuid_write(at + UUID_TEXT_LEN, &text->tenant);
	*ret = (struct caller){
		.kind = known->kind == API_KEY_SECRET ? CALLER_SECRET : CALLER_PUBLISHABLE,
		.id = str_of(at, UUID_TEXT_LEN),
		.tenant = str_of(at + UUID_TEXT_LEN, UUID_TEXT_LEN),
		.owner = str_of(known->owner, sizeof(known->owner)),
		.limits = { .own = known->has_limit ? &known->limit : NULL },
	};
	return 0;
}

static int identify_key(struct req *req, const struct key_text *text, struct caller *ret)
{
	struct store *store = req_server(req)->store;
	int64_t now_us = clock_wall_us();
	const struct known_key *known;
	struct caller caller = { 0 };
	int r = known_find(store, &text->tenant, &text->id, &req->arena, &known);

	if (r == -ERR_NOT_FOUND)
		return refuse("there is no such key");
	if (r == 0)
		r = verify(known, text, now_us);
	if (r == 0)
		r = make_caller(req, known, text, &caller);
	if (r == 0)
		r = check_address(req, known, &text->tenant, &caller);
	if (r == 0)
		r = set_rights(req, known, &text->tenant, &caller);
	if (r < 0)
		return r;

	use_note(&text->tenant, &text->id, now_us, &req->client);
	*ret = caller;
	return 0;
}

/* A mistyped one is refused before anybody is asked. */
static int identify(struct req *req, struct caller *ret)
{
	struct str text = { 0 };
	struct key_text key;
	int r = find_text(req, &text);

	if (r < 0)
		return r;
	if (r == 0)
		return former ? former(req, ret) : 0;
	if (!key_text_read(text, &key))
		return refuse("it is mistyped or cut off");
	r = identify_key(req, &key, ret);
	crypto_wipe(&key, sizeof(key));
	return r;
}

/* --- open and close ------------------------------------------------------- */

int identify_open(struct server *server)
{
	static const struct limiter_options options = {
		.name = S_INIT("api-key-incidents"),
		.algorithm = LIMITER_TOKEN_BUCKET,
		.limit = { .quota = 1, .window_ns = MINUTE },
		.slots = 1024,
	};
	int r = limiter_init(&incidents, &options);

	if (r < 0)
		return r;
	former = server->hooks.identify;
	server->hooks.identify = identify;
	return 0;
}

void identify_close(struct server *server)
{
	server->hooks.identify = former;
	former = NULL;
	limiter_done(&incidents);
}
