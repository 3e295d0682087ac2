/* From settings to the options of identity's modules; nothing is decided here. */
#include "identity_config.h"

#include "base/err.h"
#include "client/smtp.h"
#include "crypto/master_key.h"
#include "crypto/password.h"
#include "modules/audit/audit.h"
#include "modules/auth/auth.h"
#include "modules/mails/mails.h"
#include "modules/operators/operators.h"
#include "modules/users/users.h"

/* Texts made of settings on their way to a module, which copies them. */
enum { TEXTS_MAX = 16 * 1024 };

/* --- settings in the modules' terms ------------------------------------------------------- */

static struct password_cost password_cost_of(const struct config *config)
{
	return (struct password_cost){
		.memory_kb = (uint32_t)(config->password_memory / KILOBYTE),
		.passes = (uint32_t)config->password_passes,
		.lanes = 1, /* all are computed by one thread: more would not make it dearer */
	};
}

/* "Name <address>" or an address. */
static struct mail_address mail_from_of(const struct config *config)
{
	struct str text = config->mail_from;
	ptrdiff_t angle = str_find_byte(text, '<');

	if (angle < 0 || !str_ends(text, S(">")))
		return (struct mail_address){ .address = text };
	return (struct mail_address){
		.name = str_trim(str_first(text, (size_t)angle)),
		.address =
			str_first(str_from(text, (size_t)angle + 1), text.len - (size_t)angle - 2),
	};
}

static bool is_sender(const struct mail_address *from)
{
	struct mail mail = { .id = S("id"),
		.from = *from,
		.to = { .address = S("to@localhost") },
		.subject = S("subject"),
		.text = S("text") };

	return mail_check(&mail) == 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c - 'a' + 10;
}

/* Undoes the percent-encoding of a part of a URL, which the loader has checked. */
static struct str decoded(struct arena *arena, struct str text)
{
	char *at = arena_alloc(arena, text.len + 1);
	size_t len = 0;

	if (!at)
		return str_of(NULL, 0);
	for (size_t i = 0; i < text.len; i++, len++) {
		at[len] = text.at[i];
		if (text.at[i] == '%' && i + 2 < text.len) {
			at[len] =
				(char)(hex_digit(text.at[i + 1]) << 4 | hex_digit(text.at[i + 2]));
			i += 2;
		}
	}
	return str_of(at, len);
}

static struct str public_url_of(
	const struct config *config, const struct identity_site *site, struct arena *arena)
{
	if (config->public_url.text.len)
		return config->public_url.text;
	return arena_printf(
		arena, "%s://localhost:%u", site->tls ? "https" : "http", (unsigned)site->port);
}

/* --- modules -------------------------------------------------------------------------------- */

static int configure_mails(const struct config *config, struct arena *arena)
{
	const struct config_url *url = &config->smtp_url;
	struct mails_options options = {
		.from = mail_from_of(config),
		.product = config->product_name,
		.smtp = {
			.host = url->host,
			.port = url->port,
			.tls = str_eq(url->scheme, S("smtps")),
			.user = decoded(arena, url->user),
			.password = decoded(arena, url->password),
		},
	};

	if (!options.from.address.len)
		options.from.address = S("bulkhead@localhost.localdomain");
	if (config->app_env == APP_DEVELOPMENT)
		options.folder = arena_printf(arena, "%.*s/mails", STR_ARG(config->data_dir)).at;
	return mails_configure(&options);
}

static enum sign_kind algorithm_of(const struct config *config)
{
	static const enum sign_kind kinds[] = { [CONFIG_JWT_RS256] = SIGN_RS256,
		[CONFIG_JWT_ES256] = SIGN_ES256,
		[CONFIG_JWT_EDDSA] = SIGN_EDDSA };

	return kinds[config->jwt_algorithm];
}

static enum auth_sign_up sign_up_of(const struct config *config)
{
	static const enum auth_sign_up values[] = { [CONFIG_SIGN_UP_OPEN] = SIGN_UP_OPEN,
		[CONFIG_SIGN_UP_INVITATION] = SIGN_UP_INVITATION,
		[CONFIG_SIGN_UP_CLOSED] = SIGN_UP_CLOSED };

	return values[config->sign_up];
}

static int configure_auth(const struct config *config, struct str public_url, struct str app_url)
{
	struct auth_options options = {
		.public_url = public_url,
		.app_url = app_url,
		.algorithm = algorithm_of(config),
		.rsa_bits = SIGN_RSA_BITS_MIN,
		.key_every_ns = config->jwt_key_rotation,
		.key_overlap_ns = config->jwt_key_overlap,
		.access_ns = config->jwt_access_expiry,
		.refresh_ns = config->jwt_refresh_expiry,
		.session_ns = config->session_expiry,
		.cost = password_cost_of(config),
		.password_memory = config->password_pool_memory,
		.breached_file = config->password_breached_file.len
					 ? config->password_breached_file.at
					 : NULL,
		.password_min = config->password_min_length,
		.sign_up = sign_up_of(config),
		.new_tenants = config->sign_up_tenants,
		.login_tries = config->login_tries,
		.login_lock_ns = config->login_lock,
		.login_delay_ns = config->login_delay,
		.verify_first = config->auth_verify_first,
		/* Without TLS a browser would not send them back. */
		.secure_cookies =
			config->app_env != APP_DEVELOPMENT || str_starts(public_url, S("https:")),
	};

	return auth_configure(&options);
}

