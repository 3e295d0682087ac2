/* Start, stop, and a new server that takes over. */
#include "app.h"

#include "backend.h"
#include "base/mem.h"
#include "base/version.h"
#include "crypto/library.h"
#include "http/request.h"
#include "identity_config.h"
#include "jobs_config.h"
#include "loop/signals.h"
#include "master_key_file.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* How often a changed certificate is looked for. */
#define CERTIFICATE_CHECK (10 * SECOND)

/* How long a new server may take to open and migrate the store. */
#define SUCCESSOR_TIME (10 * MINUTE)

/* How long it is tried to go on after a new server has gone. */
#define GO_ON_TIME (10 * SECOND)

/* How long the end of the log may take. */
#define LOG_CLOSE_TIME (2 * SECOND)

/* --- parts of the start ------------------------------------------------- */

static int open_log(const struct config *config)
{
	static const enum log_level levels[] = { [CONFIG_LOG_TRACE] = LOG_TRACE,
		[CONFIG_LOG_DEBUG] = LOG_DEBUG,
		[CONFIG_LOG_INFO] = LOG_INFO,
		[CONFIG_LOG_WARN] = LOG_WARN,
		[CONFIG_LOG_ERROR] = LOG_ERROR };
	static const enum log_format formats[] = { [CONFIG_LOG_AUTO] = LOG_AUTO,
		[CONFIG_LOG_JSON] = LOG_JSON,
		[CONFIG_LOG_PRETTY] = LOG_PRETTY };
	struct log_options options = {
		.level = levels[config->log_level],
		.format = formats[config->log_format],
		.fd = STDOUT_FILENO,
		.rotate_bytes = config->log_file_max_size,
		.keep_files = config->log_file_keep,
		.keep_days = (size_t)(config->log_file_max_age / (24 * HOUR)),
	};
	struct str file = config->log_file;
	ptrdiff_t slash = -1;

	for (size_t i = 0; i < file.len; i++)
		if (file.at[i] == '/')
			slash = (ptrdiff_t)i;
	if (file.len) {
		options.folder = slash < 0 ? S(".") : str_first(file, slash ? (size_t)slash : 1);
		options.name = str_from(file, (size_t)(slash + 1));
		if (str_ends(options.name, S(".log")))
			options.name.len -= 4;
	}
	return log_open(&options);
}

/* The folder must be there (its last part is made) and be ours to write. */
static int open_data_folder(const struct config *config)
{
	const char *path = config->data_dir.at;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail(
			ERR_IO, "cannot make the data folder %s: %s", path, err_errno_text(errno));

	/* faccessat asks about the right; opening for writing also finds a read-only file system.
	 */
	int fd = open(path, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0 &&
		errno == EOPNOTSUPP) /* a file system without nameless files: the right must do */
		fd = faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0
			     ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			     : -1;
	if (fd < 0)
		return fail(ERR_IO, "cannot write to the data folder %s: %s", path,
			err_errno_text(errno));
	(void)close(fd);
	return 0;
}

static void limit_memory(const struct config *config)
{
	struct sysinfo info;
	size_t limit = config->memory_limit;

	if (limit == 0 && sysinfo(&info) == 0)
		limit = (size_t)info.totalram * info.mem_unit / 2;
	mem_limit(limit);
}

static struct server_limits limits_of(const struct config *config)
{
	return (struct server_limits){
		.head = {
			.line = config->http_max_line,
			.field = config->http_max_line,
			.head = config->http_max_head,
			.fields = config->http_max_fields,
			.body = UINT64_MAX / 2, /* the route's own limit is the smaller one */
		},
		.connections = config->http_max_connections,
		.connections_per_address = config->http_max_connections_per_address,
		.requests_per_connection = config->http_max_requests_per_connection,
		.connection_age_ns = config->http_max_connection_age,
		.handshake_ns = config->tls_handshake_timeout,
		.head_ns = config->http_head_timeout,
		.idle_ns = config->http_idle_timeout,
		.handler_ns = config->http_handler_timeout,
		.body_grace_ns = config->http_body_grace,
		.body_rate = config->http_body_min_rate,
		.write_stall_ns = config->http_write_stall_timeout,
		.body = config->http_max_body,
		.pipelined = config->http_max_pipelined,
		.response_queue = config->http_max_response_queue,
		.request_memory = config->request_memory_limit,
		.compress_from = config->http_compression_min,
	};
}

