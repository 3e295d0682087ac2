/*
 * The HTTP server: listeners, worker threads, and the limits and clocks that every connection is
 * under. All of it is set up once; workers share only what is constant or atomic.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "http/caller.h"
#include "http/cors.h"
#include "http/forwarded.h"
#include "http/health.h"
#include "http/limiter.h"
#include "http/peers.h"
#include "http/router.h"
#include "loop/worker.h"
#include "net/listener.h"
#include "net/tls.h"

#include <semaphore.h>
#include <stdatomic.h>

/* None is infinite. Sizes in bytes, times in nanoseconds. */
struct server_limits {
	struct h1_limits head;
	size_t connections, connections_per_address;
	size_t requests_per_connection;
	uint64_t connection_age_ns;
	uint64_t handshake_ns, head_ns, idle_ns, handler_ns;
	uint64_t body_grace_ns;  /* a body may be slower than body_rate so long */
	uint64_t body_rate;      /* bytes a second, in both directions */
	uint64_t write_stall_ns; /* longest time a client may take nothing */
	size_t body;             /* of a route that says nothing else */
	size_t pipelined;        /* input taken while a request is in work */
	size_t response_queue;   /* output collected before a write must wait */
	size_t request_memory;   /* of one request's arena */
	size_t compress_from;    /* smallest body that is compressed */
};

/* A port: who listens there, and what it serves. */
struct site {
	struct listener listener;
	struct tls_server *tls; /* NULL: plain */
	struct router router;
	enum route_place place; /* the routes that are served here */
};

enum { SERVER_SITES_MAX = 2, SERVER_WORKERS_MAX = 256 };

/* The named limiters, in the order of doc/http.md. */
enum server_limiter {
	LIMITER_ADDRESS, /* everybody, before anything is known of them */
	LIMITER_GLOBAL,  /* who is nobody in particular, by address */
	LIMITER_AUTH,    /* tries to sign in, by address */
	LIMITER_API,     /* users and publishable keys */
	LIMITER_SERVER,  /* secret keys */
	LIMITER_TENANT,  /* all callers of a tenant together */
	SERVER_LIMITERS,
};

struct master_key;
struct module;
struct server_worker;
struct store;

struct server {
	struct server_limits limits;
	bool show_causes; /* a 5xx tells why: development only */
	struct site sites[SERVER_SITES_MAX];
	size_t site_count;
	struct server_worker *workers;
	size_t worker_count;
	struct hooks hooks; /* filled in by modules, before server_start */
	const struct health_check *checks[HEALTH_CHECKS_MAX]; /* of modules, likewise */
	size_t check_count;
	struct store *store;                 /* of the rows behind it; NULL: none. Not used here */
	const struct master_key *master_key; /* of the installation, for modules; NULL: none */
	const struct master_key *former_key; /* the one before, while it is changed; NULL: none */
	const struct module *const *modules; /* that are open; the owner's of the store */
	size_t module_count;
	struct limiter *limiters;      /* SERVER_LIMITERS of them, the caller's; NULL: none */
	const struct cors *cors;       /* the caller's; NULL: no other origin is let in */
	struct peers peers;            /* connections by address */
	const struct network *proxies; /* trusted ones; the caller's */
	size_t proxy_count;
	struct forwarded_trust trust; /* `family` is the caller's to set */
	_Atomic uint64_t
		guessed_ns; /* until then some address is refused for guessing credentials */
	_Atomic size_t connections;
	_Atomic size_t accepting; /* workers that do, once all have started; 0 before */
	uint64_t started_ns;
	atomic_bool ready;
	atomic_bool draining; /* every reply is its connection's last */
	atomic_bool ended;    /* server_drain was called */
	sem_t quiet; /* each worker posts it when it takes no connections any more, or again */
};

/* Fills in what the process allows: connections = 0 becomes what RLIMIT_NOFILE leaves, after
 * raising it. */
void server_fit_limits(struct server_limits *limits);

/* Opens a port that serves the routes of `place`. -ERR_IO with a sentence for people. */
int server_listen(struct server *server, const struct address *address, struct tls_server *tls,
	enum route_place place);

/* The same with a socket that listens already, taken over from another process; it is the server's
 * from now on, also when this fails. -ERR_INVALID. */
int server_adopt(struct server *server, int fd, struct tls_server *tls, enum route_place place);

/* Adds a module's routes to the ports they belong to. Errors of router_add. */
int server_add(struct server *server, const struct module *module);

/* Starts `workers` threads that serve all sites, and sets `ready`. Undoes itself on failure. Also
 * after server_pause and server_stop, which leave the listeners open. */
int server_start(struct server *server, size_t workers);

/* Takes what is in the backlog, closes the listeners and the idle connections, and lets every
 * running exchange be its connection's last. */
void server_drain(struct server *server);

/* As server_drain, but whoever waits in the backlog is left there, and the listeners stay open: for
 * another process that has them, too, or for server_resume. No worker accepts when it returns. */
void server_pause(struct server *server);

/* Accepts again after server_pause; connections that were told to end do so. */
void server_resume(struct server *server);

/* Whether requests are welcome: true from server_start until server_unready or server_drain. */
bool server_ready(const struct server *server);
void server_unready(struct server *server);

/* True for the address of a trusted proxy: its connections are those of many clients. */
bool server_trusts(const struct server *server, const struct address *address);

/* True once server_drain or server_pause has taken effect everywhere and no connection is left. */
bool server_drained(const struct server *server);

/* Connections that are open now. */
size_t server_connections(const struct server *server);

/* Cancels what still runs and ends the threads. */
void server_stop(struct server *server);

/* Closes the listeners and frees the rest; also after a failed start. */
void server_done(struct server *server);

#endif
