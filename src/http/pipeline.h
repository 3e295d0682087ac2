/*
 * The stages between the head of a request and its handler, in one order for all routes:
 *
 *     CORS, body limit, limiter by address, identity, rights, limiter by caller, repeated requests,
 *     validation, handler
 *
 * Before them come request id, trace and access log (exchange.c), behind them security headers and
 * the error shape (reply.c). Which stages a route has follows from its line in the table, once,
 * when it is added: a request walks an array. Internal to this folder.
 */
#ifndef HTTP_PIPELINE_H
#define HTTP_PIPELINE_H

#include "http/router.h"

/* A stage: 0 to go on, 1 when the request is answered, or a negative code. */
struct stage {
	const char *name;
	bool (*wanted)(
		const struct route *); /* NULL: always. The route is NULL for what matched none */
	int (*run)(struct req *);
};

/* Writes the stages of a route (NULL: of what matched none) in their order; returns their number.
 */
size_t pipeline_of(const struct route *route, const struct stage *ret[STAGES_MAX]);

/* Runs the stages of the request's entry, the handler last. 0 when it is answered, or a negative
 * code. */
int pipeline_run(struct req *req);

#endif