static int open_metrics(void)
{
	static const struct metric_def build = {
		.name = "bulkhead_build_info",
		.help = "The version that runs.",
		.kind = METRIC_INFO,
		.labels = { "version" },
	};
	struct str version = S(BULKHEAD_VERSION);

	if (metric_info(&build, &version) < 0 || metric_register_process() < 0 ||
		log_metrics_register() < 0 || housekeeping_metrics() < 0)
		return -(int)err_last()->code;
	return 0;
}

/* --- TLS ---------------------------------------------------------------- */

static void say_warning(const struct tls_certificate *certificate)
{
	if (certificate->warning[0])
		log_warn("certificate", LOG_STR("warning", str_from_c(certificate->warning)));
}

static int open_tls(struct app *app)
{
	static const struct str protocols[] = { S_INIT("http/1.1") };
	const struct config *config = app->config;
	struct tls_server_options options = {
		.certificate_file = config->tls_cert_file.at,
		.key_file = config->tls_key_file.at,
		.alpn = protocols,
		.alpn_count = LEN(protocols),
		.only_tls13 = config->tls_min_version == CONFIG_TLS_1_3,
	};
	struct tls_certificate certificate;
	int r;

	if (!config->tls_cert_file.len)
		return 0;

	r = tls_server_open(&app->tls, &options, &certificate);
	if (r < 0)
		return r;
	app->over_tls = true;
	say_warning(&certificate);
	return 0;
}

/* Takes a new certificate over; a bad one leaves the old one in use. */
static void reload_tls(struct app *app)
{
	struct tls_certificate certificate;

	if (tls_server_reload(&app->tls, &certificate) < 0) {
		log_error("the certificate was not reloaded", LOG_ERR);
		return;
	}
	log_info("certificate reloaded");
	say_warning(&certificate);
}

/* --- trusted proxies ---------------------------------------------------- */

static struct network network_of(const struct config_cidr *cidr)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct network network = { 0 };

	if (cidr->bits >= 96 && memcmp(cidr->address, mapped, sizeof(mapped)) == 0) {
		network.address.v4.sin_family = AF_INET;
		network.address.len = sizeof(network.address.v4);
		memcpy(&network.address.v4.sin_addr, cidr->address + 12, 4);
		network.prefix = cidr->bits - 96u;
	} else {
		network.address.v6.sin6_family = AF_INET6;
		network.address.len = sizeof(network.address.v6);
		memcpy(&network.address.v6.sin6_addr, cidr->address, 16);
		network.prefix = cidr->bits;
	}
	return network;
}

static int trust_proxies(struct app *app)
{
	const struct config_cidrs *list = &app->config->trusted_proxies;

	if (list->count == 0)
		return 0;
	app->proxies = mem_alloc(list->count * sizeof(*app->proxies));
	if (!app->proxies)
		return -ERR_NO_MEMORY;

	app->proxy_count = list->count;
	for (size_t i = 0; i < list->count; i++)
		app->proxies[i] = network_of(&list->at[i]);
	app->server.proxies = app->proxies;
	app->server.proxy_count = app->proxy_count;
	return 0;
}

/* --- ports -------------------------------------------------------------- */

static int listen_at(struct app *app, struct str host, uint16_t port, struct tls_server *tls,
	enum route_place place)
{
	struct address address;
	int fd, r;

	if (host.len == 0)
		host = S("::");
	if (str_eq(host, S("localhost")))
		host = S("127.0.0.1");
	r = address_parse(host, port, &address);
	if (r < 0)
		return r;

	/* In a hand-over the socket is there already, with whoever waits in its backlog. */
	fd = handover_take(&app->predecessor, app->server.site_count, &address);
	return fd < 0 ? server_listen(&app->server, &address, tls, place)
		      : server_adopt(&app->server, fd, tls, place);
}

static int open_ports(struct app *app)
{
	const struct config *config = app->config;
	bool one_port = config->app_env == APP_DEVELOPMENT;
	int r = listen_at(app, config->host, config->port, app->over_tls ? &app->tls : NULL,
		one_port ? ROUTE_ANYWHERE : ROUTE_PUBLIC);

	if (r < 0 || one_port)
		return r;
	return listen_at(app, config->ops_listen.host, config->ops_listen.port, NULL, ROUTE_OPS);
}

