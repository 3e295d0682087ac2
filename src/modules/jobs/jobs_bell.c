/*
 * Bells. A ring counts up, and then tells each thread on which somebody waits for that bell, by one
 * message however often it rings until the thread looks. Each thread has a desk with those who wait
 * there; only the thread itself touches them.
 *
 * No ring is lost: who waits says so first and then looks at the count, who rings counts first and
 * then looks who waits, and both in the one order of all sequentially consistent operations.
 */
#include "modules/jobs/jobs_bell.h"

#include "base/hash.h"
#include "base/mem.h"
#include "loop/worker.h"
#include "store/notice.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	SHELVES = 1024, /* of bells, by name */
	TRAYS = 256,    /* of a desk: where those wait whose bells have that number, modulo */
	WORD = 64,
	DESK_WORDS = BELL_THREADS_MAX / WORD,
	TRAY_WORDS = TRAYS / WORD,
};

struct bell {
	_Atomic uint64_t rings;
	_Atomic uint64_t desks[DESK_WORDS]; /* a bit for each desk where somebody waits for it */
	unsigned number;
	pthread_mutex_t lock; /* of what follows, and of rings with an offer */
	uint64_t offered;     /* the ring that was for: */
	struct bell_offer offer;
	struct bell *next; /* on its shelf */
	size_t name_len;
	char name[];
};

/* Who waits at a bell on a thread. */
struct desk {
	struct worker *worker;
	unsigned number;
	struct link trays[TRAYS]; /* struct waiter.wait.link; the thread's own */

	pthread_mutex_t lock; /* of what follows */
	size_t waiting;       /* 0: nothing may be sent, the worker may be gone */
	bool sent;            /* the message is on its way */
	uint64_t rung[TRAY_WORDS];
	struct message message;
};

struct waiter {
	struct wait wait;
	struct bell *bell;
	uint64_t rings;
};

/* The topic of hints about bells. */
#define HINTS "jobs.bell"

/* That of notices about tenants (modules/tenants): one may be served again. */
#define TENANTS "tenant"

static struct bell shared = { .number = 0, .lock = PTHREAD_MUTEX_INITIALIZER },
		   later = { .number = 1, .lock = PTHREAD_MUTEX_INITIALIZER };

static struct {
	pthread_rwlock_t lock;
	struct bell *shelves[SHELVES];
	unsigned count;
	struct store *store; /* whose instances hear, too; NULL: none */
	struct notice_listener listener, tenants;
} tower = { .lock = PTHREAD_RWLOCK_INITIALIZER };

/* --- bells ------------------------------------------------------------------------------ */

static struct bell *find(struct str queue, struct bell *shelf)
{
	while (shelf && !str_eq(queue, str_of(shelf->name, shelf->name_len)))
		shelf = shelf->next;
	return shelf;
}

/* With the lock of the tower. */
static struct bell *make(struct str queue, struct bell **shelf)
{
	struct bell *bell = tower.count < BELLS_MAX ? mem_zalloc(sizeof(*bell) + queue.len) : NULL;

	if (!bell)
		return &shared;
	memcpy(bell->name, queue.at, queue.len);
	bell->name_len = queue.len;
	bell->number = 2 + tower.count++;
	(void)pthread_mutex_init(&bell->lock, NULL);
	bell->next = *shelf;
	*shelf = bell;
	return bell;
}

static struct bell **shelf_of(struct str queue)
{
	return &tower.shelves[hash_str(queue) % SHELVES];
}

/* NULL when there is none. */
static struct bell *find_there(struct str queue)
{
	struct bell *bell;

	(void)pthread_rwlock_rdlock(&tower.lock);
	bell = find(queue, *shelf_of(queue));
	(void)pthread_rwlock_unlock(&tower.lock);
	return bell;
}

struct bell *bell_of(struct str queue)
{
	struct bell **shelf = shelf_of(queue), *bell = find_there(queue);

	if (bell)
		return bell;

	(void)pthread_rwlock_wrlock(&tower.lock);
	bell = find(queue, *shelf);
	if (!bell)
		bell = make(queue, shelf);
	(void)pthread_rwlock_unlock(&tower.lock);
	return bell;
}

struct bell *bell_of_later(void)
{
	return &later;
}

uint64_t bell_rings(const struct bell *bell)
{
	return atomic_load(&bell->rings);
}

/* --- desks ------------------------------------------------------------------------------ */

/* All desks that were ever used; those of threads that have ended serve others. */
static struct desk *_Atomic desks[BELL_THREADS_MAX];
static pthread_mutex_t desks_lock = PTHREAD_MUTEX_INITIALIZER;
static bool desk_taken[BELL_THREADS_MAX]; /* under the lock */
static pthread_key_t desk_key;            /* of the thread's own desk */
static pthread_once_t desk_once = PTHREAD_ONCE_INIT;

