/*
 * How the parts of the program are, for /health: what a module knows of itself beyond whether the
 * server runs and the store answers. A part that is not well makes the answer "degraded"; requests
 * are served all the same, so it is no reason to send them elsewhere.
 */
#ifndef HTTP_HEALTH_H
#define HTTP_HEALTH_H

#include "base/buf.h"

#include <stdbool.h>

struct server;

enum {
	HEALTH_CHECKS_MAX = 16,
	HEALTH_WHY_MAX = 2000, /* bytes of what a check says; the rest is cut off */
};

/* A part. Static. */
struct health_check {
	const char *name; /* among the checks of the answer: "jobs" */
	/* Whether it is well; if not, sentences for operators go to `why`. Any thread; must neither
	 * wait nor ask the store. */
	bool (*is_well)(struct buf *why);
};

/* Adds a check, before anything is served. -ERR_FULL. */
int server_add_check(struct server *server, const struct health_check *check);

#endif
