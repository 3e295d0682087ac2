/*
 * Workers in any language: the protocol by which they take jobs over HTTP and say what became of
 * them (doc/jobs.md, "Workers"). A module of its own beside jobs_module, after which it is opened.
 */
#ifndef JOBS_WORKER_H
#define JOBS_WORKER_H

#include "http/module.h"

extern const struct module job_workers_module;

#endif