/* At the end of its thread. Its worker has delivered what was sent, and nobody waits. */
static void give_back(void *arg)
{
	struct desk *desk = arg;

	(void)pthread_mutex_lock(&desks_lock);
	desk_taken[desk->number] = false;
	(void)pthread_mutex_unlock(&desks_lock);
}

static void make_key(void)
{
	CHECK(pthread_key_create(&desk_key, give_back) == 0);
}

static void wake_tray(const struct link *tray)
{
	struct waiter *waiter;

	LIST_EACH (waiter, tray, struct waiter, wait.link)
		if (bell_rings(waiter->bell) != waiter->rings)
			(void)wake(&waiter->wait, 0);
}

/* On the desk's thread: some of its bells were rung. */
static void look_round(struct message *message)
{
	struct desk *desk = CONTAINER_OF(message, struct desk, message);
	uint64_t rung[TRAY_WORDS];

	(void)pthread_mutex_lock(&desk->lock);
	memcpy(rung, desk->rung, sizeof(rung));
	memset(desk->rung, 0, sizeof(desk->rung));
	desk->sent = false;
	(void)pthread_mutex_unlock(&desk->lock);

	for (size_t word = 0; word < TRAY_WORDS; word++)
		for (; rung[word]; rung[word] &= rung[word] - 1)
			wake_tray(&desk->trays[word * WORD + (size_t)__builtin_ctzll(rung[word])]);
}

static struct desk *make_desk(unsigned number)
{
	struct desk *desk = mem_zalloc(sizeof(*desk));

	if (!desk)
		return NULL;
	desk->number = number;
	for (size_t i = 0; i < TRAYS; i++)
		link_init(&desk->trays[i]);
	(void)pthread_mutex_init(&desk->lock, NULL);
	desk->message.deliver = look_round;
	atomic_store(&desks[number], desk);
	return desk;
}

/* A desk that no thread has; with the lock of all. */
static int take_desk(struct desk **ret)
{
	unsigned number = 0;

	while (number < BELL_THREADS_MAX && desk_taken[number])
		number++;
	if (number == BELL_THREADS_MAX)
		return fail(ERR_FULL, "more than %d threads wait at bells", BELL_THREADS_MAX);
	*ret = atomic_load(&desks[number]);
	if (!*ret)
		*ret = make_desk(number);
	if (!*ret)
		return -ERR_NO_MEMORY;
	desk_taken[number] = true;
	return 0;
}

static int desk_here(struct desk **ret)
{
	int r;

	(void)pthread_once(&desk_once, make_key);
	*ret = pthread_getspecific(desk_key);
	if (*ret)
		return 0;

	(void)pthread_mutex_lock(&desks_lock);
	r = take_desk(ret);
	(void)pthread_mutex_unlock(&desks_lock);
	if (r < 0)
		return r;
	(*ret)->worker = worker_here();
	if (pthread_setspecific(desk_key, *ret) != 0) {
		give_back(*ret);
		return fail(ERR_NO_MEMORY, "no memory for a thread that waits at bells");
	}
	return 0;
}

/* --- ringing ---------------------------------------------------------------------------- */

static void tell(struct desk *desk, unsigned tray)
{
	(void)pthread_mutex_lock(&desk->lock);
	desk->rung[tray / WORD] |= UINT64_C(1) << tray % WORD;
	if (desk->waiting > 0 && !desk->sent) {
		desk->sent = true;
		worker_send(desk->worker, &desk->message);
	}
	(void)pthread_mutex_unlock(&desk->lock);
}

static void tell_desks(const struct bell *bell)
{
	for (size_t word = 0; word < DESK_WORDS; word++) {
		uint64_t left = atomic_load(&bell->desks[word]);

		for (; left; left &= left - 1)
			tell(atomic_load(&desks[word * WORD + (size_t)__builtin_ctzll(left)]),
				bell->number % TRAYS);
	}
}

static void ring_here(struct bell *bell)
{
	(void)atomic_fetch_add(&bell->rings, 1);
	tell_desks(bell);
}

/* What a bell is called in hints; no queue has such names. */
#define LATER  S_INIT("*later")
#define SHARED S_INIT("*")

static struct str name_of(const struct bell *bell)
{
	static const struct str names[] = { SHARED, LATER };

	return bell->number < LEN(names) ? names[bell->number] : str_of(bell->name, bell->name_len);
}

static void ring_elsewhere(const struct bell *bell)
{
	if (tower.store)
		notice_hint(tower.store, S(HINTS), name_of(bell));
}

void bell_ring(struct bell *bell)
{
	ring_here(bell);
	ring_elsewhere(bell);
}

void bell_ring_for(struct bell *bell, const struct bell_offer *offer)
{
	(void)pthread_mutex_lock(&bell->lock);
	bell->offer = *offer;
	bell->offered = atomic_fetch_add(&bell->rings, 1) + 1;
	(void)pthread_mutex_unlock(&bell->lock);
	tell_desks(bell);
	ring_elsewhere(bell);
}

