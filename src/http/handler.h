/* Typed handlers: from the parts of a request into a struct, and from a struct into an answer.
 * Internal to this folder. */
#ifndef HTTP_HANDLER_H
#define HTTP_HANDLER_H

#include "http/request.h"

/*
 * Whether a route can be served as its line says: one handler, its structs those of the schemas,
 * all its errors declared, a right. -ERR_INVALID with a sentence. Compiles the schemas;
 * handler_release gives them back.
 */
int handler_check(const struct route *route);
void handler_release(const struct route *route);

/* Stage: decodes path, query, headers and body into the handler's input; all problems at once. */
bool handler_takes_input(const struct route *route);
int handler_decode(struct req *req);

/* Stage: runs the handler in a scope of its own and answers with what it made. */
int handler_run(struct req *req);

#endif
