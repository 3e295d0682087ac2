/* The whole program in order: what is opened, what serves, what is closed. */
#ifndef APP_H
#define APP_H

#include "config.h"
#include "crypto/master_key.h"
#include "gates.h"
#include "handover.h"
#include "housekeeping.h"
#include "http/server.h"
#include "module_list.h"

struct app {
	const struct config *config; /* the caller's */
	struct server server;
	struct tls_server tls;
	bool over_tls;           /* tls is open */
	struct network *proxies; /* trusted ones */
	size_t proxy_count;
	struct gates gates;
	struct master_key master_key, former_key; /* what the server's refer to */
	struct module_list modules;
	size_t worker_count;
	int claim;                     /* of the data folder; -1: none */
	struct handover predecessor;   /* the server that this one takes over from */
	struct control_wire successor; /* the server that takes over from this one, */
	atomic_bool handing_over;      /* if there is one */
	struct housekeeping housekeeping;
};

/* Opens everything and serves. With `replace` it takes over from the server that runs on the data
 * folder, if there is one (handover.h); without it, another server there is an error. Undoes itself
 * on failure; the error slot has a sentence for people. */
int app_open(struct app *app, const struct config *config, bool replace);

/*
 * Serves until SIGTERM or SIGINT, then drains: readiness fails first, the listeners close, running
 * requests end within SHUTDOWN_TIMEOUT. A second signal ends the process at once. SIGHUP reloads
 * certificates and reopens the log. Also ends when a new server has taken over. Negative when it
 * could not go on after a new server had failed to.
 */
int app_run(struct app *app);

void app_close(struct app *app);

#endif
