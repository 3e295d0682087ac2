/* Sign-in: routes, and what the module opens and tends for it. */
#include "modules/auth/auth_signin.h"

#include "http/server.h"
#include "rest/db.h"
#include "rest/page.h"
#include "rest/write.h"

/* --- mails that are asked for --------------------------------------------------------------- */

/* A tenant that is none is an errand for nobody, and takes as long. */
static int ask(struct req *req, const struct address_in *in, enum errand_kind kind)
{
	struct errand errand = { .kind = kind, .email = in->email };
	struct tenant tenant = { .tenant_id = S(UUID_FIRST) };

	if (in->tenant.set) {
		int r = served_tenant(req, in->tenant.value, &tenant);

		if (r < 0)
			return r;
		errand.tenant_id = (struct opt_str){ .set = true,
			.value = r ? tenant.tenant_id : S(UUID_FIRST) };
	}
	return errand_put(req, &errand);
}

static int forgot_password(struct req *req, const struct address_in *in, struct nothing *out)
{
	(void)out;
	return ask(req, in, ERRAND_RESET);
}

static int resend_verification(struct req *req, const struct address_in *in, struct nothing *out)
{
	(void)out;
	return ask(req, in, ERRAND_VERIFY);
}

static int find_tenants(struct req *req, const struct email_in *in, struct nothing *out)
{
	(void)out;
	return ask(req, &(struct address_in){ .email = in->email }, ERRAND_TENANTS);
}

/* --- the policy ------------------------------------------------------------------------------ */

static int read_policy(struct tx *tx, void *arg)
{
	return policy_get_in_tx(tx, arg);
}

static int policy_show(struct req *req, const struct nothing *in, struct auth_policy *out)
{
	struct db db = req_db(req);

	(void)in;
	return db_read(&db, read_policy, out);
}

static int policy_update(
	struct req *req, const struct auth_policy_patch *in, struct auth_policy *out)
{
	struct audit_actor actor = audit_actor_of(req);
	struct policy_change change = { req, &actor, in, out };

	return req_write(req, policy_change_in_tx, &change);
}

/* --- the contract --------------------------------------------------------- */

#define PASSWORD_FAILS ROUTE_FAILS(INVALID) | ROUTE_FAILS(TOO_MANY) | ROUTE_FAILS(FULL)
#define LOGIN_FAILS                                                                                \
	ROUTE_FAILS(UNAUTHORIZED) | ROUTE_FAILS(FORBIDDEN) | ROUTE_FAILS(TOO_MANY) |               \
		ROUTE_FAILS(FULL)
#define REGISTER_FAILS                                                                             \
	ROUTE_FAILS(INVALID) | ROUTE_FAILS(FORBIDDEN) | ROUTE_FAILS(NOT_FOUND) |                   \
		ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(FULL)
#define LINK_FAILS    ROUTE_FAILS(INVALID)
#define RESET_FAILS   LINK_FAILS | ROUTE_FAILS(FULL)
#define CONFIRM_FAILS LINK_FAILS | ROUTE_FAILS(CONFLICT)
#define CALLER_FAILS  PASSWORD_FAILS | ROUTE_FAILS(FORBIDDEN) | ROUTE_FAILS(NOT_FOUND)
#define LEAVE_FAILS   CALLER_FAILS | ROUTE_FAILS(CONFLICT)
#define IMPORT_FAILS  ROUTE_FAILS(INVALID) | ROUTE_FAILS(FORBIDDEN) | ROUTE_FAILS(CONFLICT)

HANDLER(auth_login, login_in, signed_in, LOGIN_FAILS)
HANDLER(auth_register, register_in, signed_in, REGISTER_FAILS)
HANDLER(auth_verify_email, token_in, nothing, LINK_FAILS)
HANDLER(auth_confirm_email, token_in, nothing, CONFIRM_FAILS)
HANDLER(auth_unlock, token_in, nothing, LINK_FAILS)
HANDLER(auth_reset_password, reset_in, nothing, RESET_FAILS)
HANDLER(auth_change_password, change_password_in, nothing, CALLER_FAILS)
HANDLER(auth_change_email, change_email_in, nothing, CALLER_FAILS)
HANDLER(auth_leave, leave_in, nothing, LEAVE_FAILS)
HANDLER(auth_import, import_in, imported, IMPORT_FAILS)
HANDLER(forgot_password, address_in, nothing, 0)
HANDLER(resend_verification, address_in, nothing, 0)
HANDLER(find_tenants, email_in, nothing, 0)
HANDLER(policy_show, nothing, auth_policy, 0)
HANDLER(policy_update, auth_policy_patch, auth_policy, ROUTE_FAILS(INVALID))

#define FOR_ALL(text, handler_)                                                                    \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = RIGHT_PUBLIC,                 \
	      .limit = ROUTE_LIMIT_AUTH
#define FOR(text, handler_, right)                                                                 \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = right

