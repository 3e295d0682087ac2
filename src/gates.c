/* Which limiter counts what: the table behind RATE_LIMIT_x, and the list behind CORS_ORIGINS. */
#include "gates.h"

#include "observe/metric.h"

enum { TENANT_SLOTS = 16 * 1024 };

/* The limiters that are counted in the metrics; NULL: none. */
static struct gates *_Atomic counted;

static bool read_evictions(void *arg, int64_t *ret)
{
	struct gates *gates = atomic_load(&counted);
	uint64_t evicted = 0;

	(void)arg;
	for (size_t i = 0; gates && i < SERVER_LIMITERS; i++)
		evicted += limiter_evicted(&gates->limiters[i]);
	*ret = (int64_t)evicted;
	return gates;
}

static int count_evictions(struct gates *gates)
{
	static const struct metric_def def = {
		.name = "http_limiter_evictions_total",
		.help = "Callers that a limiter has forgotten before their time, for want of room.",
		.kind = METRIC_COUNTER,
	};
	int r = metric_callback(&def, read_evictions, NULL);

	if (r == 0)
		atomic_store(&counted, gates);
	return r;
}

static int open_limiters(struct gates *gates, const struct config *config)
{
	static const char *const settings[SERVER_LIMITERS] = {
		[LIMITER_ADDRESS] = "RATE_LIMIT_ADDRESS",
		[LIMITER_GLOBAL] = "RATE_LIMIT_GLOBAL",
		[LIMITER_AUTH] = "RATE_LIMIT_AUTH",
		[LIMITER_API] = "RATE_LIMIT_API",
		[LIMITER_SERVER] = "RATE_LIMIT_SERVER",
		[LIMITER_TENANT] = "RATE_LIMIT_TENANT",
	};
	const struct limiter_options options[SERVER_LIMITERS] = {
		[LIMITER_ADDRESS] = { .name = S_INIT("address"),
			.algorithm = LIMITER_TOKEN_BUCKET,
			.limit = { .quota = config->rate_limit_address, .window_ns = MINUTE } },
		[LIMITER_GLOBAL] = { .name = S_INIT("global"),
			.algorithm = LIMITER_SLIDING_WINDOW,
			.limit = { .quota = config->rate_limit_global, .window_ns = MINUTE } },
		[LIMITER_AUTH] = { .name = S_INIT("auth"),
			.algorithm = LIMITER_SLIDING_WINDOW,
			.limit = { .quota = config->rate_limit_auth,
				.window_ns = MINUTE,
				.block_ns = config->rate_limit_auth_block } },
		[LIMITER_API] = { .name = S_INIT("api"),
			.algorithm = LIMITER_SLIDING_WINDOW,
			.limit = { .quota = config->rate_limit_api, .window_ns = MINUTE } },
		[LIMITER_SERVER] = { .name = S_INIT("server"),
			.algorithm = LIMITER_TOKEN_BUCKET,
			.limit = { .quota = config->rate_limit_server, .window_ns = MINUTE } },
		[LIMITER_TENANT] = { .name = S_INIT("tenant"),
			.algorithm = LIMITER_TOKEN_BUCKET,
			.limit = { .quota = config->rate_limit_tenant, .window_ns = MINUTE },
			.slots = TENANT_SLOTS },
	};

	for (size_t i = 0; i < SERVER_LIMITERS; i++) {
		int r = limiter_init(&gates->limiters[i], &options[i]);

		if (r < 0)
			return err_wrap("%s", settings[i]);
	}
	return 0;
}

static int open_cors(struct gates *gates, const struct config *config)
{
	const struct config_list *origins = &config->cors_origins;
	bool any = origins->count == 1 && str_eq(origins->at[0], S("*"));
	struct cors_config cors = {
		.origins = { origins->at, origins->count },
		.credentials = !any,
	};
	int r = cors_init(&gates->cors, &cors);

	return r < 0 ? err_wrap("CORS_ORIGINS") : 0;
}

int gates_open(struct gates *gates, const struct config *config, struct server *server)
{
	int r = 0;

	*gates = (struct gates){ 0 };
	if (config->rate_limit_enabled) {
		r = open_limiters(gates, config);
		if (r == 0)
			r = count_evictions(gates);
		server->limiters = r == 0 ? gates->limiters : NULL;
	}
	if (r == 0 && config->cors_origins.count) {
		r = open_cors(gates, config);
		server->cors = r == 0 ? &gates->cors : NULL;
	}
	return r;
}

void gates_close(struct gates *gates)
{
	if (atomic_load(&counted) == gates)
		atomic_store(&counted, NULL);
	for (size_t i = 0; i < SERVER_LIMITERS; i++)
		limiter_done(&gates->limiters[i]);
	cors_done(&gates->cors);
}
