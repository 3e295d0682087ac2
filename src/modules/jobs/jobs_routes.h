/* The routes that add jobs and set schemas; for the module. */
#ifndef JOBS_ROUTES_H
#define JOBS_ROUTES_H

#include "http/route.h"

enum { JOB_ROUTES = 6 };
extern const struct route job_routes[JOB_ROUTES];

#endif