uint64_t bell_heard(struct bell *bell, uint64_t rings, bool *ret_offered, struct bell_offer *ret)
{
	uint64_t now;

	(void)pthread_mutex_lock(&bell->lock);
	now = atomic_load(&bell->rings);
	*ret = bell->offer;
	*ret_offered = now == rings + 1 && bell->offered == now;
	(void)pthread_mutex_unlock(&bell->lock);
	return now;
}

static void ring_all(void)
{
	(void)pthread_rwlock_rdlock(&tower.lock);
	for (size_t i = 0; i < SHELVES; i++)
		for (struct bell *bell = tower.shelves[i]; bell; bell = bell->next)
			ring_here(bell);
	(void)pthread_rwlock_unlock(&tower.lock);
	ring_here(&shared);
	ring_here(&later);
}

/* Another instance has rung; nobody waits for a bell that is not there. */
static void heard(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	struct bell *bell;

	(void)listener;
	(void)tenant;
	if (!key.len) {
		ring_all();
		return;
	}
	if (str_eq(key, name_of(&later)))
		bell = &later;
	else if (str_eq(key, name_of(&shared)))
		bell = &shared;
	else
		bell = find_there(key);
	if (bell)
		ring_here(bell);
}

/* A tenant has changed: what of its jobs was passed over may start now. */
static void heard_tenant(
	struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	(void)listener;
	(void)tenant;
	(void)key;
	ring_all();
}

static void ring(void *arg)
{
	bell_ring(arg);
}

int bell_ring_after(struct tx *tx, struct bell *bell)
{
	return tx_after_commit(tx, ring, bell);
}

/* --- waiting ------------------------------------------------------------------------------ */

static void come(struct desk *desk, struct waiter *waiter)
{
	unsigned number = desk->number;

	(void)pthread_mutex_lock(&desk->lock);
	desk->waiting++;
	(void)pthread_mutex_unlock(&desk->lock);
	list_push_first(&desk->trays[waiter->bell->number % TRAYS], &waiter->wait.link);
	(void)atomic_fetch_or(&waiter->bell->desks[number / WORD], UINT64_C(1) << number % WORD);
}

static bool waited_for(const struct desk *desk, const struct bell *bell)
{
	struct waiter *waiter;

	LIST_EACH (waiter, &desk->trays[bell->number % TRAYS], struct waiter, wait.link)
		if (waiter->bell == bell)
			return true;
	return false;
}

/* The wait is in no list any more. */
static void go(struct desk *desk, struct bell *bell)
{
	unsigned number = desk->number;

	if (!waited_for(desk, bell))
		(void)atomic_fetch_and(
			&bell->desks[number / WORD], ~(UINT64_C(1) << number % WORD));
	(void)pthread_mutex_lock(&desk->lock);
	desk->waiting--;
	(void)pthread_mutex_unlock(&desk->lock);
}

int bell_wait(struct bell *bell, uint64_t rings, uint64_t deadline_ns)
{
	struct waiter waiter = { .bell = bell, .rings = rings };
	struct desk *desk;
	int r = desk_here(&desk);

	if (r < 0)
		return r;
	wait_init(&waiter.wait);
	come(desk, &waiter);
	if (bell_rings(bell) != rings)
		(void)link_remove(&waiter.wait.link);
	else
		r = park(&waiter.wait, deadline_ns);
	go(desk, bell);
	return r == -ERR_TIMEOUT && bell_rings(bell) != rings ? 0 : r;
}

static void free_desk(struct desk *desk)
{
	if (!desk)
		return;
	(void)pthread_mutex_destroy(&desk->lock);
	mem_free(desk, sizeof(*desk));
}

/* --- all of them ---------------------------------------------------------------------------- */

int bells_open(struct store *store)
{
	int r;

	tower.listener = (struct notice_listener){ .topic = HINTS, .heard = heard };
	tower.tenants = (struct notice_listener){ .topic = TENANTS, .heard = heard_tenant };
	if (!store)
		return 0;
	r = notice_listen(store, &tower.listener);
	if (r < 0)
		return r;
	r = notice_listen(store, &tower.tenants);
	if (r < 0)
		notice_unlisten(store, &tower.listener);
	else
		tower.store = store;
	return r;
}

void bells_close(void)
{
	if (tower.store) {
		notice_unlisten(tower.store, &tower.tenants);
		notice_unlisten(TAKE(tower.store), &tower.listener);
	}
	for (size_t i = 0; i < SHELVES; i++)
		while (tower.shelves[i]) {
			struct bell *bell = tower.shelves[i];

			tower.shelves[i] = bell->next;
			(void)pthread_mutex_destroy(&bell->lock);
			mem_free(bell, sizeof(*bell) + bell->name_len);
		}
	tower.count = 0;

	(void)pthread_mutex_lock(&desks_lock);
	for (size_t i = 0; i < BELL_THREADS_MAX; i++)
		if (!desk_taken[i])
			free_desk(atomic_exchange(&desks[i], NULL));
	(void)pthread_mutex_unlock(&desks_lock);
}
