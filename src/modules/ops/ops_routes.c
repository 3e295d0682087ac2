/*
 * Health and metrics. Live is about this process alone and never about what it depends on; ready
 * fails while it drains or the store does not answer, so that load balancers look away; what
 * modules say of themselves (http/health.h) degrades health and nothing else. On the public port
 * only the bare status is told; details and metrics are for the operators' port.
 */
#include "base/mem.h"
#include "base/version.h"
#include "http/openapi.h"
#include "http/request.h"
#include "http/server.h"
#include "modules/ops/ops.h"
#include "modules/rbac/rbac.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/metric.h"
#include "store/notice.h"
#include "store/store.h"

enum { METRICS_MAX = 16 * 1024 * 1024 };

/* How long the store may take to answer a probe, and how long its answer is good: probes are not
 * limited, and must not become a load. */
#define STORE_PATIENCE SECOND
#define STORE_ANSWER   SECOND

static int answer_status(struct req *req, bool ok)
{
	return ok ? reply_json(req, 200, S("{\"status\":\"ok\"}"))
		  : reply_json(req, 503, S("{\"status\":\"unavailable\"}"));
}

/* One that is degraded serves all the same. */
static int answer_degraded(struct req *req)
{
	return reply_json(req, 200, S("{\"status\":\"degraded\"}"));
}

static int live(struct req *req)
{
	return answer_status(req, true);
}

static int startup(struct req *req)
{
	return answer_status(req, server_ready(req_server(req)));
}

/* --- the store ---------------------------------------------------------- */

/* What it said last; for all workers. */
static _Atomic uint64_t store_asked_ns;
static atomic_bool store_answered;

static bool ask_store(struct req *req, struct store *store)
{
	struct scope scope;
	int r;

	scope_open(&scope, sched_now() + STORE_PATIENCE);
	r = store_ping(store, &req->arena);
	(void)scope_close(&scope);
	if (r < 0)
		log_warn("the store does not answer", LOG_ERR);
	return r == 0 && notices_fresh(store);
}

static bool store_is_well(struct req *req)
{
	struct store *store = req_server(req)->store;
	uint64_t now = clock_now_ns(), asked = atomic_load(&store_asked_ns);

	if (!store)
		return true;
	if (asked && now - asked < STORE_ANSWER)
		return atomic_load(&store_answered);
	atomic_store(&store_answered, ask_store(req, store));
	atomic_store(&store_asked_ns, now);
	return atomic_load(&store_answered);
}

static bool is_well(struct req *req)
{
	return server_ready(req_server(req)) && store_is_well(req);
}

static int ready(struct req *req)
{
	return answer_status(req, is_well(req));
}

/* --- details ------------------------------------------------------------ */

/* What modules say of themselves. */
struct parts {
	const struct server *server;
	struct buf why[HEALTH_CHECKS_MAX]; /* of those that are not well */
	bool well[HEALTH_CHECKS_MAX];
	bool all_well;
};

static void parts_look(struct parts *parts, const struct server *server)
{
	*parts = (struct parts){ .server = server, .all_well = true };
	for (size_t i = 0; i < server->check_count; i++) {
		buf_init(&parts->why[i], HEALTH_WHY_MAX);
		parts->well[i] = server->checks[i]->is_well(&parts->why[i]);
		parts->all_well = parts->all_well && parts->well[i];
	}
}

static void parts_done(struct parts *parts)
{
	for (size_t i = 0; i < parts->server->check_count; i++)
		buf_done(&parts->why[i]);
}

static void write_check(
	struct json_writer *json, struct str name, struct str status, struct str why)
{
	json_write_key(json, name);
	json_write_object(json);
	json_write_key(json, S("status"));
	json_write_string(json, status);
	if (why.len) {
		json_write_key(json, S("detail"));
		json_write_string(json, why);
	}
	json_write_object_end(json);
}

static void write_checks(struct json_writer *json, const struct parts *parts, bool store_well)
{
	const struct server *server = parts->server;
	const struct str none = { 0 };

	json_write_object(json);
	write_check(json, S("server"), server_ready(server) ? S("ok") : S("unavailable"), none);
	if (server->store)
		write_check(json, S("store"), store_well ? S("ok") : S("unavailable"), none);
	for (size_t i = 0; i < server->check_count; i++)
		write_check(json, str_from_c(server->checks[i]->name),
			parts->well[i] ? S("ok") : S("degraded"), buf_str(&parts->why[i]));
	json_write_object_end(json);
}

