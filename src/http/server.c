/* Listeners and workers: who gets a new connection, and how everything comes to an end. */
#include "http/server.h"

#include "base/mem.h"
#include "http/conn.h"
#include "http/handler.h"
#include "http/metrics.h"
#include "http/module.h"
#include "observe/clock.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	OTHER_DESCRIPTORS = 64, /* files, epolls, log, database */
	FIBERS_MAX = 200000,    /* of one worker; each is an active request */
	COMPRESSORS_KEPT = 2,
	COMPRESSORS_MAX = 32,
};

/* --- set-up ------------------------------------------------------------- */

void server_fit_limits(struct server_limits *limits)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		files = (struct rlimit){ 1024, 1024 };
	if (files.rlim_cur < files.rlim_max) {
		struct rlimit most = { files.rlim_max, files.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &most) == 0)
			files = most;
	}

	size_t room = files.rlim_cur > 2 * OTHER_DESCRIPTORS ? files.rlim_cur - OTHER_DESCRIPTORS
							     : OTHER_DESCRIPTORS;

	if (limits->connections == 0 || limits->connections > room)
		limits->connections = room;
}

static struct site *next_site(struct server *server)
{
	CHECK(server->site_count < SERVER_SITES_MAX);
	return &server->sites[server->site_count];
}

static int add_site(struct server *server, struct tls_server *tls, enum route_place place)
{
	struct site *site = next_site(server);

	site->tls = tls;
	site->place = place;
	router_init(&site->router);
	server->site_count++;
	return 0;
}

int server_listen(struct server *server, const struct address *address, struct tls_server *tls,
	enum route_place place)
{
	int r = listener_open(&next_site(server)->listener, address);

	return r < 0 ? r : add_site(server, tls, place);
}

int server_adopt(struct server *server, int fd, struct tls_server *tls, enum route_place place)
{
	int r = listener_adopt(&next_site(server)->listener, fd);

	return r < 0 ? r : add_site(server, tls, place);
}

static int add_route(struct router *router, const struct route *route)
{
	int r = handler_check(route);

	if (r < 0)
		return err_wrap("route %s %s", http_method_text(route->method).at,
			route->path ? route->path : "");
	r = router_add(router, route);
	if (r < 0)
		handler_release(route);
	return r;
}

int server_add(struct server *server, const struct module *module)
{
	for (size_t i = 0; i < server->site_count; i++)
		for (size_t k = 0; k < module->route_count; k++) {
			const struct route *route = &module->routes[k];
			int r = 0;

			if (!route->place || route->place & server->sites[i].place)
				r = add_route(&server->sites[i].router, route);
			if (r < 0)
				return err_wrap("module %s", module->name);
		}
	return 0;
}

/* --- new connections ---------------------------------------------------- */

/* An accepted socket on its way to the worker that will have it. */
struct handover {
	struct message message;
	struct server_worker *to;
	struct site *site;
	struct address peer;
	int fd;
};

static void arrive(struct message *message)
{
	struct handover *handover = CONTAINER_OF(message, struct handover, message);
	struct handover copy = *handover;

	mem_free(handover, sizeof(*handover));
	conn_open(copy.to, copy.site, copy.fd, &copy.peer);
}

/* The worker with the fewest connections; this one among equals, and as long as others may not have
 * started. */
static struct server_worker *least_loaded(struct server_worker *here)
{
	struct server *server = here->server;
	struct server_worker *best = here;
	size_t least = atomic_load_explicit(&here->load, memory_order_relaxed);

	if (atomic_load(&server->accepting) == 0)
		return here;
	for (size_t i = 0; i < server->worker_count; i++) {
		size_t load = atomic_load_explicit(&server->workers[i].load, memory_order_relaxed);

		if (load < least) {
			least = load;
			best = &server->workers[i];
		}
	}
	return best;
}

/* Counts the connection in, unless a limit says no. conn_close counts it out. */
static bool admit(struct server *server, const struct address *peer)
{
	bool exempt = server_trusts(server, peer);

	if (atomic_fetch_add(&server->connections, 1) >= server->limits.connections ||
		(!exempt && peers_enter(&server->peers, peer,
				    server->limits.connections_per_address) < 0)) {
		atomic_fetch_sub(&server->connections, 1);
		metrics_count(HTTP_COUNTER_REFUSED);
		return false;
	}
	metrics_count(HTTP_COUNTER_ACCEPTED);
	metrics_connections(+1);
	return true;
}

