/*
 * The pool of the password hashes. Three bounds: places, for who is anywhere between the door and
 * the answer; threads; and bytes, for which the threads wait in the order they came, so that a
 * dear imported hash is not passed by cheap ones for ever.
 */
#include "modules/auth/auth_password.h"

#include "base/err.h"
#include "base/list.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "loop/offload.h"
#include "modules/auth/auth_password_list.h"
#include "observe/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

enum { POOL_NICE = 10 }; /* a tenth of what a worker gets when both want to run */

/* Bytes of what is computed at a time, given out in the order of asking. */
struct budget {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t limit, used;
	uint64_t next, serving; /* tickets */
};

static struct {
	struct offload offload;
	struct budget budget;
	struct password_pool_options options;
	struct password_list breached;
	char nobody[PASSWORD_HASH_SIZE]; /* a hash that is nobody's, at the current cost */
	size_t nobody_len;
	size_t places;
	_Atomic size_t taken;
	_Atomic uint64_t computed;
} pool;

/* --- memory ------------------------------------------------------------------------- */

/* What is dearer than the whole budget waits until it is alone. */
static void budget_take(struct budget *budget, size_t bytes)
{
	uint64_t ticket;

	(void)pthread_mutex_lock(&budget->lock);
	ticket = budget->next++;
	while (ticket != budget->serving || (budget->used && budget->used + bytes > budget->limit))
		(void)pthread_cond_wait(&budget->changed, &budget->lock);
	budget->serving++;
	budget->used += bytes;
	(void)pthread_cond_broadcast(&budget->changed);
	(void)pthread_mutex_unlock(&budget->lock);
}

static void budget_give(struct budget *budget, size_t bytes)
{
	(void)pthread_mutex_lock(&budget->lock);
	budget->used -= bytes;
	(void)pthread_cond_broadcast(&budget->changed);
	(void)pthread_mutex_unlock(&budget->lock);
}

/* --- open and close -------------------------------------------------------------------- */

static size_t thread_count(const struct password_pool_options *options)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t fit = options->memory / password_cost_memory(&options->cost);

	return MAX(1, MIN(fit, (size_t)MIN(MAX(processors, 1), PASSWORD_THREADS_MAX)));
}

static int make_nobody(void)
{
	uint8_t secret[32];
	int r;

	random_bytes(secret, sizeof(secret));
	r = password_hash(
		str_of((const char *)secret, sizeof(secret)), &pool.options.cost, pool.nobody);
	crypto_wipe(secret, sizeof(secret));
	if (r < 0)
		return r;
	pool.nobody_len = (size_t)r;
	return 0;
}

int passwords_open(const struct password_pool_options *options)
{
	size_t threads;
	int r = password_cost_check(&options->cost);

	if (r < 0)
		return r;
	if (options->memory < password_cost_memory(&options->cost))
		return fail(ERR_INVALID, "the memory for password hashes is less than one takes");
	pool.options = *options;
	r = make_nobody();
	if (r == 0)
		r = password_list_open(options->breached_file, &pool.breached);
	if (r < 0)
		return r;

	threads = thread_count(options);
	pool.places = threads * PASSWORD_PLACES_PER_THREAD;
	pool.budget = (struct budget){ .limit = options->memory };
	(void)pthread_mutex_init(&pool.budget.lock, NULL);
	(void)pthread_cond_init(&pool.budget.changed, NULL);
	/* A place has at most one task, so that the queue is never full. */
	r = offload_open(&pool.offload, "password", threads, pool.places);
	if (r < 0)
		password_list_close(&pool.breached);
	return r;
}

void passwords_close(void)
{
	offload_close(&pool.offload);
	(void)pthread_cond_destroy(&pool.budget.changed);
	(void)pthread_mutex_destroy(&pool.budget.lock);
	password_list_close(&pool.breached);
}

/* --- places ----------------------------------------------------------------------------- */

int passwords_enter(void)
{
	if (atomic_fetch_add(&pool.taken, 1) < pool.places)
		return 0;
	(void)atomic_fetch_sub(&pool.taken, 1);
	return fail(ERR_FULL, "%zu passwords are being looked at already", pool.places);
}

void passwords_leave(void)
{
	(void)atomic_fetch_sub(&pool.taken, 1);
}

/* --- on the threads ------------------------------------------------------------------------ */

/* Lies on the stack of the fiber, which waits for it in any case. */
struct password_task {
	struct str password, hash; /* no hash: make one */
	char *made;
	int result;
	struct err err;
};

static int compute(struct password_task *task)
{
	size_t bytes = password_cost_memory(&pool.options.cost);
	int r = task->hash.len ? password_memory(task->hash, &bytes) : 0;

	if (r < 0)
		return r;
	budget_take(&pool.budget, bytes);
	r = task->hash.len ? password_verify(task->password, task->hash)
			   : password_hash(task->password, &pool.options.cost, task->made);
	budget_give(&pool.budget, bytes);
	(void)atomic_fetch_add_explicit(&pool.computed, 1, memory_order_relaxed);
	return r;
}

/* Hashes take whole processors for as long as they are asked for; who answers requests comes first.
 * On Linux a thread has a priority of its own; that it cannot be set changes nothing but speed. */
static void step_back(void)
{
	static _Thread_local bool done;

	if (!done)
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(), POOL_NICE);
	done = true;
}

static void run_compute(void *arg)
{
	struct password_task *task = arg;

	step_back();
	task->result = compute(task);
	if (task->result < 0)
		task->err = *err_last();
}

static int offloaded(void (*run)(void *), struct password_task *task)
{
	int r = offload_call(&pool.offload, run, task);

	if (r < 0)
		return r;
	return task->result < 0 ? err_restore(&task->err) : task->result;
}

int passwords_hash(struct str password, struct arena *arena, struct str *ret)
{
	char made[PASSWORD_HASH_SIZE];
	struct password_task task = { .password = password, .made = made };
	int r = offloaded(run_compute, &task);

	if (r < 0)
		return r;
	*ret = arena_str(arena, str_of(made, (size_t)r));
	return ret->at ? 0 : -(int)err_last()->code;
}

int passwords_check(struct str password, struct str hash, bool *ret_right)
{
	struct str nobody = str_of(pool.nobody, pool.nobody_len);
	struct password_task task = { .password = password, .hash = hash.len ? hash : nobody };
	int r = offloaded(run_compute, &task);

	if (r < 0 && r != -ERR_UNAUTHORIZED)
		return r;
	*ret_right = r == 0 && hash.len;
	return 0;
}

bool passwords_outdated(struct str hash)
{
	return password_needs_rehash(hash, &pool.options.cost);
}

uint64_t passwords_computed(void)
{
	return atomic_load_explicit(&pool.computed, memory_order_relaxed);
}

/* --- new ones --------------------------------------------------------------------------------- */

static void run_look(void *arg)
{
	struct password_task *task = arg;

	task->result = password_list_has(&pool.breached, task->password);
	if (task->result < 0)
		task->err = *err_last();
}

int passwords_refuse(struct str password, const struct password_context *context)
{
	struct password_task task = { .password = password };
	int r = password_refuse(password, context, pool.options.min);

	if (r < 0)
		return r;
	r = offloaded(run_look, &task);
	if (r == -ERR_IO) {
		log_error("breached passwords cannot be looked up", LOG_ERR);
		return 0;
	}
	if (r > 0) {
		(void)fail(ERR_INVALID, "is known from a breach of another service");
		return err_blame("", "breached");
	}
	return r;
}