static void write_health(struct json_writer *json, const struct parts *parts, bool store_well)
{
	const struct server *server = parts->server;
	bool works = server_ready(server) && store_well;

	json_write_object(json);
	json_write_key(json, S("status"));
	json_write_string(json, !works            ? S("unavailable")
				: parts->all_well ? S("ok")
						  : S("degraded"));
	json_write_key(json, S("version"));
	json_write_string(json, S(BULKHEAD_VERSION));
	json_write_key(json, S("uptimeSeconds"));
	json_write_u64(json, (clock_now_ns() - server->started_ns) / SECOND);
	json_write_key(json, S("connections"));
	json_write_u64(json, server_connections(server));
	json_write_key(json, S("memoryBytes"));
	json_write_u64(json, mem_used());
	json_write_key(json, S("checks"));
	write_checks(json, parts, store_well);
	json_write_object_end(json);
}

/* The text of a buffer, moved to the request's arena so that it outlives the handler. */
static int finish_text(struct req *req, struct buf *buf, int r, struct str *ret)
{
	struct str text;

	if (r == 0) {
		text = arena_str(&req->arena, buf_str(buf));
		r = text.at ? 0 : -(int)err_last()->code;
	}
	buf_done(buf);
	if (r == 0)
		*ret = text;
	return r;
}

static int answer_details(struct req *req, const struct parts *parts, bool store_well)
{
	bool works = server_ready(parts->server) && store_well;
	struct json_writer json;
	struct str text = { 0 };
	struct buf buf;
	int r;

	buf_init(&buf, 64 * KILOBYTE);
	json_writer_init(&json, &buf);
	write_health(&json, parts, store_well);
	r = finish_text(req, &buf, json_writer_done(&json), &text);
	return r < 0 ? r : reply_json(req, works ? 200 : 503, text);
}

static int health(struct req *req)
{
	const struct server *server = req_server(req);
	bool store_well = store_is_well(req), works = store_well && server_ready(server);
	struct parts parts;
	int r;

	parts_look(&parts, server);
	if (req_from_operator(req))
		r = answer_details(req, &parts, store_well);
	else if (works && !parts.all_well)
		r = answer_degraded(req);
	else
		r = answer_status(req, works);
	parts_done(&parts);
	return r;
}

/* Prometheus asks for OpenMetrics by name; everybody else gets the older text. */
static enum metric_format wanted_format(const struct req *req)
{
	struct str value;
	size_t at = 0;

	while (h1_each(&req->head, H1_ACCEPT, &at, &value))
		if (str_find(value, S("application/openmetrics-text")) >= 0)
			return METRIC_OPENMETRICS;
	return METRIC_TEXT;
}

static int metrics(struct req *req)
{
	enum metric_format format = wanted_format(req);
	struct str text = { 0 };
	struct buf buf;
	int r;

	buf_init(&buf, METRICS_MAX);
	r = finish_text(req, &buf, metric_write(&buf, format), &text);
	return r < 0 ? r : reply_send(req, 200, metric_content_type(format), text);
}

static int openapi(struct req *req)
{
	struct buf *text = req_text(req);
	struct json_writer json;
	int r;

	json_writer_init(&json, text);
	r = openapi_write(req_router(req), right_write, &req->arena, &json);
	if (r < 0)
		return r;
	r = json_writer_done(&json);
	if (r == 0)
		r = reply_header(req, S("access-control-allow-origin"), S("*"));
	return r < 0 ? r : reply_json(req, 200, buf_str(text));
}

#define PROBE(route_path, text, answer)                                                            \
	{                                                                                          \
		HTTP_GET, route_path, text, .run = answer, .place = ROUTE_ANYWHERE,                \
					    .need = RIGHT_PUBLIC, .limit = ROUTE_LIMIT_NONE,       \
					    .quiet = true                                          \
	}

static const struct route routes[] = {
	PROBE("/health", "How the server is", health),
	PROBE("/health/live", "Whether the process can make progress", live),
	PROBE("/health/ready", "Whether it may be sent requests now", ready),
	PROBE("/health/startup", "Whether it has started", startup),
	PROBE("/live", "Short form of /health/live", live),
	PROBE("/ready", "Short form of /health/ready", ready),
	{ HTTP_GET, "/openapi.json", "This document", .run = openapi, .place = ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/metrics", "Metrics for Prometheus", .run = metrics, .place = ROUTE_OPS,
		.need = RIGHT_PUBLIC, .limit = ROUTE_LIMIT_NONE, .quiet = true },
};

const struct module ops_module = {
	MODULE_HEAD,
	.name = "ops",
	.routes = routes,
	.route_count = LEN(routes),
};
