/*
 * Each ring has one producer and one reader, and the producer overwrites. So each slot carries a
 * sequence: odd while it is written, else twice the number of its record plus two. The reader
 * copies and then looks whether the sequence is still the one it began with. Slots are words with
 * atomic stores and loads (release and acquire, which are plain moves on x86), so the race is a
 * defined one, and neither side ever waits.
 */
#include "observe/span.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "observe/clock.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	CAPACITY = 256,
	RINGS_MAX = 256,
	WORDS = sizeof(struct span) / 8,
};

struct slot {
	_Atomic uint64_t sequence;
	_Atomic uint64_t words[WORDS];
};

struct span_ring {
	_Atomic uint64_t head; /* records ever put; the producer's */
	uint64_t next;         /* first record not read yet; the reader's */
	size_t capacity;       /* a power of two */
	struct slot slots[];
};

/* `registry` guards the list and all reading; `shared_mutex` the producer's side of the shared
 * ring.
 */
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t shared_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct span_ring *rings[RINGS_MAX];
static struct span_ring *shared; /* made when first needed, never freed; not in `rings` */
static size_t turn;              /* ring to begin the next reading with */
static uint64_t dropped;

static _Thread_local struct span_ring *own_ring;

/* --- producing ------------------------------------------------------------ */

static bool sampled(const struct span *span)
{
	return span->trace.flags & TRACE_SAMPLED;
}

void span_start(struct span *span, const struct trace *trace, uint64_t parent, struct str name,
	enum span_kind kind)
{
	span->trace = *trace;
	span->parent = parent;
	span->name = name;
	span->start_ns = sampled(span) ? clock_now_ns() : 0;
	span->end_ns = 0;
	span->kind = (uint8_t)kind;
	span->status = SPAN_UNSET;
	span->attribute_count = 0;
	span->attributes_lost = 0;
	span->text_len = 0;
}

void span_start_child(struct span *span, const struct span *parent, uint64_t random,
	struct str name, enum span_kind kind)
{
	struct trace trace = trace_child(&parent->trace, random);

	span_start(span, &trace, parent->trace.span, name, kind);
}

/* Room for one more, or NULL. */
static struct span_attribute *add_attribute(struct span *span, const char *key)
{
	struct span_attribute *attribute;

	if (!sampled(span))
		return NULL;
	if (span->attribute_count == SPAN_ATTRIBUTES_MAX) {
		span->attributes_lost += span->attributes_lost < UINT8_MAX;
		return NULL;
	}

	attribute = &span->attributes[span->attribute_count++];
	*attribute = (struct span_attribute){ .key = key };
	return attribute;
}

void span_int(struct span *span, const char *key, int64_t number)
{
	struct span_attribute *attribute = add_attribute(span, key);

	if (attribute)
		attribute->number = number;
}

/* At most `len` bytes of the text, not ending inside a character. */
static struct str cut_text(struct str text, size_t len)
{
	if (text.len <= len)
		return text;

	while (len > 0 && ((unsigned char)text.at[len] & 0xC0) == 0x80)
		len--;
	return str_of(text.at, len);
}

void span_str(struct span *span, const char *key, struct str text)
{
	struct span_attribute *attribute = add_attribute(span, key);

	if (!attribute)
		return;

	text = cut_text(text, SPAN_TEXT_MAX - span->text_len);
	attribute->is_text = 1;
	attribute->text_at = span->text_len;
	attribute->text_len = (uint16_t)text.len;
	if (text.len)
		memcpy(span->text + span->text_len, text.at, text.len);
	span->text_len = (uint16_t)(span->text_len + text.len);
}

/* Copies `len` bytes of the record, from `at` on, into the slot; both in whole words. */
static void put_words(struct slot *slot, const struct span *span, size_t at, size_t len)
{
	for (size_t i = at / 8; i < (at + len + 7) / 8; i++) {
		uint64_t word;

		memcpy(&word, (const char *)span + i * 8, 8);
		atomic_store_explicit(&slot->words[i], word, memory_order_release);
	}
}

/* Only what is in use of the attributes and the text; behind it older records show through. */
static void put(struct span_ring *ring, const struct span *span)
{
	enum { ATTRIBUTES = offsetof(struct span, attributes), TEXT = offsetof(struct span, text) };
	uint64_t number = atomic_load_explicit(&ring->head, memory_order_relaxed);
	struct slot *slot = &ring->slots[number & (ring->capacity - 1)];

	_Static_assert(TEXT % 8 == 0 && sizeof(*span) % 8 == 0, "copied in words");
	atomic_store_explicit(&slot->sequence, 2 * number + 1, memory_order_relaxed);
	put_words(slot, span, 0, ATTRIBUTES + span->attribute_count * sizeof(*span->attributes));
	put_words(slot, span, TEXT, span->text_len);
	atomic_store_explicit(&slot->sequence, 2 * number + 2, memory_order_release);
	atomic_store_explicit(&ring->head, number + 1, memory_order_release);
}

