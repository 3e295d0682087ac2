/*
 * Workers in any language: the protocol by which they take jobs over HTTP and say what became of
 * them (doc/jobs.md, "Workers"). A module of its own beside jobs_module, after which it is opened.
 */
#ifndef JOBS_WORKER_H
#define JOBS_WORKER_H

#include "http/module.h"

/* Jobs that are sent to addresses of queues. */
struct push_options {
	bool work;           /* this instance sends (ROLES) */
	bool allow_private;  /* JOBS_PUSH_PRIVATE: also to addresses that are not public */
	uint64_t stop_ns;    /* what is under way may take so long at the end; 0: 10 s */
	const char *ca_file; /* JOBS_PUSH_CA_FILE; NULL: the system's authorities */
};

/* Before the module is opened. Copied; ca_file lives as long as the module. */
void push_configure(const struct push_options *given);

extern const struct module job_workers_module;

#endif
