/* The worker for housekeeping, and backups. */
#include "housekeeping.h"

#include "base/mem.h"
#include "builtin_jobs.h"
#include "commands_admin.h"
#include "commands_audit.h"
#include "commands_backup.h"
#include "commands_jobs.h"
#include "commands_keys.h"
#include "config.h"
#include "http/server.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/metric.h"
#include "store/backup.h"
#include "store/outbox.h"

#include <signal.h>
#include <unistd.h>

enum {
	POOL_THREADS = 2, /* a backup takes its time; a check need not wait for it */
	POOL_QUEUE = 16,
	FIBERS_MAX = 64,
};

/* --- commands of the control socket ---------------------------------------------------- */

static int run_ping(const struct command_job *job, struct buf *out)
{
	buf_printf(out, job->json ? "{\"pid\":%d}\n" : "the server runs (pid %d)\n", (int)getpid());
	return 0;
}

static int run_stop(const struct command_job *job, struct buf *out)
{
	(void)job;
	(void)kill(getpid(), SIGTERM);
	buf_printf(out, "the server (pid %d) is stopping\n", (int)getpid());
	return 0;
}

static const struct control_command commands[] = {
	{ "ping", run_ping },
	{ "stop", run_stop },
	{ "backup create", backup_command_create },
	{ "backup check", backup_command_check },
	{ "admin create", admin_command_create, .on_fiber = true },
	{ "admin reset", admin_command_reset, .on_fiber = true },
	{ "keys rotate", keys_command_rotate, .on_fiber = true },
	{ "keys reseal", keys_command_reseal, .on_fiber = true },
	{ "audit verify", audit_command_verify, .on_fiber = true },
	{ "audit export", audit_command_export, .on_fiber = true },
	JOBS_CONTROL_COMMANDS,
};

/* --- metrics ---------------------------------------------------------------------------- */

static const struct metric *last_backup, *made, *failed;

int housekeeping_metrics(void)
{
	static const struct metric_def last_def = {
		.name = "backup_last_success_timestamp_seconds",
		.help = "When the newest backup was made, in seconds since 1970.",
		.kind = METRIC_GAUGE,
		.scale = 1000000,
	};
	static const struct metric_def count_def = {
		.name = "backups_total",
		.help = "Scheduled backups by result.",
		.kind = METRIC_COUNTER,
		.labels = { "result" },
	};
	struct metric_family *count = metric_register(&count_def);

	last_backup = metric_register_one(&last_def);
	if (!count || !last_backup)
		return -(int)err_last()->code;
	made = metric_series(count, &S("ok"));
	failed = metric_series(count, &S("failed"));
	return 0;
}

/* --- backups ---------------------------------------------------------------------------- */

/* A backup on its way to a thread and back. */
struct turn {
	struct housekeeping *housekeeping;
	int result;
	struct err err;
};

static struct backup_place place_of(const struct housekeeping *housekeeping)
{
	return (struct backup_place){ housekeeping->options.config->data_dir, &housekeeping->stop };
}

/* When the newest good backup was made; 0: there is none. */
static int64_t newest_us(const struct housekeeping *housekeeping)
{
	struct backup_place place = place_of(housekeeping);
	struct backup_entry *entries;
	struct arena arena;
	int64_t newest = 0;
	size_t count;

	arena_init(&arena, 64 * KILOBYTE, 256 * MEGABYTE);
	if (backup_list(&place, &arena, &entries, &count) < 0) {
		log_error("the backups cannot be listed", LOG_ERR);
		count = 0;
	}
	for (size_t i = 0; i < count && newest == 0; i++)
		if (entries[i].problem.len == 0)
			newest = entries[i].backup.created_at;
	arena_done(&arena);
	return newest;
}

/* At the start: how old the newest one is, whoever made it. */
static void look_back(void *arg)
{
	const struct turn *turn = arg;
	int64_t newest = newest_us(turn->housekeeping);

	if (newest)
		metric_gauge_set(last_backup, newest);
}

static int look_at_backups(void *arg)
{
	struct turn turn = { .housekeeping = arg };

	(void)offload_call(&turn.housekeeping->pool, look_back, &turn);
	return 0;
}

static void remove_old(const struct housekeeping *housekeeping)
{
	const struct config *config = housekeeping->options.config;
	struct backup_retention retention = { config->backup_keep, config->backup_keep_days };
	struct backup_place place = place_of(housekeeping);
	size_t removed;

	if (backup_prune(&place, &retention, &removed) < 0)
		log_error("old backups were not removed", LOG_ERR);
	else if (removed > 0)
		log_info("old backups removed", LOG_U64("count", removed));
}

static void make_backup(void *arg)
{
	struct turn *turn = arg;
	struct backup_place place = place_of(turn->housekeeping);
	uint64_t start = clock_now_ns();
	struct backup backup;
	struct arena arena;

	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	turn->result = backup_create(&place, &arena, &backup);
	turn->err = *err_last();
	if (turn->result == 0) {
		log_info("backup made", LOG_STR("name", backup.name), LOG_INT("bytes", backup.size),
			LOG_DURATION(clock_now_ns() - start));
		metric_count(made, 1);
		metric_gauge_set(last_backup, backup.created_at);
		remove_old(turn->housekeeping);
	} else if (turn->result != -ERR_CANCELLED) {
		log_error("the backup failed", LOG_ERR);
		metric_count(failed, 1);
	}
	arena_done(&arena);
}

