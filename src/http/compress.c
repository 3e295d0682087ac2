/*
 * zlib and brotli behind one stream, with pooled states. A gzip state is reset and used again as it
 * is. Brotli has no reset, so its instance is made anew, but from the blocks that the former one
 * gave back: the pages are already there. Both libraries allocate through the state, which owns
 * every block, so that a failure inside them can lose nothing.
 *
 * Brotli 1.0 ends the process when its allocator answers NULL (BROTLI_ENCODER_EXIT_ON_OOM is how
 * it is built). So ours never does: it jumps back to before the call. Nothing is lost by that,
 * since brotli has no locks and no memory but the state's blocks, and the instance is given up.
 */
#include "http/compress.h"

#include "base/err.h"
#include "base/mem.h"

#include <brotli/encode.h>
#include <setjmp.h>
#include <stdalign.h>
#include <zlib.h>

enum {
	GZIP_LEVEL = 5,
	GZIP_WINDOW = 14, /* bits: 64 KB; 15 would make JSON 0.3 % smaller for 64 KB more */
	GZIP_MEMORY = 7,  /* 64 KB */
	GZIP_FORMAT = 16, /* added to the window: gzip, not zlib */
	BR_QUALITY = 4,   /* smaller and faster than gzip at 5; quality 5 costs 1.6 times as much */
	BR_WINDOW = 16,   /* bits; wider ones need 3.5 to 7 MB and gain nothing on JSON */
	OUT_STEP = 512,   /* room asked for before each call into an encoder */
	IN_STEP = 64 *
		  1024, /* bytes given at once; from 1 MB on brotli would take a 4 MB hash table */
};

/* A piece of memory that a library asked for, in one of the state's two lists. */
struct block {
	alignas(16) struct link link;
	size_t size; /* without this header */
};

struct compress_state {
	struct link link; /* in the pool while idle */
	enum encoding encoding;
	struct link blocks; /* in the library's hands */
	struct link spare;  /* given back by it */
	size_t bytes;       /* in both lists, with headers */
	z_stream gzip;
	BrotliEncoderState *br; /* NULL while idle, and after it ran out of memory */
	jmp_buf no_memory;      /* before the running call into brotli */
};

/* --- memory ------------------------------------------------------------------ */

static void free_blocks(struct compress_state *state, struct link *list)
{
	struct block *block;

	LIST_EACH (block, list, struct block, link) {
		link_remove(&block->link);
		state->bytes -= sizeof(*block) + block->size;
		mem_free(block, sizeof(*block) + block->size);
	}
}

/* The smallest spare block that is large enough but not wasteful; there are a few dozen at most. */
static struct block *find_spare(struct compress_state *state, size_t size)
{
	struct block *best = NULL, *block;

	LIST_EACH (block, &state->spare, struct block, link)
		if (block->size >= size && block->size / 2 <= size &&
			(!best || block->size < best->size))
			best = block;
	return best;
}

static void *take_block(struct compress_state *state, size_t size)
{
	size_t most = state->encoding == ENCODING_GZIP ? COMPRESS_GZIP_MEMORY : COMPRESS_BR_MEMORY;
	struct block *block = find_spare(state, size);

	if (!block) {
		if (sizeof(*block) + size > most - state->bytes)
			free_blocks(state, &state->spare);
		if (sizeof(*block) + size > most - state->bytes)
			return NULL;
		block = mem_alloc(sizeof(*block) + size);
		if (!block)
			return NULL;
		link_init(&block->link);
		block->size = size;
		state->bytes += sizeof(*block) + size;
	}

	link_remove(&block->link);
	list_push(&state->blocks, &block->link);
	return block + 1;
}

static void give_block(struct compress_state *state, void *at)
{
	struct block *block = at;

	if (!at)
		return;

	block--;
	link_remove(&block->link);
	list_push_first(&state->spare, &block->link);
}

static void *gzip_take(void *state, unsigned count, unsigned size)
{
	return take_block(state, (size_t)count * size);
}

static void *br_take(void *opaque, size_t size)
{
	struct compress_state *state = opaque;
	void *at = take_block(state, size);

	if (!at)
		_longjmp(state->no_memory, 1);
	return at;
}

static void give(void *state, void *at)
{
	give_block(state, at);
}

