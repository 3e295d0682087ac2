/* Counters and histograms of the server. A series is looked up once per route and status, then
 * remembered in the route's entry. */
#include "http/metrics.h"

#include "base/err.h"

static struct metric_family *durations;
static const struct metric *counters[HTTP_COUNTERS_COUNT];
static const struct metric *connections;

/* The name is OpenTelemetry's http.server.request.duration, as Prometheus writes it. */
static const struct metric_def duration_def = {
	.name = "http_server_request_duration_seconds",
	.help = "Time from a complete request head to the answer.",
	.kind = METRIC_HISTOGRAM,
	.labels = { "http_request_method", "http_route", "http_response_status_code" },
	.bounds = metric_http_bounds,
	.bound_count = LEN(metric_http_bounds),
	.scale = SECOND,
	.max_series = 4000,
};

#define COUNTER_DEF(id, metric_name, text)                                                         \
	[HTTP_COUNTER_##id] = { .name = metric_name, .help = text, .kind = METRIC_COUNTER },
static const struct metric_def counter_defs[] = { HTTP_COUNTERS(COUNTER_DEF) };
#undef COUNTER_DEF

static const struct metric_def connections_def = {
	.name = "http_connections",
	.help = "Open connections.",
	.kind = METRIC_GAUGE,
};

int metrics_init(void)
{
	durations = metric_register(&duration_def);
	connections = metric_register_one(&connections_def);
	for (size_t i = 0; i < HTTP_COUNTERS_COUNT; i++) {
		counters[i] = metric_register_one(&counter_defs[i]);
		if (!counters[i])
			return -(int)err_last()->code;
	}
	return durations && connections ? 0 : -(int)err_last()->code;
}

static const struct metric *duration_of(struct router_entry *entry, int status)
{
	const struct metric *_Atomic *place = &entry->duration[http_status_slot(status)];
	const struct metric *metric = atomic_load_explicit(place, memory_order_acquire);
	char code[3] = { (char)('0' + status / 100), (char)('0' + status / 10 % 10),
		(char)('0' + status % 10) };

	struct str method;

	if (LIKELY(metric))
		return metric;

	/* An entry has one method, but for HEAD beside GET and for what matched no route: those are
	 * told apart by nobody, since a client could invent methods without end. */
	method = entry->route ? http_method_text(entry->route->method) : S("_OTHER");
	metric = metric_series(
		durations, (struct str[]){ method, entry->pattern, str_of(code, sizeof(code)) });
	atomic_store_explicit(place, metric, memory_order_release);
	return metric;
}

void metrics_request(struct router_entry *entry, int status, uint64_t took_ns)
{
	metric_observe(duration_of(entry, status), took_ns);
}

void metrics_count(enum http_counter counter)
{
	metric_count(counters[counter], 1);
}

void metrics_connections(int change)
{
	metric_gauge_add(connections, change);
}
