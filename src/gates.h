/* What stands at the door of the API, made from the configuration: limiters and CORS. */
#ifndef GATES_H
#define GATES_H

#include "config.h"
#include "http/server.h"

struct gates {
	struct limiter limiters[SERVER_LIMITERS];
	struct cors cors;
};

/* Makes them and puts them into the server. -ERR_INVALID with a sentence for people,
 * -ERR_NO_MEMORY; gates_close in any case. */
int gates_open(struct gates *gates, const struct config *config, struct server *server);

/* Also what is zero. After server_stop. */
void gates_close(struct gates *gates);

#endif
