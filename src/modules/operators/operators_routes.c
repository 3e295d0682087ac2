/* The contract, what commands call, and the module. */
#include "modules/operators/operators_internal.h"

#include "base/embed.h"
#include "base/err.h"
#include "base/mem.h"
#include "http/server.h"
#include "modules/rbac/rbac.h"

EMBED_TEXT(operators_sql, "src/modules/operators/operators.sql");

/* --- options --------------------------------------------------------------------------------- */

enum { PUBLIC_URL_MAX = 2048, PRODUCT_MAX = 200 };

static char url_text[PUBLIC_URL_MAX] = "http://localhost", product_text[PRODUCT_MAX] = "Bulkhead";
static struct operators_options in_force = { S_INIT("http://localhost"), S_INIT("Bulkhead") };

int operators_configure(const struct operators_options *options)
{
	if (options->public_url.len > sizeof(url_text) ||
		options->product.len > sizeof(product_text))
		return fail(ERR_INVALID, "the address or the product's name is too long");
	memcpy(url_text, options->public_url.at, options->public_url.len);
	memcpy(product_text, options->product.at, options->product.len);
	in_force = (struct operators_options){ str_of(url_text, options->public_url.len),
		str_of(product_text, options->product.len) };
	return 0;
}

const struct operators_options *operators_options(void)
{
	return &in_force;
}

/* --- commands -------------------------------------------------------------------------------- */

struct command {
	const struct operator_account *account;
	struct str hash;
	struct user *user;
	struct setup_new link;
};

/* A link where there is no password. */
static int link_in_tx(struct tx *tx, struct command *command)
{
	struct uuid id;

	if (command->hash.len)
		return 0;
	CHECK(uuid_parse(command->user->id, &id));
	command->link.user = &id;
	return setup_make_in_tx(tx, &command->link);
}

static int create_in_tx(struct tx *tx, void *arg)
{
	struct command *command = arg;
	struct audit_actor actor = { .kind = AUDIT_PROGRAM };
	int r = operator_make_in_tx(tx, &actor, command->account, command->hash, command->user);

	return r < 0 ? r : link_in_tx(tx, command);
}

static int reset_in_tx(struct tx *tx, void *arg)
{
	struct command *command = arg;
	struct audit_actor actor = { .kind = AUDIT_PROGRAM };
	struct uuid id;
	int r = user_by_email_in_tx(tx, command->account->email, command->user);

	if (r == -ERR_NOT_FOUND)
		return fail(ERR_NOT_FOUND, "there is no operator with this address");
	if (r < 0)
		return r;
	CHECK(uuid_parse(command->user->id, &id));
	r = command->hash.len ? auth_set_password_in_tx(tx, &id, command->hash, &actor)
			      : auth_shut_out_in_tx(tx, &id, &actor);
	return r < 0 ? r : link_in_tx(tx, command);
}

static int run(struct store *store, struct arena *arena, int (*fn)(struct tx *, void *),
	struct command *command, struct str *ret_url)
{
	struct db db = db_of(store, &tenant_system, arena);
	const struct operator_account *account = command->account;
	int r = 0;

	if (account->password.len)
		r = auth_password_hash(
			account->password, account->email, account->name, arena, &command->hash);
	if (r == 0)
		r = db_write(&db, fn, command);
	*ret_url = str_of(NULL, 0);
	return r < 0 || account->password.len ? r : setup_url(&command->link, arena, ret_url);
}

int operator_create(struct store *store, struct arena *arena,
	const struct operator_account *account, struct user *ret, struct str *ret_url)
{
	return run(store, arena, create_in_tx, &(struct command){ .account = account, .user = ret },
		ret_url);
}

int operator_reset(struct store *store, struct arena *arena, const struct operator_account *account,
	struct user *ret, struct str *ret_url)
{
	return run(store, arena, reset_in_tx, &(struct command){ .account = account, .user = ret },
		ret_url);
}

/* --- the contract --------------------------------------------------------- */

#define IMPERSONATE_FAILS                                                                          \
	ROUTE_FAILS(INVALID) | ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(CONFLICT) |                    \
		ROUTE_FAILS(FORBIDDEN)