static void say_where(const struct app *app)
{
	for (size_t i = 0; i < app->server.site_count; i++) {
		const struct site *site = &app->server.sites[i];
		char text[ADDRESS_TEXT_MAX + 8];
		const char *scheme = site->tls ? "https" : "http";
		size_t len = strlen(scheme);

		memcpy(text, scheme, len);
		memcpy(text + len, "://", 3);
		len += 3;
		len += address_write(&site->listener.address, text + len);
		log_info("listening", LOG_STR("url", str_of(text, len)),
			LOG_STR("serves", site->place == ROUTE_OPS ? S("operators") : S("public")));
	}
}

/* --- the data folder ---------------------------------------------------- */

/* One server at a time; with `replace` the one that runs is asked to make room, later. */
static int claim_folder(struct app *app, bool replace)
{
	struct str folder = app->config->data_dir;
	int r = control_claim(folder, &app->claim);

	if (r != -ERR_CONFLICT)
		return r;
	if (!replace)
		return err_wrap("only `bulkhead serve --replace` can start now");

	r = handover_ask(folder, &app->predecessor);
	/* It has the folder, but no socket: it is about to end. */
	return r == -ERR_NOT_FOUND ? handover_reclaim(folder, &app->claim) : r;
}

static void release_folder(struct app *app)
{
	control_unclaim(app->claim);
	app->claim = -1;
}

/* --- open, run, close --------------------------------------------------- */

static void close_server(struct app *app)
{
	server_done(&app->server);
	gates_close(&app->gates);
	mem_free(app->proxies, app->proxy_count * sizeof(*app->proxies));
	if (app->over_tls)
		tls_server_done(&app->tls);
}

/* Everything but the store and what needs it: what a new server does while the old one serves. */
static int open_server(struct app *app)
{
	size_t workers = app->config->workers;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int r;

	app->server.limits = limits_of(app->config);
	app->server.trust.family =
		app->config->forwarded_header == CONFIG_RFC7239 ? FORWARDED_RFC7239 : FORWARDED_X;
	app->server.show_causes = app->config->app_env == APP_DEVELOPMENT;
	server_fit_limits(&app->server.limits);
	if (workers == 0)
		workers = cores > 0 ? MIN((size_t)cores, (size_t)SERVER_WORKERS_MAX) : 1;
	app->worker_count = workers;

	r = open_tls(app);
	if (r == 0)
		r = trust_proxies(app);
	if (r == 0)
		r = gates_open(&app->gates, app->config, &app->server);
	if (r == 0)
		r = open_ports(app);
	if (r == 0)
		r = module_list_add(
			&app->modules, &app->server, !(roles_of(app->config) & ROLE_API));
	if (r < 0)
		close_server(app);
	return r;
}

static size_t copy_sockets(void *arg, int *ret_fds)
{
	const struct app *app = arg;

	for (size_t i = 0; i < app->server.site_count; i++)
		ret_fds[i] = app->server.sites[i].listener.fd;
	return app->server.site_count;
}

/* On the thread for housekeeping: hands the new server on to the main thread. */
static int meet_successor(void *arg, int fd)
{
	struct app *app = arg;

	if (atomic_load(&app->handing_over))
		return fail(ERR_CONFLICT, "another new server takes over already");
	control_wire_open(&app->successor, fd);
	atomic_store(&app->handing_over, true);
	signals_wake();
	return 0;
}

static int start_housekeeping(struct app *app)
{
	struct housekeeping_options options = {
		.config = app->config,
		.backups = store_is_sqlite(app->server.store),
		.modules = &app->modules,
		.server = &app->server,
		.sockets = copy_sockets,
		.hand_over = meet_successor,
		.arg = app,
	};

	return housekeeping_start(&app->housekeeping, &options);
}

/* From a claimed folder and open ports to a server that serves; undoes itself on failure. */
static int serve(struct app *app)
{
	struct err err;
	int r = backend_open(app->config, &app->modules, &app->server);

	if (r < 0)
		return r;
	r = server_start(&app->server, app->worker_count);
	if (r == 0)
		r = start_housekeeping(app);
	if (r == 0)
		return 0;

	err = *err_last();
	if (app->server.workers)
		server_pause(&app->server); /* the backlog is not ours to send away */
	server_stop(&app->server);
	backend_close(&app->modules, &app->server);
	return err_restore(&err);
}

