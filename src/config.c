/* The settings of the server: the table's entries, the rules that concern more than one of them,
 * and the one place of the program that looks at its environment. */
#include "config.h"

#include "identity_config.h"
#include "jobs_config.h"

#include <fcntl.h>
#include <unistd.h>

#define CONFIG_TEXT(constant, text) text,
const char *const app_env_texts[] = { APP_ENVS(CONFIG_TEXT) NULL };
static const char *const config_log_level_texts[] = { CONFIG_LOG_LEVELS(CONFIG_TEXT) NULL };
static const char *const config_log_format_texts[] = { CONFIG_LOG_FORMATS(CONFIG_TEXT) NULL };
static const char *const config_tls_version_texts[] = { CONFIG_TLS_VERSIONS(CONFIG_TEXT) NULL };
static const char *const config_forwarded_texts[] = { CONFIG_FORWARDED(CONFIG_TEXT) NULL };
static const char *const config_sign_up_texts[] = { CONFIG_SIGN_UPS(CONFIG_TEXT) NULL };
static const char *const config_email_target_texts[] = { CONFIG_EMAIL_TARGETS(CONFIG_TEXT) NULL };
static const char *const config_jwt_algorithm_texts[] = { CONFIG_JWT_ALGORITHMS(CONFIG_TEXT) NULL };

#define CONFIG_ROW(...) CONFIG_ENTRY(config, __VA_ARGS__),
static const struct config_entry entries[] = { CONFIG_TABLE(CONFIG_ROW) };

static void check_tls(const struct config *config, struct config_report *report)
{
	struct str cert = S("TLS_CERT_FILE");
	struct str key = S("TLS_KEY_FILE");

	if (!config_sound(report, cert) || !config_sound(report, key))
		return;

	if (config->tls_cert_file.len && !config->tls_key_file.len)
		config_problem(
			report, key, "is missing: TLS_CERT_FILE is set; set both or neither");
	if (config->tls_key_file.len && !config->tls_cert_file.len)
		config_problem(
			report, cert, "is missing: TLS_KEY_FILE is set; set both or neither");
}

static bool is_any_address(struct str host)
{
	return host.len == 0 || str_eq(host, S("0.0.0.0")) || str_eq(host, S("::"));
}

/* In development there is one port only. */
static void check_listeners(const struct config *config, struct config_report *report)
{
	const struct config_listen *ops = &config->ops_listen;

	if (config->app_env == APP_DEVELOPMENT || config->port != ops->port || ops->port == 0 ||
		!config_sound(report, S("HOST")) || !config_sound(report, S("PORT")) ||
		!config_sound(report, S("OPS_LISTEN")))
		return;

	if (is_any_address(config->host) || is_any_address(ops->host) ||
		str_eq_nocase(config->host, ops->host))
		config_problem(report, S("OPS_LISTEN"),
			"must not be the address and port that HOST and PORT listen on");
}

static void check_memory(const struct config *config, struct config_report *report)
{
	struct str one = S("REQUEST_MEMORY_LIMIT");

	if (!config_sound(report, one))
		return;

	if (config_sound(report, S("MEMORY_LIMIT")) && config->memory_limit != 0 &&
		config->request_memory_limit > config->memory_limit)
		config_problem(report, one, "must not be larger than MEMORY_LIMIT");
	if (config_sound(report, S("HTTP_MAX_BODY")) &&
		config->request_memory_limit < config->http_max_body)
		config_problem(report, one,
			"must not be smaller than HTTP_MAX_BODY: a body is held in it");
}

/* One login owns the tables, another one serves: who owns them is above their policies. */
static void check_database(const struct config *config, struct config_report *report)
{
	const struct config_url *url = &config->database_url, *owner = &config->database_owner_url;
	struct str name = S("DATABASE_URL"), owner_name = S("DATABASE_OWNER_URL");

	if (!config_sound(report, name) || !config_sound(report, owner_name))
		return;

	if (!url->text.len && owner->text.len)
		config_problem(report, name, "is missing: DATABASE_OWNER_URL is set");
	if (!url->text.len && config->database_direct_url.text.len)
		config_problem(report, name, "is missing: DATABASE_DIRECT_URL is set");
	if (!url->text.len)
		return;
	if (!url->user.len)
		config_problem(report, name, "must name its user: migrations give it its rights");
	else if (owner->text.len && str_eq(url->user, owner->user))
		config_problem(report, owner_name,
			"must be another login than that of DATABASE_URL, who may not own tables");
	if (config->app_env == APP_PRODUCTION && config->migrate_on_start && !owner->text.len)
		config_problem(report, owner_name,
			"is missing: in production the login of DATABASE_URL may not own tables; "
			"set it, or MIGRATE_ON_START=false and migrate as a step of its own");
}

static bool is_everybody(const struct config_cidr *net)
{
	static const struct config_cidr all_of_ipv4 = { { [10] = 0xff, [11] = 0xff }, 96 };

	return net->bits == 0 ||
	       (net->bits == all_of_ipv4.bits &&
		       memcmp(net->address, all_of_ipv4.address, sizeof(net->address)) == 0);
}

static void check_proxies(const struct config *config, struct config_report *report)
{
	const struct config_cidrs *nets = &config->trusted_proxies;

	if (!config_sound(report, S("TRUSTED_PROXIES")))
		return;

	for (size_t i = 0; i < nets->count; i++)
		if (is_everybody(&nets->at[i]))
			config_warning(report, S("TRUSTED_PROXIES"),
				"trusts the whole internet: anybody can invent a client address");
}

static void check(const void *values, struct config_report *report)
{
	const struct config *config = values;

	check_tls(config, report);
	check_listeners(config, report);
	check_database(config, report);
	check_memory(config, report);
	check_proxies(config, report);
	identity_config_check(config, report);
	jobs_config_check(config, report);
}

const struct config_table config_table = {
	.entries = entries,
	.count = LEN(entries),
	.size = sizeof(struct config),
	.check = check,
};

struct config_source config_process(void)
{
	return (struct config_source){ .variables = (const char *const *)environ,
		.directory = AT_FDCWD };
}

int config_load(
	const struct config_source *source, struct config_report *report, const struct config **ret)
{
	const void *loaded;
	int r = config_load_table(&config_table, source, report, &loaded);

	if (r < 0)
		return r;

	*ret = loaded;
	return 0;
}
