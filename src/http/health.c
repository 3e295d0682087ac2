/* What modules say of themselves, for /health. */
#include "http/health.h"

#include "base/err.h"
#include "http/server.h"

int server_add_check(struct server *server, const struct health_check *check)
{
	if (server->check_count == HEALTH_CHECKS_MAX)
		return fail(ERR_FULL, "more than %d parts have checks of health",
			(int)HEALTH_CHECKS_MAX);
	server->checks[server->check_count++] = check;
	return 0;
}