/* What the modules of identity want to know before they are opened. */
static int open_identity(struct app *app)
{
	struct identity_site site = {
		.port = address_port(&app->server.sites[0].listener.address),
		.tls = app->over_tls,
	};
	int r = master_key_load(app->config, &app->master_key);

	if (r < 0)
		return r;
	app->server.master_key = &app->master_key;
	r = master_key_load_former(app->config, &app->former_key);
	if (r < 0)
		return r;
	app->server.former_key = r > 0 ? &app->former_key : NULL;
	jobs_config_apply(app->config);
	return identity_configure(app->config, &site);
}

static void close_identity(struct app *app)
{
	app->server.master_key = app->server.former_key = NULL;
	master_key_done(&app->master_key);
	master_key_done(&app->former_key);
}

/* All that comes after the log is open. */
static int open_rest(struct app *app)
{
	int r = open_metrics();

	if (r == 0)
		r = module_list_load(&app->modules, app->config);
	if (r == 0)
		r = open_server(app);
	if (r < 0)
		return r;

	if (app->predecessor.open) {
		log_info("taking over", LOG_INT("fromPid", app->predecessor.pid));
		r = handover_claim(&app->predecessor, app->config->data_dir, &app->claim);
	}
	if (r == 0)
		r = open_identity(app);
	if (r == 0)
		r = serve(app);
	if (r < 0) {
		struct err err = *err_last();

		close_identity(app);
		close_server(app);
		return err_restore(&err);
	}
	return 0;
}

static int open_claimed(struct app *app)
{
	struct err err;
	int r = open_log(app->config);

	if (r < 0)
		return r;
	signals_on_crash(log_crash_flush);
	r = open_rest(app);
	if (r == 0)
		return 0;

	err = *err_last();
	(void)log_close(clock_now_ns() + LOG_CLOSE_TIME);
	module_list_done(&app->modules);
	return err_restore(&err);
}

int app_open(struct app *app, const struct config *config, bool replace)
{
	int r;

	*app = (struct app){ .config = config, .claim = -1 };
	signals_block();
	crypto_start();
	limit_memory(config);

	r = open_data_folder(config);
	if (r == 0)
		r = claim_folder(app, replace);
	if (r < 0)
		return r;
	r = open_claimed(app);
	if (r < 0) {
		struct err err = *err_last();

		release_folder(app);
		handover_close(&app->predecessor, false);
		return err_restore(&err);
	}
	say_where(app);
	handover_close(&app->predecessor, true);
	return 0;
}

_Noreturn static void die_at_once(void)
{
	log_warn("stopped at once by a second signal");
	(void)log_close(clock_now_ns() + SECOND / 4);
	_exit(1);
}

static bool is_drained(const struct app *app)
{
	return server_drained(&app->server);
}

/* Jobs that run may take their time, too. */
static bool is_kept(const struct app *app)
{
	return housekeeping_done(&app->housekeeping);
}

/* Waits until `deadline_ns`, or until something is over; a second request to stop ends the process.
 */
static void wait_or_die(
	struct app *app, uint64_t deadline_ns, bool (*is_over)(const struct app *app))
{
	for (;;) {
		uint64_t now = clock_now_ns();
		int number;

		if (now >= deadline_ns || (is_over && is_over(app)))
			return;
		number = signals_wait(MIN(deadline_ns, now + 10 * MILLISECOND));
		if (number == SIGTERM || number == SIGINT)
			die_at_once();
	}
}

static void say_cut_off(struct app *app)
{
	size_t left = server_connections(&app->server);

	if (left > 0)
		log_warn("connections were cut off at the end", LOG_U64("count", left));
}

static void forget_successor(struct app *app)
{
	if (atomic_load(&app->handing_over))
		control_wire_close(&app->successor);
	atomic_store(&app->handing_over, false);
}

static void shut_down(struct app *app)
{
	const struct config *config = app->config;

	server_unready(&app->server);
	log_info("shutting down", LOG_MS("delayMs", config->shutdown_delay),
		LOG_MS("timeoutMs", config->shutdown_timeout));
	housekeeping_stop_begin(&app->housekeeping);
	wait_or_die(app, clock_now_ns() + config->shutdown_delay, NULL);

	server_drain(&app->server);
	wait_or_die(app, clock_now_ns() + config->shutdown_timeout, is_drained);
	say_cut_off(app);
	wait_or_die(app, TIME_NEVER, is_kept);
	housekeeping_stop(&app->housekeeping);
	forget_successor(app); /* it came too late */
}

