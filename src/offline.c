/* A server without ports, for as long as one command takes. */
#include "offline.h"

#include "backend.h"
#include "base/err.h"
#include "config.h"
#include "crypto/library.h"
#include "identity_config.h"
#include "master_key_file.h"

#include <errno.h>
#include <semaphore.h>
#include <sys/stat.h>

enum { FIBERS_MAX = 64 };

struct offline {
	const struct config *config;
	int claim; /* of the data folder */
	struct master_key key, former;
	struct module_list modules;
	struct server server;
};

/* --- open and close -------------------------------------------------------------------------- */

/* Where modules look for the routes that there are. */
static int add_routes(struct offline *offline)
{
	struct site *site = &offline->server.sites[0];

	router_init(&site->router);
	site->listener.fd = -1;
	site->place = ROUTE_ANYWHERE;
	offline->server.site_count = 1;
	return module_list_add(&offline->modules, &offline->server, false);
}

static int open_claimed(struct offline *offline)
{
	const struct config *config = offline->config;
	struct identity_site site = { .port = config->port, .tls = config->tls_cert_file.len > 0 };
	int r = master_key_load(config, &offline->key);

	if (r < 0)
		return r;
	offline->server.master_key = &offline->key;
	r = master_key_load_former(config, &offline->former);
	if (r > 0)
		offline->server.former_key = &offline->former;
	if (r >= 0)
		r = identity_configure(config, &site);
	if (r == 0)
		r = module_list_load(&offline->modules, config);
	if (r == 0)
		r = add_routes(offline);
	return r < 0 ? r : backend_open(config, &offline->modules, &offline->server);
}

static void close_all(struct offline *offline)
{
	backend_close(&offline->modules, &offline->server);
	server_done(&offline->server);
	module_list_done(&offline->modules);
	master_key_done(&offline->key);
	master_key_done(&offline->former);
	control_unclaim(offline->claim);
}

/* --- the command ---------------------------------------------------------- */

/* A command on its way to a fiber and back. */
struct errand {
	struct message message;
	command_fn *fn;
	const struct command_job *job;
	struct buf *out;
	int result;
	struct err err;
	sem_t done;
};

static int run_errand(void *arg)
{
	struct errand *errand = arg;

	errand->result = errand->fn(errand->job, errand->out);
	if (errand->result < 0)
		errand->err = *err_last();
	CHECK(sem_post(&errand->done) == 0);
	return 0;
}

static void start_errand(struct message *message)
{
	struct errand *errand = CONTAINER_OF(message, struct errand, message);

	errand->result = scope_spawn(&worker_here()->sched.root, run_errand, errand);
	if (errand->result < 0) {
		errand->err = *err_last();
		CHECK(sem_post(&errand->done) == 0);
	}
}

static int run_on_fiber(command_fn *fn, const struct command_job *job, struct buf *out)
{
	struct worker worker = { .fiber_limit = FIBERS_MAX };
	struct errand errand = {
		.message.deliver = start_errand, .fn = fn, .job = job, .out = out
	};
	int r = worker_start(&worker);

	if (r < 0)
		return r;
	CHECK(sem_init(&errand.done, 0, 0) == 0);
	worker_send(&worker, &errand.message);
	while (sem_wait(&errand.done) < 0)
		continue;
	worker_stop(&worker);
	worker_join(&worker);
	(void)sem_destroy(&errand.done);
	return errand.result < 0 ? err_restore(&errand.err) : errand.result;
}

int offline_run(command_fn *fn, const struct command_job *job, struct buf *out)
{
	struct offline offline = { .config = job->config, .claim = -1 };
	struct command_job here = *job;
	struct err err;
	int r;

	crypto_start();
	if (mkdir(job->config->data_dir.at, 0700) < 0 && errno != EEXIST)
		return fail(ERR_IO, "cannot make the data folder %s: %s", job->config->data_dir.at,
			err_errno_text(errno));
	r = control_claim(job->config->data_dir, &offline.claim);
	if (r < 0)
		return r;
	r = open_claimed(&offline);
	if (r == 0) {
		here.server = &offline.server;
		r = run_on_fiber(fn, &here, out);
	}
	err = *err_last();
	close_all(&offline);
	return r < 0 ? err_restore(&err) : r;
}
