/* What the server counts about itself. Internal to this folder. */
#ifndef HTTP_METRICS_H
#define HTTP_METRICS_H

#include "http/router.h"
#include "observe/metric.h"

/* Registers the families; once per process, before the first connection. */
int metrics_init(void);

/* A request was answered. */
void metrics_request(struct router_entry *entry, int status, uint64_t took_ns);

/* X(enumerator, name, help) */
#define HTTP_COUNTERS(X)                                                                           \
	X(ACCEPTED, "http_connections_accepted_total", "Connections taken.")                       \
	X(REFUSED, "http_connections_refused_total",                                               \
		"Connections closed at once, because a limit was reached.")

#define HTTP_COUNTER_ENUM(id, name, help) HTTP_COUNTER_##id,
enum http_counter { HTTP_COUNTERS(HTTP_COUNTER_ENUM) HTTP_COUNTERS_COUNT };
#undef HTTP_COUNTER_ENUM

void metrics_count(enum http_counter counter);

/* Connections that are open: +1, -1. */
void metrics_connections(int change);

#endif