/* --- a new server takes over -------------------------------------------- */

/* Waits until what runs has ended, or must. False when the new server has gone meanwhile. */
static bool drain_for_successor(struct app *app)
{
	uint64_t deadline = clock_now_ns() + app->config->shutdown_timeout;
	size_t stops = 0;

	while (!server_drained(&app->server) && clock_now_ns() < deadline) {
		int number = signals_wait(clock_now_ns() + 10 * MILLISECOND);

		/* The first is no news: it ends soon anyway. */
		if ((number == SIGTERM || number == SIGINT) && ++stops > 1)
			die_at_once();
		if (handover_look(&app->successor) != SUCCESSOR_WAITS)
			break;
	}
	if (handover_look(&app->successor) == SUCCESSOR_WAITS)
		return true;
	if (stops > 0) /* now it is news */
		(void)kill(getpid(), SIGTERM);
	return false;
}

/* Waits until the new server serves or has gone. */
static enum successor await_successor(struct app *app)
{
	uint64_t deadline = clock_now_ns() + SUCCESSOR_TIME;

	for (;;) {
		enum successor successor = handover_look(&app->successor);
		uint64_t now = clock_now_ns();
		int number;

		if (successor != SUCCESSOR_WAITS)
			return successor;
		number = signals_wait(now + 10 * MILLISECOND);
		/* It has the folder; there is nothing left to be done here. */
		if (number == SIGTERM || number == SIGINT || now >= deadline)
			return SUCCESSOR_SERVES;
	}
}

/* Takes the folder and the store back. A process that has died may still have their locks for a
 * moment. */
static int go_on(struct app *app)
{
	uint64_t deadline = clock_now_ns() + GO_ON_TIME;
	int r = handover_reclaim(app->config->data_dir, &app->claim);

	if (r < 0)
		return r;
	while ((r = serve(app)) == -ERR_CONFLICT && clock_now_ns() < deadline)
		(void)poll(NULL, 0, 20);
	return r;
}

/* Lets go of everything but the listeners, and takes it back if need be. 0 when the new server
 * serves, 1 when this one does again; negative when it cannot. */
static int step_aside(struct app *app)
{
	int r;

	say_cut_off(app);
	housekeeping_stop(&app->housekeeping);
	server_stop(&app->server);
	backend_close(&app->modules, &app->server);
	release_folder(app);
	log_info("the data folder is free for the new server");
	r = handover_release(&app->successor);
	if (r == 0 && await_successor(app) == SUCCESSOR_SERVES)
		return 0;
	r = go_on(app);
	return r < 0 ? r : 1;
}

/* The same for all of a hand-over. */
static int hand_over(struct app *app)
{
	int r = 1;

	log_info("handing over to a new server");
	server_pause(&app->server);
	if (drain_for_successor(app))
		r = step_aside(app);
	else
		server_resume(&app->server);

	if (r == 0)
		log_info("a new server has taken over");
	else if (r > 0)
		log_warn("the new server has gone before it served; this one goes on");
	else
		log_error("the new server has gone, and this one cannot go on", LOG_ERR);
	forget_successor(app);
	return r;
}

int app_run(struct app *app)
{
	for (;;) {
		int number = signals_wait(clock_now_ns() + CERTIFICATE_CHECK);

		if (number == SIGTERM || number == SIGINT)
			break;
		if (number == SIGHUP || number == SIGUSR1)
			log_reopen();
		if (app->over_tls && (number == SIGHUP || tls_server_changed(&app->tls)))
			reload_tls(app);
		if (atomic_load(&app->handing_over)) {
			int r = hand_over(app);

			if (r <= 0)
				return r;
		}
	}
	shut_down(app);
	return 0;
}

void app_close(struct app *app)
{
	housekeeping_stop(&app->housekeeping);
	server_stop(&app->server);
	backend_close(&app->modules, &app->server);
	close_identity(app);
	close_server(app);
	release_folder(app);
	log_info("stopped");
	(void)log_close(clock_now_ns() + LOG_CLOSE_TIME);
	module_list_done(&app->modules);
}
