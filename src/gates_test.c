/* From the configuration to limiters and CORS: what each setting does, and who is named when it
 * cannot be. */
#include "gates.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The error slot as people read it. */
static struct str said(void)
{
	static char text[ERR_FRAMES * ERR_TEXT_MAX];

	return str_of(text, err_describe(err_last(), text, sizeof(text)));
}

/* A configuration from these variables and an empty folder. */
static const struct config *load(const char *const *variables)
{
	static char path[] = "/tmp/gates-test-XXXXXX";
	static int folder = -1;
	struct config_report report;
	const struct config *config;

	if (folder < 0) {
		REQUIRE(mkdtemp(path));
		folder = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		REQUIRE(folder >= 0 && rmdir(path) == 0);
	}
	REQUIRE(config_load(&(struct config_source){ variables, folder }, &report, &config) == 0);
	config_report_done(&report);
	return config;
}

/* --- limiters ----------------------------------------------------------- */

static const struct limiter *limiter_of(const struct gates *gates, enum server_limiter which)
{
	return &gates->limiters[which];
}

TEST(gates_limiters)
{
	static const char *const variables[] = { "RATE_LIMIT_ADDRESS=11", "RATE_LIMIT_GLOBAL=12",
		"RATE_LIMIT_AUTH=13", "RATE_LIMIT_AUTH_BLOCK=20m", "RATE_LIMIT_API=14",
		"RATE_LIMIT_SERVER=15", "RATE_LIMIT_TENANT=16", NULL };
	static const struct {
		const char *name;
		enum limiter_algorithm algorithm;
		uint64_t block_ns;
	} wanted[SERVER_LIMITERS] = {
		[LIMITER_ADDRESS] = { "address", LIMITER_TOKEN_BUCKET },
		[LIMITER_GLOBAL] = { "global", LIMITER_SLIDING_WINDOW },
		[LIMITER_AUTH] = { "auth", LIMITER_SLIDING_WINDOW, 20 * MINUTE },
		[LIMITER_API] = { "api", LIMITER_SLIDING_WINDOW },
		[LIMITER_SERVER] = { "server", LIMITER_TOKEN_BUCKET },
		[LIMITER_TENANT] = { "tenant", LIMITER_TOKEN_BUCKET },
	};
	const struct config *config = load(variables);
	struct server server = { 0 };
	struct gates gates;

	REQUIRE(gates_open(&gates, config, &server) == 0);
	EXPECT(server.limiters == gates.limiters && !server.cors);
	for (enum server_limiter i = 0; i < SERVER_LIMITERS; i++) {
		const struct limiter *limiter = limiter_of(&gates, i);

		EXPECT_STR(str_of(limiter->name, limiter->name_len), str_from_c(wanted[i].name));
		EXPECT_INT(limiter->algorithm, wanted[i].algorithm);
		EXPECT_INT(limiter->limit.quota, 11 + (uint64_t)i);
		EXPECT_INT(limiter->limit.window_ns, MINUTE);
		EXPECT_INT(limiter->limit.block_ns, wanted[i].block_ns);
	}
	gates_close(&gates);
	config_free(config);
}

/* The numbers behind, by what they let through. */
TEST(gates_limits_hold)
{
	static const char *const variables[] = { "RATE_LIMIT_AUTH=2", "RATE_LIMIT_AUTH_BLOCK=5m",
		NULL };
	const struct config *config = load(variables);
	struct server server = { 0 };
	struct limit_verdict verdict;
	struct gates gates;

	REQUIRE(gates_open(&gates, config, &server) == 0);
	for (int i = 0; i < 3; i++)
		limiter_take(&server.limiters[LIMITER_AUTH], S("key"), 1, HOUR, &verdict);
	EXPECT(!verdict.allowed && verdict.blocked);
	EXPECT_INT(verdict.retry_after_ns, 5 * MINUTE);
	limiter_take(&server.limiters[LIMITER_AUTH], S("key"), 1, HOUR + 5 * MINUTE, &verdict);
	EXPECT(verdict.allowed);
	limiter_take(&server.limiters[LIMITER_GLOBAL], S("key"), 1, HOUR, &verdict);
	EXPECT(verdict.allowed && verdict.quota == config->rate_limit_global);
	gates_close(&gates);
	config_free(config);
}

TEST(gates_switched_off)
{
	static const char *const variables[] = { "RATE_LIMIT_ENABLED=false", NULL };
	const struct config *config = load(variables);
	struct server server = { 0 };
	struct gates gates;

	REQUIRE(gates_open(&gates, config, &server) == 0);
	EXPECT(!server.limiters && !server.cors);
	gates_close(&gates);
	gates_close(&(struct gates){ 0 });
	config_free(config);
}

