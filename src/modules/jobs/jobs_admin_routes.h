/* The routes of administration, which the module puts together. */
#ifndef JOBS_ADMIN_ROUTES_H
#define JOBS_ADMIN_ROUTES_H

#include "http/module.h"
#include "modules/jobs/jobs_admin.h"

enum { JOB_ADMIN_ROUTES = 11, JOB_QUEUE_ROUTES = 16 };
extern const struct route job_admin_routes[JOB_ADMIN_ROUTES];
extern const struct route job_queue_routes[JOB_QUEUE_ROUTES];

/* Where a page of a list begins whose statement is not in sight of the handler. */
struct page_key {
	struct str after_id, after_name;
};
extern const struct schema page_key_schema;

/* The tenant of the caller. -ERR_FORBIDDEN without one. */
int caller_tenant(struct req *req, struct uuid *ret);

#endif
