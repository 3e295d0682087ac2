/* From settings to the options of identity's modules; nothing is decided here. */
#include "identity_config.h"

#include "base/err.h"
#include "client/smtp.h"
#include "crypto/master_key.h"
#include "crypto/password.h"

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

struct str identity_public_url(
	const struct config *config, const struct identity_site *site, struct arena *arena)
{
	if (config->public_url.text.len)
		return config->public_url.text;
	return arena_printf(
		arena, "%s://localhost:%u", site->tls ? "https" : "http", (unsigned)site->port);
}

int identity_configure(const struct config *config, const struct identity_site *site)
{
	(void)config, (void)site;
	return 0;
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
	check_urls(config, report);
	check_passwords(config, report);
	check_sessions(config, report);
	check_mail(config, report);
}
