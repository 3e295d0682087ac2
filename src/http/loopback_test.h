/*
 * The whole server in a test, without a port: connections over pipes in memory, one worker on the
 * test's own thread and a virtual clock. The same scenario can run over sockets, too. A scenario is
 * a function that opens clients and talks through them as straight-line code; time jumps from
 * deadline to deadline while everybody waits.
 */
#ifndef HTTP_LOOPBACK_TEST_H
#define HTTP_LOOPBACK_TEST_H

#include "http/conn.h"
#include "net/pipe.h"

enum loopback_way {
	LOOPBACK_WHOLE,    /* pipes that move what there is */
	LOOPBACK_CHOPPED,  /* pipes that move one byte at a time */
	LOOPBACK_SHUFFLED, /* fibers run in a random order, pipes move a few bytes */
	LOOPBACK_POLLED,   /* socket pairs and epoll, still one thread and the virtual clock */
	LOOPBACK_TCP,      /* threads, a port, a blocking client and the real clock */
	LOOPBACK_WAYS,
};

#define LOOPBACK_VIRTUAL LOOPBACK_TCP /* the ways before it have the virtual clock */

struct loopback;

struct loopback_options {
	enum loopback_way way;
	uint64_t seed;                      /* LOOPBACK_SHUFFLED; not 0 */
	const struct server_limits *limits; /* NULL: loopback_limits */
	bool show_causes;
	size_t fail_memory, fail_syscall;                 /* the Nth of them fails; 0: none */
	const struct module *module;                      /* besides loopback_module; NULL: none */
	void (*set_up)(struct server *server, void *arg); /* before it starts; NULL: nothing */
};

/* Small ones, so that a test can reach them. */
extern const struct server_limits loopback_limits;

/* Runs a scenario against a new server and takes the server down again: notes a failure when
 * anything is left over. True when a fault has struck. */
bool loopback_run(const struct loopback_options *options,
	void (*scenario)(struct loopback *, void *arg), void *arg);

/* The same with these options (but way and seed) in all ways before `ways`. */
void loopback_run_ways(const struct loopback_options *options, enum loopback_way ways,
	void (*scenario)(struct loopback *, void *arg), void *arg);

/* The same in all ways, with the options that are 0. */
void loopback_run_all(void (*scenario)(struct loopback *, void *arg), void *arg);

/* The server; in the ways with the virtual clock, its only worker. */
struct server *loopback_server(struct loopback *net);
struct server_worker *loopback_worker(struct loopback *net);
enum loopback_way loopback_way(const struct loopback *net);

/* Lets the server get on with what it has: a moment of (virtual or real) time. */
void loopback_pause(struct loopback *net);

/* Seconds of virtual time since the scenario began, with fractions. */
double loopback_time(const struct loopback *net);
void loopback_sleep(double seconds);

/* --- clients ------------------------------------------------------------ */

struct client;

/* A new connection. NULL only when a fault struck. Lives until the end of the run. */
struct client *client_open(struct loopback *net);

/* Sends all; false when the server would not take it. */
bool client_send(struct client *client, struct str text);

/* Sends while the caller goes on reading: for more than fits on the way, both ways. The text must
 * stay. Over TCP the kernel's buffers must do. */
void client_send_aside(struct client *client, struct str text);

/* Says that nothing more will come. */
void client_end(struct client *client);

/* Goes away. */
void client_close(struct client *client);

/* Reads at least one byte more; false at the end. */
bool client_fill(struct client *client);

/* What was read and not used up, and using it up. */
struct str client_unread(const struct client *client);
void client_use(struct client *client, size_t count);

/* True when the server closes without another byte. */
bool client_is_closed(struct client *client);

struct response {
	int status;      /* 0: the connection ended before one came */
	bool cut;        /* it ended in the middle */
	struct str head; /* of the response; status line and fields */
	struct str body; /* without the transfer coding */
};

/* Reads one response, informational ones included; `bodyless` after HEAD. It lives until the next
 * call. What is malformed is noted as a failure. */
struct response client_response(struct client *client, bool bodyless);

/* Value of a header field; .at is NULL without one. Lower case. */
struct str response_header(const struct response *response, struct str name);

/* --- the module that is served (loopback_routes_test.c) ----------------- */

extern const struct module loopback_module;

enum { LOOPBACK_LARGE = 1024 * 1024 };

/* Body of /large: LOOPBACK_LARGE bytes. Made by loopback_fill_large. */
extern char loopback_large[LOOPBACK_LARGE];
/* Body of /text: JSON. */
extern struct str loopback_text;
void loopback_make_bodies(void);

/* What the last waiting handler got. */
extern _Atomic int loopback_wait_result;

#endif
