/*
 * The producer publishes with a sequentially consistent store of `head`, because it then looks
 * whether the writer sleeps (log_writer.c), and the two must not pass each other.
 */
#include "observe/log_ring.h"

#include "base/check.h"
#include "base/mem.h"

struct log_ring *log_ring_new(size_t size)
{
	struct log_ring *ring;

	CHECK(size && (size & (size - 1)) == 0);

	ring = mem_zalloc(sizeof(*ring) + size);
	if (ring)
		ring->size = size;
	return ring;
}

void log_ring_free(struct log_ring *ring)
{
	if (ring)
		mem_free(ring, sizeof(*ring) + ring->size);
}

/* Adds to a number that only this thread writes: no locked instruction needed. */
static void count_one(_Atomic uint64_t *number)
{
	uint64_t value = atomic_load_explicit(number, memory_order_relaxed);

	atomic_store_explicit(number, value + 1, memory_order_relaxed);
}

bool log_ring_put(struct log_ring *ring, struct str line)
{
	size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	size_t at = head & (ring->size - 1);
	size_t first = MIN(line.len, ring->size - at);

	if (ring->size - (head - ring->tail_seen) < line.len) {
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (ring->size - (head - ring->tail_seen) < line.len) {
			count_one(&ring->dropped);
			return false;
		}
	}

	memcpy(ring->bytes + at, line.at, first);
	memcpy(ring->bytes, line.at + first, line.len - first);
	count_one(&ring->lines);
	atomic_store(&ring->head, head + line.len);
	return true;
}

size_t log_ring_used(const struct log_ring *ring)
{
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	return atomic_load(&ring->head) - tail;
}

size_t log_ring_take(struct log_ring *ring, char *at, size_t room)
{
	size_t head = atomic_load(&ring->head);
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	size_t count = MIN(head - tail, room);
	size_t from = tail & (ring->size - 1);
	size_t first = MIN(count, ring->size - from);

	memcpy(at, ring->bytes + from, first);
	memcpy(at + first, ring->bytes, count - first);

	if (count < head - tail) {
		const char *end = memrchr(at, '\n', count);

		count = end ? (size_t)(end - at) + 1 : 0;
	}

	atomic_store_explicit(&ring->tail, tail + count, memory_order_release);
	return count;
}
