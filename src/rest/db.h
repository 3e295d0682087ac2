/*
 * The rows behind a request. What a handler gets here depends on who asks, so that the database
 * itself keeps tenants apart; whoever has no tenant, or not the right, gets a handle that refuses
 * everything (-ERR_FORBIDDEN).
 */
#ifndef REST_DB_H
#define REST_DB_H

#include "store/db.h"

#pragma GCC visibility push(default)

struct req;

/* The handle of the caller's tenant. What is read lives in the request's arena. */
struct db req_db(struct req *req);

/* The handle that crosses tenants, for operators: only on routes whose right begins with
 * "platform:". */
struct db req_system_db(struct req *req);

#pragma GCC visibility pop

#endif
