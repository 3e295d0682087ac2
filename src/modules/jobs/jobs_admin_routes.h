/* The routes of administration, which the module puts together. */
#ifndef JOBS_ADMIN_ROUTES_H
#define JOBS_ADMIN_ROUTES_H

#include "http/module.h"
#include "modules/jobs/jobs_admin.h"

enum { JOB_ADMIN_ROUTES = 11 };
extern const struct route job_admin_routes[JOB_ADMIN_ROUTES];

/* The tenant of the caller. -ERR_FORBIDDEN without one. */
int caller_tenant(struct req *req, struct uuid *ret);

#endif
