/* Everything behind the requests: the database, and what the modules have there. */
#ifndef BACKEND_H
#define BACKEND_H

#include "config.h"
#include "http/server.h"
#include "module_list.h"

/* Brings the database up to date, opens it and the modules, and starts it. The modules know their
 * settings already. Undoes itself on failure; errors of what it opens, with a sentence for people.
 */
int backend_open(const struct config *config, struct module_list *modules, struct server *server);

/* Closes it; nothing may be left that uses it. Nothing happens when it is not open. */
void backend_close(struct module_list *modules, struct server *server);

#endif