HANDLER(impersonate, impersonate, impersonated, IMPERSONATE_FAILS)
HANDLER(impersonation_token, impersonation_ref, impersonation_access, IMPERSONATE_FAILS)
HANDLER(impersonation_end, impersonation_ref, nothing, ROUTE_FAILS(NOT_FOUND))
HANDLER(impersonation_list, impersonation_query, impersonation_page, 0)

#define PLATFORM(text, handler_)                                                                   \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = "platform:impersonate"

/* clang-format off */
static const struct route routes[] = {
	{ HTTP_POST, "/api/v1/platform/impersonate", PLATFORM("Act as a user for a while", impersonate_handler),
		.in = &impersonate_schema, .out = &impersonated_schema, .status = 201,
		.may_fail = IMPERSONATE_FAILS },
	{ HTTP_GET, "/api/v1/platform/impersonations",
		PLATFORM("List who acts or acted as whom", impersonation_list_handler),
		.in = &impersonation_query_schema, .out = &impersonation_page_schema },
	{ HTTP_POST, "/api/v1/platform/impersonate/{id}/token",
		PLATFORM("Get another access token", impersonation_token_handler),
		.in = &impersonation_ref_schema, .out = &impersonation_access_schema, .status = 201,
		.may_fail = IMPERSONATE_FAILS },
	{ HTTP_DELETE, "/api/v1/platform/impersonate/{id}",
		PLATFORM("Stop acting as a user", impersonation_end_handler),
		.in = &impersonation_ref_schema, .may_fail = ROUTE_FAILS(NOT_FOUND) },

	{ HTTP_GET, "/setup", "Page behind a set-up link", setup_show, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC, .may_fail = ROUTE_FAILS(NOT_FOUND) },
	{ HTTP_POST, "/setup", "Use a set-up link", setup_do, ROUTE_PUBLIC, .need = RIGHT_PUBLIC,
		.limit = ROUTE_LIMIT_AUTH, .body_max = 16 * KILOBYTE,
		.may_fail = ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(INVALID) | ROUTE_FAILS(MEDIA_TYPE) },
};
/* clang-format on */

/* --- the module ----------------------------------------------------------- */

/* Who was asked before. */
static int (*authorize_others)(struct req *, struct str right);

static int authorize(struct req *req, struct str right)
{
	if (req->caller.impersonator.len && !impersonator_may(req->entry->route))
		return fail(ERR_FORBIDDEN, "this cannot be done while acting as somebody else");
	return authorize_others ? authorize_others(req, right)
				: fail(ERR_FORBIDDEN, "nobody has a right");
}

static int open_module(struct server *server)
{
	authorize_others = server->hooks.authorize;
	server->hooks.authorize = authorize;
	return 0;
}

static void close_module(struct server *server)
{
	server->hooks.authorize = authorize_others;
}

/* --- chores --------------------------------------------------------------- */

static int clean_in_tx(struct tx *tx, void *arg)
{
	int r = setup_clean_in_tx(tx, arg);

	return r < 0 ? r : impersonations_clean_in_tx(tx, arg);
}

/* A link when there was no operator yet; 1 then. */
static int first_link_in_tx(struct tx *tx, void *arg)
{
	int r = operator_known_in_tx(tx);

	if (r != 0)
		return MIN(r, 0);
	return setup_make_in_tx(tx, arg);
}

/* At each start, and before the last one is too old: a link for the first operator. */
static int offer_setup(struct db *db)
{
	struct setup_new link = { 0 };
	struct str url;
	int r = db_write(db, first_link_in_tx, &link);

	if (r < 0 || !link.text[0])
		return r;
	r = setup_url(&link, db->arena, &url);
	if (r == 0)
		log_warn("there is no operator yet: open this page to become the first one",
			LOG_STR("setup", url));
	return r;
}

static int keep_house(struct server *server)
{
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	db = db_of(server->store, &tenant_system, &arena);
	r = db_write(&db, clean_in_tx, NULL);
	if (r == 0)
		r = offer_setup(&db);
	arena_done(&arena);
	return r;
}

static const struct chore chores[] = {
	{ "operators", OPERATOR_LINK_LIFE / 2, keep_house },
};

const struct module operators_module = {
	MODULE_HEAD,
	.name = "operators",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = operators_sql,
	.statements = operator_statements,
	.statement_count = OPERATOR_STATEMENTS,
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
};
