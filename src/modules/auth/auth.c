/* The module: its options, what its two halves bring, opening and closing. */
#include "modules/auth/auth_internal.h"

#include "base/embed.h"
#include "base/mem.h"
#include "http/server.h"
#include "modules/auth/auth_keys.h"
#include "modules/auth/auth_session.h"
#include "modules/auth/auth_signin.h"
#include "modules/auth/token.h"

#include <stdio.h>

EMBED_TEXT(auth_sql, "src/modules/auth/auth.sql");

/* --- options --------------------------------------------------------------------------- */

enum { URL_MAX = TOKEN_TEXT_MAX };

#define OVERLAP_USUAL (11 * MINUTE)

/* Lifetimes that are no mistakes. */
#define ACCESS_MIN  (10 * SECOND)
#define ACCESS_MAX  (24 * HOUR)
#define SESSION_MAX (400 * 24 * HOUR)

#define TEST_URL "http://localhost"

static struct {
	struct auth_options options;
	char public_url[URL_MAX + 1], app_url[URL_MAX + 1];
	char breached_file[4096];
} auth = {
	.options = {
		.public_url = S_INIT(TEST_URL),
		.app_url = S_INIT(TEST_URL),
		.algorithm = SIGN_ES256, /* made in no time */
		.rsa_bits = SIGN_RSA_BITS_MIN,
		.key_overlap_ns = OVERLAP_USUAL,
		.access_ns = 15 * MINUTE,
		.refresh_ns = 7 * 24 * HOUR,
		.session_ns = 30 * 24 * HOUR,
		.cost = { .memory_kb = PASSWORD_MEMORY_KB_MIN, .passes = 1, .lanes = 1 },
		.password_memory = 64 * MEGABYTE,
		.password_min = 8,
		.sign_up = SIGN_UP_OPEN,
		.new_tenants = true,
		.login_tries = 10,
		.login_lock_ns = 15 * MINUTE,
		.secure_cookies = true,
	},
};

const struct auth_options *auth_options(void)
{
	return &auth.options;
}

struct master_key auth_master_key(const struct server *server)
{
	return server->master_key ? *server->master_key : (struct master_key){ 0 };
}

static int check_url(const char *name, struct str url)
{
	bool web = str_starts(url, S("https://")) || str_starts(url, S("http://"));

	if (!web || url.len > URL_MAX || !format_valid(FORMAT_URI, url))
		return fail(ERR_INVALID,
			"%s must be a URL such as https://api.example.com, of at most %d bytes",
			name, URL_MAX);
	if (str_ends(url, S("/")))
		return fail(ERR_INVALID, "%s must not end in a slash", name);
	return 0;
}

static int check(const struct auth_options *options)
{
	int r = check_url("PUBLIC_URL", options->public_url);

	if (r == 0)
		r = check_url("APP_URL", options->app_url);
	if (r < 0)
		return r;
	if (options->access_ns < ACCESS_MIN || options->access_ns > ACCESS_MAX)
		return fail(ERR_INVALID, "access tokens live 10 seconds to 24 hours");
	if (options->refresh_ns < options->access_ns || options->session_ns < options->refresh_ns ||
		options->session_ns > SESSION_MAX)
		return fail(ERR_INVALID, "a refresh token lives at least as long as an access "
					 "token, a session at least as long as a refresh token "
					 "and at most 400 days");
	if (options->key_every_ns && options->key_every_ns < HOUR)
		return fail(ERR_INVALID, "signing keys are changed once an hour at most");
	if (options->algorithm == SIGN_RS256 &&
		(options->rsa_bits < SIGN_RSA_BITS_MIN || options->rsa_bits > SIGN_RSA_BITS_MAX ||
			options->rsa_bits % 256))
		return fail(ERR_INVALID, "RSA keys have 2048 to 8192 bits, in steps of 256");
	if (options->breached_file && strlen(options->breached_file) >= sizeof(auth.breached_file))
		return fail(ERR_INVALID, "the path of the list of breached passwords is too long");
	return 0;
}

static struct str keep_text(char *room, struct str text)
{
	memmove(room, text.at, text.len); /* perhaps from where it is */
	room[text.len] = '\0';
	return str_of(room, text.len);
}

int auth_configure(const struct auth_options *options)
{
	int r = check(options);

	if (r < 0)
		return r;
	auth.options = *options;
	auth.options.public_url = keep_text(auth.public_url, options->public_url);
	auth.options.app_url = keep_text(auth.app_url, options->app_url);
	if (options->breached_file) {
		(void)keep_text(auth.breached_file, str_from_c(options->breached_file));
		auth.options.breached_file = auth.breached_file;
	}
	if (options->key_overlap_ns == 0)
		auth.options.key_overlap_ns = OVERLAP_USUAL;
	return 0;
}

/* --- what the halves bring ------------------------------------------------------------------ */

static struct route routes[AUTH_SESSION_ROUTES + AUTH_SIGNIN_ROUTES];
static const struct statement
	*statements[AUTH_SESSION_STATEMENTS + SIGNING_KEY_STATEMENTS + AUTH_SIGNIN_STATEMENTS];

/* Before main: a module is constant once the program runs. */
__attribute__((constructor)) static void join(void)
{
	memcpy(routes, auth_session_routes, sizeof(auth_session_routes));
	memcpy(statements, auth_session_statements, sizeof(auth_session_statements));
	memcpy(statements + AUTH_SESSION_STATEMENTS, signing_key_statements,
		sizeof(signing_key_statements));
	memcpy(routes + AUTH_SESSION_ROUTES, auth_signin_routes, sizeof(auth_signin_routes));
	auth_signin_statements(statements + AUTH_SESSION_STATEMENTS + SIGNING_KEY_STATEMENTS);
}

/* --- open and close ------------------------------------------------------- */

static int open_module(struct server *server)
{
	struct err err;
	int r = keys_open(server);

	if (r < 0)
		return r;
	r = sessions_open(server);
	if (r == 0) {
		r = auth_signin_open(server);
		if (r == 0) {
			server->hooks.identify = auth_identify;
			return 0;
		}
		err = *err_last();
		sessions_close(server);
		(void)err_restore(&err);
	}
	err = *err_last();
	keys_close(server);
	return err_restore(&err);
}

static void close_module(struct server *server)
{
	server->hooks.identify = NULL;
	auth_signin_close();
	auth_identify_close();
	sessions_close(server);
	keys_close(server);
}

static int run_sessions_cleanup(struct job *job, const void *payload)
{
	(void)payload;
	return sessions_sweep(job->server->store);
}

const struct job_kind sessions_cleanup = { .name = "sessions:cleanup",
	.queue = "maintenance",
	.run = run_sessions_cleanup,
	.timeout_ns = 10 * MINUTE,
	.every_ns = 10 * MINUTE };

static const struct chore chores[] = {
	{ "signing keys", 30 * SECOND, keys_tend },
	{ "sessions", 10 * MINUTE, sessions_tend },
	{ "errands of sign-in", SECOND, signin_errands },
	{ "tries and links of sign-in", 10 * MINUTE, signin_sweep },
};

const struct module auth_module = {
	MODULE_HEAD,
	.name = "auth",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = auth_sql,
	.statements = statements,
	.statement_count = LEN(statements),
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
	.reseal = keys_reseal,
};