static void accepted(struct acceptor *acceptor, int fd, const struct address *peer)
{
	struct server_worker *here = CONTAINER_OF(worker_here(), struct server_worker, worker);
	struct site *site = CONTAINER_OF(acceptor->listener, struct site, listener);
	struct server_worker *to;
	struct handover *handover;

	if (!admit(here->server, peer)) {
		(void)close(fd);
		return;
	}

	/* While workers are still being started, or come to their end, it stays here. */
	to = server_ready(here->server) ? least_loaded(here) : here;
	handover = to == here ? NULL : mem_alloc(sizeof(*handover));
	if (!handover)
		to = here; /* without memory for the hand-over it stays */
	atomic_fetch_add(&to->load, 1);
	if (to == here) {
		conn_open(here, site, fd, peer);
		return;
	}
	*handover = (struct handover){ { .deliver = arrive }, to, site, *peer, fd };
	worker_send(&to->worker, &handover->message);
}

/* --- workers ------------------------------------------------------------ */

static int start_on_thread(struct worker *worker)
{
	struct server_worker *self = CONTAINER_OF(worker, struct server_worker, worker);
	struct server *server = self->server;
	size_t started = 0;
	int r = 0;

	if (log_thread_attach(0) < 0 || span_thread_attach(0) < 0)
		r = -(int)err_last()->code;
	while (r == 0 && started < server->site_count) {
		struct acceptor *acceptor = &self->acceptors[started];

		acceptor->listener = &server->sites[started].listener;
		acceptor->on_accept = accepted;
		r = acceptor_start(acceptor, &worker->poller, &worker->sched.timers);
		started += r == 0;
	}
	if (r < 0) {
		while (started > 0)
			acceptor_stop(&self->acceptors[--started]);
		span_thread_detach();
		log_thread_detach();
	}
	return r;
}

static void stop_on_thread(struct worker *worker)
{
	struct server_worker *self = CONTAINER_OF(worker, struct server_worker, worker);
	struct conn *conn;

	for (size_t i = 0; i < self->server->site_count && !self->draining; i++)
		acceptor_stop(&self->acceptors[i]);
	LIST_EACH (conn, &self->conns, struct conn, link)
		conn_close(conn);
	exchange_free_all(self);
	compress_pool_done(&self->compress);
	span_thread_detach();
	log_thread_detach();
}

static void init_worker(struct server *server, size_t index)
{
	struct server_worker *self = &server->workers[index];

	self->server = server;
	self->worker = (struct worker){
		.index = (unsigned)index,
		.fiber_limit = FIBERS_MAX,
		.on_start = start_on_thread,
		.on_stop = stop_on_thread,
	};
	link_init(&self->conns);
	compress_pool_init(&self->compress, COMPRESSORS_KEPT, COMPRESSORS_MAX);
}

static void stop_workers(struct server *server, size_t count)
{
	for (size_t i = 0; i < count; i++)
		worker_stop(&server->workers[i].worker);
	for (size_t i = 0; i < count; i++)
		worker_join(&server->workers[i].worker);
	mem_free(server->workers, server->worker_count * sizeof(*server->workers));
	server->workers = NULL;
	server->worker_count = 0;
}

static bool is_proxy(const struct address *address, void *arg)
{
	return server_trusts(arg, address);
}

int server_start(struct server *server, size_t workers)
{
	CHECK(workers > 0 && workers <= SERVER_WORKERS_MAX && server->site_count > 0);

	if (metrics_init() < 0)
		return err_wrap("while registering metrics");
	server->workers = mem_zalloc(workers * sizeof(*server->workers));
	if (!server->workers)
		return -ERR_NO_MEMORY;

	atomic_store(&server->ended, false);
	atomic_store(&server->draining, false);
	server->trust.trusted = is_proxy;
	server->trust.arg = server;
	peers_init(&server->peers);
	(void)sem_init(&server->quiet, 0, 0);
	server->worker_count = workers;
	for (size_t i = 0; i < workers; i++)
		init_worker(server, i);
	for (size_t i = 0; i < workers; i++) {
		int r = worker_start(&server->workers[i].worker);

		if (r < 0) {
			struct err err = *err_last();

			stop_workers(server, i);
			(void)sem_destroy(&server->quiet);
			peers_done(&server->peers);
			return fail(err.code, "worker %zu: %s", i, err.frames[0].text);
		}
	}
	server->started_ns = clock_now_ns();
	atomic_store(&server->accepting, workers);
	atomic_store(&server->ready, true);
	return 0;
}

/* --- the end ------------------------------------------------------------ */