/* clang-format off */
const struct route auth_signin_routes[AUTH_SIGNIN_ROUTES] = {
	{ HTTP_POST, "/api/v1/auth/register", FOR_ALL("Make an account", auth_register_handler),
		.in = &register_in_schema, .out = &signed_in_schema, .status = 201, .may_fail = REGISTER_FAILS },
	{ HTTP_POST, "/api/v1/auth/login", FOR_ALL("Sign in", auth_login_handler),
		.in = &login_in_schema, .out = &signed_in_schema, .may_fail = LOGIN_FAILS },
	{ HTTP_POST, "/api/v1/auth/find-tenants", FOR_ALL("Mail the list of tenants of an address", find_tenants_handler),
		.in = &email_in_schema, .status = 202 },
	{ HTTP_POST, "/api/v1/auth/verify-email", FOR_ALL("Prove an address by a mailed link", auth_verify_email_handler),
		.in = &token_in_schema, .may_fail = LINK_FAILS },
	{ HTTP_POST, "/api/v1/auth/verify-email/resend", FOR_ALL("Mail the link again", resend_verification_handler),
		.in = &address_in_schema, .status = 202 },
	{ HTTP_POST, "/api/v1/auth/confirm-email", FOR_ALL("Prove a new address by a mailed link", auth_confirm_email_handler),
		.in = &token_in_schema, .may_fail = CONFIRM_FAILS },
	{ HTTP_POST, "/api/v1/auth/forgot-password", FOR_ALL("Mail a link to a new password", forgot_password_handler),
		.in = &address_in_schema, .status = 202 },
	{ HTTP_POST, "/api/v1/auth/reset-password", FOR_ALL("Set a new password by a mailed link", auth_reset_password_handler),
		.in = &reset_in_schema, .may_fail = RESET_FAILS },
	{ HTTP_POST, "/api/v1/auth/unlock", FOR_ALL("End a lock by a mailed link", auth_unlock_handler),
		.in = &token_in_schema, .may_fail = LINK_FAILS },

	{ HTTP_POST, "/api/v1/auth/change-password", FOR("Change one's password", auth_change_password_handler, "account:self"),
		.in = &change_password_in_schema, .may_fail = CALLER_FAILS },
	{ HTTP_POST, "/api/v1/auth/change-email", FOR("Change one's address", auth_change_email_handler, "account:self"),
		.in = &change_email_in_schema, .status = 202, .may_fail = CALLER_FAILS },
	{ HTTP_DELETE, "/api/v1/me", FOR("Delete one's account", auth_leave_handler, "account:self"),
		.in = &leave_in_schema, .may_fail = LEAVE_FAILS },

	{ HTTP_GET, "/api/v1/auth/policy", FOR("Show who may register", policy_show_handler, "tenant:read"),
		.out = &auth_policy_schema, .versioned = true },
	{ HTTP_PATCH, "/api/v1/auth/policy", FOR("Say who may register", policy_update_handler, "tenant:write"),
		.in = &auth_policy_patch_schema, .out = &auth_policy_schema, .versioned = true,
		.may_fail = ROUTE_FAILS(INVALID) },

	{ HTTP_POST, "/api/v1/users/import", FOR("Make users with their password hashes", auth_import_handler, "users:write"),
		.in = &import_in_schema, .out = &imported_schema, .status = 201, .idempotent = true,
		.body_max = 2 * MEGABYTE, .may_fail = IMPORT_FAILS },
};
/* clang-format on */

/* --- statements ----------------------------------------------------------- */

void auth_signin_statements(const struct statement **at)
{
	static const struct {
		const struct statement *const *at;
		size_t count;
	} parts[] = {
		{ attempt_statements, ATTEMPT_STATEMENTS },
		{ link_statements, LINK_STATEMENTS },
		{ errand_statements, ERRAND_STATEMENTS },
		{ password_statements, PASSWORD_STATEMENTS },
		{ policy_statements, POLICY_STATEMENTS },
	};

	for (size_t i = 0; i < LEN(parts); i++) {
		memcpy(at, parts[i].at, parts[i].count * sizeof(*at));
		at += parts[i].count;
	}
}

/* --- open and close ------------------------------------------------------- */

static int user_suspended(struct tx *tx, const struct uuid *user)
{
	return links_drop_in_tx(tx, user, LINK_KINDS);
}

static int user_deleted(struct tx *tx, const struct uuid *user)
{
	return password_remove_in_tx(tx, user);
}

static struct user_watcher watcher = { .suspended = user_suspended, .deleted = user_deleted };

int auth_signin_open(struct server *server)
{
	const struct auth_options *options = auth_options();
	struct password_pool_options pool = {
		.cost = options->cost,
		.memory = options->password_memory,
		.breached_file = options->breached_file,
		.min = options->password_min,
	};
	int r = passwords_open(&pool);

	if (r < 0)
		return r;
	attempts_open(server);
	users_watch(&watcher);
	return 0;
}

void auth_signin_close(void)
{
	passwords_close();
}

/* --- chores --------------------------------------------------------------- */

int signin_errands(struct server *server)
{
	return errands_run(server->store, NULL);
}

int signin_sweep(struct server *server)
{
	int r = attempts_sweep(server->store);

	return r < 0 ? r : links_sweep(server->store);
}
