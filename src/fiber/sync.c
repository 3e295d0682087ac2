/* Mutex, condition and channel: a list of waits each, and who is woken when. */
#include "fiber/sync.h"

#include "base/mem.h"

void mutex_init(struct mutex *mutex)
{
	mutex->owner = NULL;
	link_init(&mutex->waits);
}

int mutex_lock(struct mutex *mutex)
{
	struct wait wait;

	CHECK(mutex->owner != fiber_current());
	if (!mutex->owner) {
		mutex->owner = fiber_current();
		return 0;
	}

	wait_init(&wait);
	list_push(&mutex->waits, &wait.link);
	return park(&wait, TIME_NEVER);
}

void mutex_unlock(struct mutex *mutex)
{
	struct wait *next;

	CHECK(mutex->owner == fiber_current());
	mutex->owner = NULL;
	if (list_empty(&mutex->waits))
		return;

	next = CONTAINER_OF(mutex->waits.next, struct wait, link);
	mutex->owner = next->fiber;
	(void)wake(next, 0);
}

void cond_init(struct cond *cond)
{
	link_init(&cond->waits);
}

int cond_wait(struct cond *cond, uint64_t deadline_ns)
{
	struct wait wait;

	wait_init(&wait);
	list_push(&cond->waits, &wait.link);
	return park(&wait, deadline_ns);
}

void cond_signal(struct cond *cond)
{
	if (!list_empty(&cond->waits))
		(void)wake(CONTAINER_OF(cond->waits.next, struct wait, link), 0);
}

void cond_broadcast(struct cond *cond)
{
	wake_all(&cond->waits, 0);
}

/* A sender or receiver in a channel's list, with where its element is or goes. */
struct exchange {
	struct wait wait;
	void *element;
};

int channel_init(struct channel *channel, size_t size, size_t capacity)
{
	size_t bytes;

	CHECK(size > 0 && capacity > 0);
	if (__builtin_mul_overflow(size, capacity, &bytes))
		return fail(
			ERR_NO_MEMORY, "a channel of %zu elements of %zu bytes", capacity, size);

	*channel = (struct channel){ .size = size, .capacity = capacity };
	link_init(&channel->senders);
	link_init(&channel->receivers);
	channel->ring = mem_alloc(bytes);
	return channel->ring ? 0 : -ERR_NO_MEMORY;
}

void channel_done(struct channel *channel)
{
	CHECK(list_empty(&channel->senders) && list_empty(&channel->receivers));
	mem_free(channel->ring, channel->size * channel->capacity);
	channel->ring = NULL;
}

static void ring_push(struct channel *channel, const void *element)
{
	size_t slot = (channel->head + channel->count++) % channel->capacity;

	memcpy(channel->ring + slot * channel->size, element, channel->size);
}

static void ring_pop(struct channel *channel, void *ret)
{
	memcpy(ret, channel->ring + channel->head * channel->size, channel->size);
	channel->head = (channel->head + 1) % channel->capacity;
	channel->count--;
}

static struct exchange *first(struct link *waits)
{
	return list_empty(waits) ? NULL : CONTAINER_OF(waits->next, struct exchange, wait.link);
}

static int wait_in(struct link *waits, void *element)
{
	struct exchange self = { .element = element };

	wait_init(&self.wait);
	list_push(waits, &self.wait.link);
	return park(&self.wait, TIME_NEVER);
}

int channel_send(struct channel *channel, const void *element)
{
	struct exchange *receiver = first(&channel->receivers);

	if (channel->closed)
		return fail(ERR_CLOSED, "the channel is closed");

	if (receiver) { /* then the ring is empty */
		memcpy(receiver->element, element, channel->size);
		(void)wake(&receiver->wait, 0);
		return 0;
	}
	if (channel->count < channel->capacity) {
		ring_push(channel, element);
		return 0;
	}
	return wait_in(&channel->senders, (void *)element);
}

int channel_receive(struct channel *channel, void *ret)
{
	struct exchange *sender = first(&channel->senders);

	if (channel->count == 0)
		return channel->closed ? fail(ERR_CLOSED, "the channel is closed")
				       : wait_in(&channel->receivers, ret);

	ring_pop(channel, ret);
	if (sender) { /* its element takes the place that has become free */
		ring_push(channel, sender->element);
		(void)wake(&sender->wait, 0);
	}
	return 0;
}

void channel_close(struct channel *channel)
{
	channel->closed = true;
	wake_all(&channel->senders, -ERR_CLOSED);
	wake_all(&channel->receivers, -ERR_CLOSED);
}