static int configure_all(const struct config *config, struct str public_url, struct arena *arena)
{
	struct str app_url = config->app_url.text.len ? config->app_url.text : public_url;
	int r = configure_mails(config, arena);

	audit_configure(&(struct audit_options){ .retention_ns = config->audit_retention });
	if (r == 0)
		r = users_configure(&(struct users_options){
			app_url, config->email_send_to == CONFIG_EMAIL_ANYONE });
	if (r == 0)
		r = configure_auth(config, public_url, app_url);
	if (r == 0)
		r = operators_configure(
			&(struct operators_options){ public_url, config->product_name });
	return r;
}

int identity_configure(const struct config *config, const struct identity_site *site)
{
	struct str public_url;
	struct arena arena;
	int r;

	arena_init(&arena, 4 * KILOBYTE, TEXTS_MAX);
	public_url = public_url_of(config, site, &arena);
	r = public_url.at ? configure_all(config, public_url, &arena) : -(int)err_last()->code;
	arena_done(&arena);
	return r;
}

/* --- rules ------------------------------------------------------------------------------- */

static void check_master_key(const struct config *config, struct config_report *report)
{
	struct str name = S("MASTER_KEY");
	struct master_key key;

	if (!config_sound(report, name))
		return;
	if (config->master_key.len) {
		if (master_key_parse(config->master_key, &key) < 0)
			config_problem(report, name, "is %s", err_text());
		master_key_done(&key);
	} else if (config->app_env != APP_DEVELOPMENT) {
		config_problem(report, name,
			"is required outside of development; `openssl rand -hex 32` makes one, to "
			"be "
			"kept apart from the backups");
	} else if (config->database_url.text.len) {
		config_warning(report, name,
			"is made in DATA_DIR; instances with the same DATABASE_URL need the same "
			"one, too");
	}
}

static void check_former_key(const struct config *config, struct config_report *report)
{
	struct str name = S("MASTER_KEY_PREVIOUS");
	struct master_key key, former;

	if (!config->master_key_previous.len || !config_sound(report, name))
		return;
	if (master_key_parse(config->master_key_previous, &former) < 0) {
		config_problem(report, name, "is %s", err_text());
	} else if (config->master_key.len && master_key_parse(config->master_key, &key) == 0) {
		if (memcmp(key.bytes, former.bytes, sizeof(key.bytes)) == 0)
			config_problem(report, name,
				"is the same as MASTER_KEY; it is for another one only");
		master_key_done(&key);
	}
	master_key_done(&former);
}

/* A prefix of addresses. */
static void check_base(const struct config *config, const char *name, const struct config_url *url,
	struct config_report *report)
{
	struct str setting = str_from_c(name);

	if (!url->text.len || !config_sound(report, setting))
		return;
	if (url->user.len || url->password.len || url->query.len || str_ends(url->text, S("?")) ||
		str_ends(url->text, S("/")))
		config_problem(report, setting,
			"must have no user, no query and no / at its end: paths are added to it");
	else if (config->app_env != APP_DEVELOPMENT && !str_eq(url->scheme, S("https")))
		config_warning(report, setting, "is not https: tokens can be read on the way");
}

static void check_urls(const struct config *config, struct config_report *report)
{
	struct str name = S("PUBLIC_URL");

	check_base(config, "PUBLIC_URL", &config->public_url, report);
	check_base(config, "APP_URL", &config->app_url, report);
	if (config->app_env != APP_DEVELOPMENT && !config->public_url.text.len &&
		config_sound(report, name))
		config_problem(report, name,
			"is required outside of development: tokens name it as their issuer");
}

static void check_passwords(const struct config *config, struct config_report *report)
{
	struct password_cost cost = password_cost_of(config);
	struct str memory = S("PASSWORD_MEMORY"), pool = S("PASSWORD_POOL_MEMORY");

	if (!config_sound(report, memory) || !config_sound(report, S("PASSWORD_PASSES")))
		return;
	if (password_cost_check(&cost) < 0)
		config_problem(report, memory, "with PASSWORD_PASSES: %s", err_text());
	else if (config_sound(report, pool) &&
		 password_cost_memory(&cost) > config->password_pool_memory)
		config_problem(report, pool, "must have room for one hash of PASSWORD_MEMORY");
}

static void check_sessions(const struct config *config, struct config_report *report)
{
	struct str refresh = S("JWT_REFRESH_EXPIRY"), access = S("JWT_ACCESS_EXPIRY");

	if (!config_sound(report, refresh))
		return;
	if (config_sound(report, access) && config->jwt_access_expiry > config->jwt_refresh_expiry)
		config_problem(report, access, "must not be longer than JWT_REFRESH_EXPIRY");
	if (config_sound(report, S("SESSION_EXPIRY")) &&
		config->jwt_refresh_expiry > config->session_expiry)
		config_problem(report, refresh, "must not be longer than SESSION_EXPIRY");
}

static void check_mail(const struct config *config, struct config_report *report)
{
	struct str url = S("SMTP_URL"), from = S("MAIL_FROM");
	struct mail_address address = mail_from_of(config);

	if (!config_sound(report, url) || !config_sound(report, from))
		return;
	if (config->mail_from.len && !is_sender(&address))
		config_problem(report, from, "must be an address, or Name <address>");
	if (config->smtp_url.text.len && !config->mail_from.len)
		config_problem(report, from, "is missing: SMTP_URL is set");
	if (config->smtp_url.text.len &&
		(config->smtp_url.path.len > 1 || config->smtp_url.query.len))
		config_problem(report, url, "must have neither path nor query");
	if (!config->smtp_url.text.len && config->app_env != APP_DEVELOPMENT)
		config_warning(report, url,
			"is not set: no mail can be sent, neither to verify an address nor to "
			"reset a password");
}

void identity_config_check(const struct config *config, struct config_report *report)
{
	check_master_key(config, report);
	check_former_key(config, report);
	check_urls(config, report);
	check_passwords(config, report);
	check_sessions(config, report);
	check_mail(config, report);
}
