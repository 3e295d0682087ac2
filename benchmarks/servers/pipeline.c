/*
 * The server of `./bench pipeline`: Bulkhead's own, with the module hello and the check of access
 * tokens that identity uses, as its workers run it. Arguments: PORT MODE FOLDER. MODE is `none`
 * (tokens are not looked at), `verify` (each time) or `cache`. Writes a token and its public key
 * into the folder, then serves until SIGTERM.
 */
#include "crypto/library.h"
#include "crypto/sign.h"
#include "gates.h"
#include "http/request.h"
#include "loop/signals.h"
#include "modules/auth/token_cache.h"
#include "modules/hello/hello.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKERS = 2 };

static const struct token_rules rules = {
	.issuer = S_INIT("bulkhead"),
	.audience = S_INIT("bulkhead"),
	.type = TOKEN_PLAIN,
	.leeway_ns = 30 * SECOND,
};

static struct token_keyring *keyring;
static struct token_cache *caches[WORKERS];
static struct token_view views[WORKERS];

static void must(int r, const char *what)
{
	if (r < 0) {
		(void)fprintf(stderr, "pipeline: %s: %s\n", what, err_text());
		exit(EXIT_FAILURE);
	}
}

static struct str bearer(const struct req *req)
{
	struct str value = h1_value(&req->head, H1_AUTHORIZATION);

	return str_starts(value, S("Bearer ")) ? str_from(value, 7) : str_of(NULL, 0);
}

static int answer(struct caller *ret, const struct token_claims *claims)
{
	*ret = (struct caller){
		.kind = CALLER_SECRET,
		.id = claims->subject,
		.tenant = claims->tenant,
		.session = claims->session,
	};
	return 0;
}

static int identify_each_time(struct req *req, struct caller *ret)
{
	const struct token_keys *keys = token_view_keys(&views[worker_here()->index]);
	struct str token = bearer(req);
	struct token_claims claims;
	int r;

	if (!token.at)
		return 0;
	r = token_verify(keys, token, &rules, clock_wall_us(), &req->arena, &claims);
	return r < 0 ? r : answer(ret, &claims);
}

static int identify_by_cache(struct req *req, struct caller *ret)
{
	struct token_cache *cache = caches[worker_here()->index];
	struct str token = bearer(req);
	struct token_claims claims;
	int r;

	if (!token.at)
		return 0;
	r = token_check(cache, token, clock_wall_us(), &req->arena, &claims);
	return r < 0 ? r : answer(ret, &claims);
}

static int identify_nobody(struct req *req, struct caller *ret)
{
	(void)req;
	return answer(ret, &(struct token_claims){ .subject = S_INIT("018f0000-user"),
				   .tenant = S_INIT("018f0000-tenant") });
}

static void write_file(const char *folder, const char *name, const struct buf *text)
{
	char path[4096];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	if (!file || fwrite(text->at, 1, text->len, file) != text->len || fclose(file) != 0)
		must(fail(ERR_IO, "cannot write %s", path), "files");
}

static void make_token(const char *folder)
{
	struct token_claims claims = {
		.issuer = rules.issuer,
		.audience = rules.audience,
		.subject = S_INIT("018f3d5e-0000-7000-8000-000000000001"),
		.tenant = S_INIT("018f3d5e-0000-7000-8000-000000000002"),
		.session = S_INIT("018f3d5e-0000-7000-8000-000000000003"),
		.issued_us = clock_wall_us(),
		.expires_us = clock_wall_us() + (int64_t)3600 * 1000000,
		.type = TOKEN_PLAIN,
	};
	struct token_keys *keys;
	struct sign_key *key;
	struct buf text;

	must(sign_key_generate(SIGN_RS256, 2048, &key), "key");
	buf_init(&text, 64 * KILOBYTE);
	must(token_make(key, &claims, &text), "token");
	write_file(folder, "token", &text);
	buf_reset(&text);
	must(sign_key_write_public(key, &text), "key");
	write_file(folder, "public.pem", &text);
	buf_done(&text);

	must(token_keys_new(&key, 1, &keys), "keys");
	must(token_keyring_new(keys, &keyring), "keys");
	for (size_t i = 0; i < WORKERS; i++) {
		token_view_init(&views[i], keyring);
		must(token_cache_new(keyring, &rules, TOKEN_CACHE_ENTRIES, &caches[i]), "cache");
	}
}

/* As app.c sets it up, with the defaults of the configuration. */
static void serve(uint16_t port, int (*identify)(struct req *, struct caller *))
{
	struct config_source source = {
		.variables = (const char *const[]){ "RATE_LIMIT_ADDRESS=4000000000",
			"RATE_LIMIT_SERVER=4000000000", "RATE_LIMIT_TENANT=4000000000",
			"CORS_ORIGINS=https://app.example.com", NULL },
		.directory = AT_FDCWD
	};
	struct log_options log = { .level = LOG_INFO, .format = LOG_JSON, .fd = STDOUT_FILENO };
	const struct config *config;
	struct config_report report;
	struct address address;
	static struct server server;
	static struct gates gates;

	must(config_load(&source, &report, &config), "configuration");
	config_report_done(&report);
	must(log_open(&log), "log");
	server.limits = (struct server_limits){
		.head = H1_LIMITS_DEFAULT,
		.connections_per_address = 1000,
		.requests_per_connection = 1000000000,
		.connection_age_ns = HOUR,
		.handshake_ns = 5 * SECOND,
		.head_ns = config->http_head_timeout,
		.idle_ns = config->http_idle_timeout,
		.handler_ns = config->http_handler_timeout,
		.body_grace_ns = config->http_body_grace,
		.body_rate = config->http_body_min_rate,
		.write_stall_ns = config->http_write_stall_timeout,
		.body = config->http_max_body,
		.pipelined = config->http_max_pipelined,
		.response_queue = config->http_max_response_queue,
		.request_memory = config->request_memory_limit,
		.compress_from = config->http_compression_min,
	};
	server_fit_limits(&server.limits);
	server.hooks.identify = identify;
	must(gates_open(&gates, config, &server), "gates");
	must(address_parse(S("127.0.0.1"), port, &address), "address");
	must(server_listen(&server, &address, NULL, ROUTE_ANYWHERE), "port");
	must(server_add(&server, &hello_module), "module");
	must(server_start(&server, WORKERS), "start");

	while (signals_wait(clock_now_ns() + SECOND) != SIGTERM)
		;
	server_stop(&server);
	server_done(&server);
	(void)log_close(clock_now_ns() + SECOND);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*identify)(struct req *, struct caller *);
	} modes[] = { { "none", identify_nobody }, { "verify", identify_each_time },
		{ "cache", identify_by_cache } };

	if (argc != 4)
		must(fail(ERR_INVALID, "usage: pipeline PORT none|verify|cache FOLDER"),
			"arguments");
	signals_block();
	crypto_start();
	make_token(argv[3]);
	for (size_t i = 0; i < LEN(modes); i++)
		if (strcmp(argv[2], modes[i].name) == 0)
			serve((uint16_t)strtoul(argv[1], NULL, 10), modes[i].identify);
	return EXIT_SUCCESS;
}