static struct span_ring *new_ring(size_t capacity)
{
	struct span_ring *ring;

	CHECK(capacity && (capacity & (capacity - 1)) == 0);

	ring = mem_zalloc(sizeof(*ring) + capacity * sizeof(struct slot));
	if (ring)
		ring->capacity = capacity;
	return ring;
}

static void free_ring(struct span_ring *ring)
{
	if (ring)
		mem_free(ring, sizeof(*ring) + ring->capacity * sizeof(struct slot));
}

static void put_shared(const struct span *span)
{
	(void)pthread_mutex_lock(&shared_mutex);
	if (!shared)
		shared = new_ring(CAPACITY);
	if (shared)
		put(shared, span);
	(void)pthread_mutex_unlock(&shared_mutex);
}

void span_end(struct span *span, enum span_status status)
{
	if (!sampled(span))
		return;

	span->end_ns = clock_now_ns();
	span->status = (uint8_t)status;
	if (own_ring)
		put(own_ring, span);
	else
		put_shared(span);
}

/* --- reading; under `registry` -------------------------------------------- */

/* Copies the record; false when the producer overwrote it meanwhile. */
static bool copy(struct slot *slot, uint64_t number, struct span *ret)
{
	uint64_t wanted = 2 * number + 2;

	if (atomic_load_explicit(&slot->sequence, memory_order_acquire) != wanted)
		return false;

	for (size_t i = 0; i < WORDS; i++) {
		uint64_t word = atomic_load_explicit(&slot->words[i], memory_order_acquire);

		memcpy((char *)ret + i * 8, &word, 8);
	}
	return atomic_load_explicit(&slot->sequence, memory_order_relaxed) == wanted;
}

static size_t read_ring(struct span_ring *ring, struct span *ret, size_t max)
{
	size_t count = 0;

	while (count < max) {
		uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

		if (ring->next == head)
			break;
		if (head - ring->next > ring->capacity) {
			dropped += head - ring->capacity - ring->next;
			ring->next = head - ring->capacity;
		}
		if (copy(&ring->slots[ring->next & (ring->capacity - 1)], ring->next, &ret[count]))
			count++;
		else
			dropped++;
		ring->next++;
	}
	return count;
}

/* From the monotonic clock to the calendar. */
static void set_dates(struct span *spans, size_t count)
{
	uint64_t offset_ns = (uint64_t)clock_wall_us() * MICROSECOND - clock_now_ns();

	for (size_t i = 0; i < count; i++) {
		spans[i].start_ns += offset_ns;
		spans[i].end_ns += offset_ns;
	}
}

size_t span_read(struct span *ret, size_t max)
{
	size_t count = 0, i;
	struct span_ring *common;

	(void)pthread_mutex_lock(&registry);
	for (i = 0; i < RINGS_MAX && count < max; i++) {
		struct span_ring *ring = rings[(turn + i) % RINGS_MAX];

		if (ring)
			count += read_ring(ring, ret + count, max - count);
	}
	turn = (turn + i) % RINGS_MAX;

	(void)pthread_mutex_lock(&shared_mutex);
	common = shared;
	(void)pthread_mutex_unlock(&shared_mutex);
	if (common)
		count += read_ring(common, ret + count, max - count);
	(void)pthread_mutex_unlock(&registry);

	set_dates(ret, count);
	return count;
}

uint64_t span_dropped(void)
{
	uint64_t count;

	(void)pthread_mutex_lock(&registry);
	count = dropped;
	(void)pthread_mutex_unlock(&registry);
	return count;
}

/* --- threads -------------------------------------------------------------- */

int span_thread_attach(size_t capacity)
{
	struct span_ring *ring = new_ring(capacity ? capacity : CAPACITY);
	size_t i = 0;

	CHECK(!own_ring);
	if (!ring)
		return err_wrap("while making a ring for spans");

	(void)pthread_mutex_lock(&registry);
	while (i < RINGS_MAX && rings[i])
		i++;
	if (i < RINGS_MAX)
		rings[i] = ring;
	(void)pthread_mutex_unlock(&registry);
	if (i == RINGS_MAX) {
		free_ring(ring);
		return fail(ERR_FULL, "more than %d threads with a ring for spans", RINGS_MAX);
	}

	own_ring = ring;
	return 0;
}

void span_thread_detach(void)
{
	struct span_ring *ring = TAKE(own_ring);
	struct span span;

	if (!ring)
		return;

	(void)pthread_mutex_lock(&registry);
	for (size_t i = 0; i < RINGS_MAX; i++)
		if (rings[i] == ring)
			rings[i] = NULL;
	while (read_ring(ring, &span, 1))
		put_shared(&span);
	(void)pthread_mutex_unlock(&registry);
	free_ring(ring);
}