int housekeeping_backup(struct housekeeping *housekeeping)
{
	struct turn turn = { .housekeeping = housekeeping };
	int r = offload_call(&housekeeping->pool, make_backup, &turn);

	if (r < 0)
		return r;
	return turn.result < 0 ? err_restore(&turn.err) : 0;
}

/* --- chores ------------------------------------------------------------------------------- */

/* What is done here for the store itself. */
static int sweep_outbox(struct server *server)
{
	return outbox_sweep(server->store);
}

static const struct chore own_chores[] = {
	{ "outbox", 10 * MINUTE, sweep_outbox },
};

/* One chore of one server; lives as long as the worker. */
struct duty {
	const struct chore *chore;
	struct server *server;
};

static int do_chore(void *arg)
{
	struct duty duty = *(struct duty *)arg;

	mem_free(arg, sizeof(duty));
	for (;;) {
		int r = duty.chore->run(duty.server);

		if (r < 0 && r != -ERR_CANCELLED)
			log_warn("a chore failed", LOG_STR("chore", str_from_c(duty.chore->name)),
				LOG_ERR);
		if (fiber_sleep_until(clock_now_ns() + duty.chore->every_ns) < 0)
			return 0;
	}
}

static int start_chores(
	struct worker *worker, struct server *server, const struct chore *chores, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct duty *duty = mem_alloc(sizeof(*duty));
		int r;

		if (!duty)
			return -ERR_NO_MEMORY;
		*duty = (struct duty){ &chores[i], server };
		r = scope_spawn(&worker->sched.root, do_chore, duty);
		if (r < 0) {
			mem_free(duty, sizeof(*duty));
			return r;
		}
	}
	return 0;
}

static int start_all_chores(struct worker *worker, const struct housekeeping_options *options)
{
	const struct module_list *modules = options->modules;
	int r = start_chores(worker, options->server, own_chores, LEN(own_chores));

	for (size_t i = 0; i < modules->count && r == 0; i++)
		r = start_chores(worker, options->server, modules->at[i]->chores,
			modules->at[i]->chore_count);
	return r;
}

/* --- the worker -------------------------------------------------------------------------- */

static int start_on_thread(struct worker *worker)
{
	struct housekeeping *housekeeping = worker->arg;
	const struct housekeeping_options *options = &housekeeping->options;
	struct control_options control = {
		.config = options->config,
		.stop = &housekeeping->stop,
		.server = options->server,
		.pool = &housekeeping->pool,
		.commands = commands,
		.command_count = LEN(commands),
		.sockets = options->sockets,
		.hand_over = options->hand_over,
		.arg = options->arg,
	};
	int r = log_thread_attach(0);

	if (r < 0)
		return r;
	r = control_open(&housekeeping->control, worker, &control);
	if (r < 0) {
		log_thread_detach();
		return r;
	}
	/* A fiber that cannot be started is not worth the server. */
	if (options->backups && options->config->backup_interval > 0)
		r = scope_spawn(&worker->sched.root, look_at_backups, housekeeping);
	if (r == 0)
		r = start_all_chores(worker, options);
	if (r < 0)
		log_error("some housekeeping is not done", LOG_ERR);
	return 0;
}

static void stop_on_thread(struct worker *worker)
{
	struct housekeeping *housekeeping = worker->arg;

	control_close(&housekeeping->control);
	log_thread_detach();
	atomic_store(&housekeeping->done, true);
}

int housekeeping_start(
	struct housekeeping *housekeeping, const struct housekeeping_options *options)
{
	int r = control_wire_init();

	housekeeping->options = *options;
	if (r == 0)
		r = admin_commands_init();
	if (r == 0)
		r = builtin_jobs_declare(options->server, housekeeping);
	if (r == 0)
		r = jobs_commands_init();
	if (r == 0)
		r = offload_open(&housekeeping->pool, "house", POOL_THREADS, POOL_QUEUE);
	if (r < 0)
		return r;
	atomic_store(&housekeeping->stop, false);
	atomic_store(&housekeeping->done, false);
	housekeeping->worker = (struct worker){
		.fiber_limit = FIBERS_MAX,
		.on_start = start_on_thread,
		.on_stop = stop_on_thread,
		.arg = housekeeping,
	};
	r = worker_start(&housekeeping->worker);
	if (r < 0) {
		struct err err = *err_last();

		offload_close(&housekeeping->pool);
		return err_restore(&err);
	}
	(void)pthread_setname_np(housekeeping->worker.thread, "housekeeping");
	housekeeping->running = true;
	return 0;
}

void housekeeping_stop_begin(struct housekeeping *housekeeping)
{
	if (!housekeeping->running || housekeeping->stopping)
		return;
	housekeeping->stopping = true;
	atomic_store(&housekeeping->stop, true);
	worker_stop(&housekeeping->worker);
}

bool housekeeping_done(const struct housekeeping *housekeeping)
{
	return !housekeeping->running || atomic_load(&housekeeping->done);
}

void housekeeping_stop(struct housekeeping *housekeeping)
{
	if (!housekeeping->running)
		return;
	housekeeping_stop_begin(housekeeping);
	worker_join(&housekeeping->worker);
	offload_close(&housekeeping->pool);
	housekeeping->running = housekeeping->stopping = false;
}