/* --- CORS --------------------------------------------------------------- */

static void ask(const struct server *server, const char *origin, struct buf *lines)
{
	static struct h1_head head;
	struct h1_limits limits = { .line = 500, .field = 500, .head = 1000, .fields = 10 };
	static char text[500];
	int len = snprintf(
		text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nOrigin: %s\r\n\r\n", origin);

	REQUIRE(h1_head_parse(str_of(text, (size_t)len), &limits, &head) == 0);
	buf_reset(lines);
	EXPECT(!cors_apply(server->cors, &head, lines));
}

TEST(gates_origins)
{
	static const struct {
		const char *setting, *origin, *has;
		bool credentials;
	} rows[] = {
		{ "CORS_ORIGINS=https://a.example,https://b.example", "https://b.example",
			"access-control-allow-origin: https://b.example\r\n", true },
		{ "CORS_ORIGINS=https://a.example", "https://c.example", "vary: origin\r\n",
			false },
		{ "CORS_ORIGINS=*", "https://c.example", "access-control-allow-origin: *\r\n",
			false },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		const char *const variables[] = { rows[i].setting, "RATE_LIMIT_ENABLED=false",
			NULL };
		const struct config *config = load(variables);
		struct server server = { 0 };
		struct gates gates;
		struct buf lines;

		buf_init(&lines, 10000);
		REQUIRE(gates_open(&gates, config, &server) == 0);
		REQUIRE(server.cors == &gates.cors);
		ask(&server, rows[i].origin, &lines);
		EXPECT(str_find(buf_str(&lines), str_from_c(rows[i].has)) >= 0);
		EXPECT((str_find(buf_str(&lines), S("credentials: true")) >= 0) ==
			rows[i].credentials);
		buf_done(&lines);
		gates_close(&gates);
		config_free(config);
	}
}

/* --- refusals ----------------------------------------------------------- */

static void expect_refused(const struct config *config, const char *says)
{
	struct server server = { 0 };
	struct gates gates;

	EXPECT_INT(gates_open(&gates, config, &server), -ERR_INVALID);
	if (!EXPECT(str_starts(said(), str_from_c(says))))
		fprintf(stderr, "  instead of \"%s\": \"%s\"\n", says, err_text());
	gates_close(&gates);
}

TEST(gates_refuse_origins)
{
	static const char *const rows[] = { "CORS_ORIGINS=a.example",
		"CORS_ORIGINS=https://a.example/", "CORS_ORIGINS=https://A.example",
		"CORS_ORIGINS=https://a.example:443", "CORS_ORIGINS=*,https://a.example" };

	for (size_t i = 0; i < LEN(rows); i++) {
		const struct config *config = load((const char *const[]){ rows[i], NULL });

		expect_refused(config, "CORS_ORIGINS: ");
		config_free(config);
	}
}

/* Numbers that the loader would not let through. */
TEST(gates_refuse_limits)
{
	const struct config *config = load((const char *const[]){ NULL });
	struct config changed[6];

	for (size_t i = 0; i < LEN(changed); i++)
		changed[i] = *config;
	changed[0].rate_limit_address = 0;
	changed[1].rate_limit_global = 0;
	changed[2].rate_limit_auth = 0;
	changed[3].rate_limit_auth_block = UINT64_MAX;
	changed[4].rate_limit_api = 0;
	changed[5].rate_limit_server = 0;
	expect_refused(&changed[0], "RATE_LIMIT_ADDRESS: ");
	expect_refused(&changed[1], "RATE_LIMIT_GLOBAL: ");
	expect_refused(&changed[2], "RATE_LIMIT_AUTH: ");
	expect_refused(&changed[3], "RATE_LIMIT_AUTH: ");
	expect_refused(&changed[4], "RATE_LIMIT_API: ");
	expect_refused(&changed[5], "RATE_LIMIT_SERVER: ");
	config_free(config);
}

#ifdef BULKHEAD_FAULTS

TEST(gates_torture)
{
	static const char *const variables[] = { "CORS_ORIGINS=https://a.example", NULL };
	const struct config *config = load(variables);
	bool struck = true;

	for (size_t nth = 1; struck; nth++) {
		struct server server = { 0 };
		struct gates gates;
		int r;

		fault_arm(FAULT_MEMORY, nth);
		r = gates_open(&gates, config, &server);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT_INT(r, struck ? -ERR_NO_MEMORY : 0);
		gates_close(&gates);
		REQUIRE(nth < 1000);
	}
	config_free(config);
}

#endif
