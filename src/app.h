/* The whole program in order: what is opened, what serves, what is closed. */
#ifndef APP_H
#define APP_H

#include "config.h"
#include "gates.h"
#include "http/server.h"
#include "module_file.h"

struct app {
	const struct config *config; /* the caller's */
	struct server server;
	struct tls_server tls;
	bool over_tls;           /* tls is open */
	struct network *proxies; /* trusted ones */
	size_t proxy_count;
	struct gates gates;
	struct module_file *files; /* of config->modules, as many as were asked for */
};

/* Opens everything and serves. Undoes itself on failure; the error slot has a sentence for people.
 */
int app_open(struct app *app, const struct config *config);

/* Serves until SIGTERM or SIGINT, then drains: readiness fails first, the listeners close, running
 * requests end within SHUTDOWN_TIMEOUT. A second signal ends the process at once. SIGHUP reloads
 * certificates and reopens the log. */
void app_run(struct app *app);

void app_close(struct app *app);

#endif