/* --- states ------------------------------------------------------------------ */

static int no_memory(void)
{
	return fail(ERR_NO_MEMORY, "no memory for an encoder");
}

static void state_free(struct compress_state *state)
{
	if (!state)
		return;

	if (state->br)
		BrotliEncoderDestroyInstance(state->br);
	free_blocks(state, &state->blocks); /* also what deflateEnd would free */
	free_blocks(state, &state->spare);
	mem_free(state, sizeof(*state));
}

static int open_gzip(struct compress_state *state)
{
	state->gzip = (z_stream){ .zalloc = gzip_take, .zfree = give, .opaque = state };

	return deflateInit2(&state->gzip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW + GZIP_FORMAT,
		       GZIP_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK
		       ? 0
		       : no_memory();
}

/* A new instance, or NULL. */
static BrotliEncoderState *br_create(struct compress_state *state)
{
	if (_setjmp(state->no_memory))
		return NULL;
	return BrotliEncoderCreateInstance(br_take, give, state);
}

static int open_br(struct compress_state *state)
{
	state->br = br_create(state);
	if (!state->br)
		return no_memory();

	CHECK(BrotliEncoderSetParameter(state->br, BROTLI_PARAM_QUALITY, BR_QUALITY));
	CHECK(BrotliEncoderSetParameter(state->br, BROTLI_PARAM_LGWIN, BR_WINDOW));
	return 0;
}

static struct compress_state *state_new(enum encoding encoding)
{
	struct compress_state *state = mem_zalloc(sizeof(*state));

	if (!state)
		return NULL;

	state->encoding = encoding;
	link_init(&state->link);
	link_init(&state->blocks);
	link_init(&state->spare);
	if (encoding == ENCODING_GZIP && open_gzip(state) < 0) {
		state_free(state);
		return NULL;
	}
	return state;
}

/* --- pool -------------------------------------------------------------------- */

void compress_pool_init(struct compress_pool *pool, size_t keep, size_t most)
{
	*pool = (struct compress_pool){ .keep = keep, .most = most };
	for (size_t i = 0; i < ENCODINGS; i++)
		link_init(&pool->idle[i]);
}

void compress_pool_done(struct compress_pool *pool)
{
	CHECK(pool->used == 0);

	for (size_t i = 0; i < ENCODINGS; i++) {
		struct compress_state *state;

		LIST_EACH (state, &pool->idle[i], struct compress_state, link) {
			link_remove(&state->link);
			state_free(state);
		}
		pool->idle_count[i] = 0;
	}
}

static struct compress_state *take_state(struct compress_pool *pool, enum encoding encoding)
{
	struct link *idle = list_pop(&pool->idle[encoding]);

	if (!idle)
		return state_new(encoding);

	pool->idle_count[encoding]--;
	return CONTAINER_OF(idle, struct compress_state, link);
}

int compress_begin(
	struct compressor *compressor, struct compress_pool *pool, enum encoding encoding)
{
	struct compress_state *state;

	CHECK(encoding == ENCODING_GZIP || encoding == ENCODING_BR);

	*compressor = (struct compressor){ 0 };
	if (pool->used == pool->most)
		return fail(ERR_FULL, "all %zu compressors are in use", pool->most);

	state = take_state(pool, encoding);
	if (!state)
		return -ERR_NO_MEMORY;
	if (encoding == ENCODING_BR && open_br(state) < 0) {
		state_free(state);
		return -ERR_NO_MEMORY;
	}

	pool->used++;
	*compressor = (struct compressor){ .pool = pool, .state = state };
	return 0;
}

void compress_done(struct compressor *compressor)
{
	struct compress_pool *pool = compressor->pool;
	struct compress_state *state = TAKE(compressor->state);

	if (!state)
		return;

	pool->used--;
	if (pool->idle_count[state->encoding] == pool->keep) {
		state_free(state);
		return;
	}

	if (state->encoding == ENCODING_GZIP) {
		CHECK(deflateReset(&state->gzip) == Z_OK);
	} else {
		if (state->br)
			BrotliEncoderDestroyInstance(TAKE(state->br));
		free_blocks(state, &state->blocks); /* of an instance that was given up */
		if (state->bytes > COMPRESS_IDLE_MEMORY)
			free_blocks(state, &state->spare);
	}
	list_push_first(&pool->idle[state->encoding], &state->link);
	pool->idle_count[state->encoding]++;
}

/* --- streams ----------------------------------------------------------------- */

enum operation { WRITE, FLUSH, END };

/* One run of deflate over at most UINT_MAX bytes. */
static int gzip_run(z_stream *gzip, enum operation operation, struct str data, struct buf *out)
{
	static const int flush[] = {
		[WRITE] = Z_NO_FLUSH, [FLUSH] = Z_SYNC_FLUSH, [END] = Z_FINISH
	};

	gzip->next_in = (unsigned char *)data.at;
	gzip->avail_in = (unsigned)data.len;
	do {
		size_t room;
		int r;

		if (!buf_room(out, 1))
			return out->failed;
		(void)(out->limit - out->len >= OUT_STEP && buf_room(out, OUT_STEP));
		room = MIN(out->cap - out->len, (size_t)UINT32_MAX);

		gzip->next_out = (unsigned char *)out->at + out->len;
		gzip->avail_out = (unsigned)room;
		r = deflate(gzip, flush[operation]);
		CHECK(r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR);
		out->len += room - gzip->avail_out;
	} while (gzip->avail_out == 0 || gzip->avail_in);

	return out->failed;
}

static const BrotliEncoderOperation br_operations[] = {
	[WRITE] = BROTLI_OPERATION_PROCESS,
	[FLUSH] = BROTLI_OPERATION_FLUSH,
	[END] = BROTLI_OPERATION_FINISH,
};

/* One call into brotli, which takes what it can of the piece; false when there is no memory. */
static bool br_step(struct compress_state *state, enum operation operation, struct str *piece)
{
	const uint8_t *next_in = (const uint8_t *)piece->at;
	size_t none = 0;

	if (_setjmp(state->no_memory)) {
		state->br = NULL;
		return false;
	}
	CHECK(BrotliEncoderCompressStream(
		state->br, br_operations[operation], &piece->len, &next_in, &none, NULL, NULL));
	piece->at = (const char *)next_in;
	return true;
}

/* One run of brotli over a piece of the data. */
static int br_run(
	struct compress_state *state, enum operation operation, struct str piece, struct buf *out)
{
	do {
		const uint8_t *at;
		size_t size = 0;

		if (!br_step(state, operation, &piece))
			return no_memory();
		at = BrotliEncoderTakeOutput(state->br, &size);
		buf_append(out, str_of((const char *)at, size));
		if (out->failed)
			return out->failed;
	} while (piece.len || BrotliEncoderHasMoreOutput(state->br) ||
		 (operation == END && !BrotliEncoderIsFinished(state->br)));
	return 0;
}

static int run(
	struct compressor *compressor, enum operation operation, struct str data, struct buf *out)
{
	struct compress_state *state = compressor->state;

	CHECK(state && !compressor->ended);
	if (state->encoding == ENCODING_BR && !state->br)
		return no_memory(); /* it ran out before */

	do {
		struct str piece = str_first(data, IN_STEP);
		enum operation now = data.len > IN_STEP ? WRITE : operation;
		int r = state->encoding == ENCODING_GZIP ? gzip_run(&state->gzip, now, piece, out)
							 : br_run(state, now, piece, out);

		if (r < 0)
			return r;
		data = str_from(data, piece.len);
	} while (data.len);
	return 0;
}

int compress_write(struct compressor *compressor, struct str data, struct buf *out)
{
	return data.len ? run(compressor, WRITE, data, out) : 0;
}

int compress_flush(struct compressor *compressor, struct buf *out)
{
	return run(compressor, FLUSH, S(""), out);
}

int compress_end(struct compressor *compressor, struct buf *out)
{
	int r = run(compressor, END, S(""), out);

	compressor->ended = true;
	return r;
}

int compress_whole(
	struct compress_pool *pool, enum encoding encoding, struct str data, struct buf *out)
{
	size_t before = out->len;
	struct compressor compressor;
	int r;

	r = compress_begin(&compressor, pool, encoding);
	if (r < 0)
		return r;

	r = run(&compressor, END, data, out);
	if (r < 0)
		out->len = before;
	compress_done(&compressor);
	return r;
}