static void close_listeners(struct server *server)
{
	for (size_t i = 0; i < server->site_count; i++)
		listener_close(&server->sites[i].listener);
}

/* Closes the connections that rest; the others know that they are in their last request. */
static void drain_conns(struct server_worker *self)
{
	struct conn *conn;

	self->draining = true;
	LIST_EACH (conn, &self->conns, struct conn, link)
		conn_drain(conn);
}

static void drain_here(struct message *message)
{
	struct server_worker *self = CONTAINER_OF(message, struct server_worker, drain);
	bool paused = self->draining;

	self->draining = true;
	for (size_t i = 0; i < self->server->site_count && !paused; i++) {
		/* What is in the backlog came before the end: it is served, not reset. */
		acceptor_drain(&self->acceptors[i]);
		acceptor_stop(&self->acceptors[i]);
	}
	if (!paused && atomic_fetch_sub(&self->server->accepting, 1) == 1)
		close_listeners(self->server);
	drain_conns(self);
	(void)sem_post(&self->server->quiet);
}

void server_drain(struct server *server)
{
	atomic_store(&server->ready, false);
	atomic_store(&server->draining, true);
	if (atomic_exchange(&server->ended, true))
		return;
	for (size_t i = 0; i < server->worker_count; i++) {
		server->workers[i].drain.deliver = drain_here;
		worker_send(&server->workers[i].worker, &server->workers[i].drain);
	}
}

/* --- a pause ------------------------------------------------------------ */

static void wait_for_workers(struct server *server)
{
	for (size_t i = 0; i < server->worker_count; i++)
		while (sem_wait(&server->quiet) < 0 && errno == EINTR)
			;
}

static void tell_workers(struct server *server, void (*deliver)(struct message *))
{
	CHECK(!atomic_load(&server->ended));
	for (size_t i = 0; i < server->worker_count; i++) {
		server->workers[i].pause.deliver = deliver;
		worker_send(&server->workers[i].worker, &server->workers[i].pause);
	}
	wait_for_workers(server);
}

static void pause_here(struct message *message)
{
	struct server_worker *self = CONTAINER_OF(message, struct server_worker, pause);

	for (size_t i = 0; i < self->server->site_count; i++)
		acceptor_stop(&self->acceptors[i]);
	atomic_fetch_sub(&self->server->accepting, 1);
	drain_conns(self);
	(void)sem_post(&self->server->quiet);
}

void server_pause(struct server *server)
{
	atomic_store(&server->ready, false);
	atomic_store(&server->draining, true);
	tell_workers(server, pause_here);
}

static void resume_here(struct message *message)
{
	struct server_worker *self = CONTAINER_OF(message, struct server_worker, pause);

	self->draining = false;
	for (size_t i = 0; i < self->server->site_count; i++)
		acceptor_restart(&self->acceptors[i]);
	atomic_fetch_add(&self->server->accepting, 1);
	(void)sem_post(&self->server->quiet);
}

void server_resume(struct server *server)
{
	atomic_store(&server->draining, false);
	tell_workers(server, resume_here);
	atomic_store(&server->ready, true);
}

/* --- how it stands ------------------------------------------------------ */

bool server_ready(const struct server *server)
{
	return atomic_load_explicit(&server->ready, memory_order_relaxed);
}

void server_unready(struct server *server)
{
	atomic_store(&server->ready, false);
}

bool server_trusts(const struct server *server, const struct address *address)
{
	for (size_t i = 0; i < server->proxy_count; i++)
		if (network_has(&server->proxies[i], address))
			return true;
	return false;
}

bool server_drained(const struct server *server)
{
	/* In this order: what is still in the backlog is not counted yet. */
	return atomic_load(&server->accepting) == 0 && atomic_load(&server->connections) == 0;
}

size_t server_connections(const struct server *server)
{
	return atomic_load(&server->connections);
}

void server_stop(struct server *server)
{
	if (!server->workers)
		return;

	/* First nobody takes connections any more, or a worker could hand one over to another that
	 * has ended. */
	server_drain(server);
	wait_for_workers(server);
	stop_workers(server, server->worker_count);
	(void)sem_destroy(&server->quiet);
	peers_done(&server->peers);
}

static void release_routes(const struct router *router)
{
	for (const struct router_entry *entry = router->first; entry; entry = entry->next)
		handler_release(entry->route);
}

void server_done(struct server *server)
{
	close_listeners(server);
	for (size_t i = 0; i < server->site_count; i++) {
		release_routes(&server->sites[i].router);
		router_done(&server->sites[i].router);
	}
	server->site_count = 0;
}
