/*
 * A state machine: one step per byte of framing, whole slices for data and for trailer values.
 * Promises the same events for the same bytes, however they are cut (data slices apart).
 */
#include "http/h1_chunk.h"

#include "base/err.h"
#include "base/num.h"
#include "http/chars.h"

enum state {
	SIZE,         /* hex digits */
	SIZE_LF,      /* after the CR of the size line */
	EXT_NAME,     /* first byte of an extension's name */
	EXT_NAME_ON,  /* the rest of it */
	EXT_VALUE,    /* first byte of its value */
	EXT_TOKEN,    /* the rest of a token */
	EXT_QUOTED,   /* in a quoted string */
	EXT_ESCAPED,  /* after its backslash */
	EXT_AFTER,    /* after its closing quote */
	DATA,         /* `left` bytes */
	DATA_CR,      /* the CRLF after them */
	DATA_LF,      /* its second half */
	TRAILER,      /* start of a trailer line, or of the empty line */
	TRAILER_NAME, /* in a name that has a byte */
	TRAILER_VALUE,
	TRAILER_LF, /* after the CR of a trailer line */
	LAST_LF,    /* after the CR of the empty line */
	DONE,
};

void h1_chunk_init(struct h1_chunk *chunk, const struct h1_limits *limits, uint64_t body_limit)
{
	*chunk = (struct h1_chunk){ .limits = limits, .body_limit = body_limit };
}

static int bad_byte(const char *where, char byte)
{
	return fail(ERR_INVALID, "byte 0x%02x %s", (unsigned char)byte, where);
}

/* The size is complete: is there room for that much? */
static int begin_chunk(struct h1_chunk *chunk)
{
	if (chunk->left > chunk->body_limit - chunk->total)
		return fail(ERR_TOO_LARGE, "the body is over %llu bytes",
			(unsigned long long)chunk->body_limit);
	chunk->total += chunk->left;
	return 0;
}

/* Hex digits and what may end them. */
static int step_size(struct h1_chunk *chunk, char byte)
{
	int digit = num_hex_digit(byte);

	if (digit >= 0) {
		if (chunk->digits == 8)
			return fail(ERR_INVALID, "a chunk size of more than 8 digits");
		chunk->digits++;
		chunk->left = chunk->left << 4 | (unsigned)digit;
		return 0;
	}
	if (chunk->digits == 0 || (byte != '\r' && byte != ';'))
		return bad_byte("in a chunk size", byte);

	chunk->state = byte == ';' ? EXT_NAME : SIZE_LF;
	return begin_chunk(chunk);
}

static int step_size_lf(struct h1_chunk *chunk, char byte)
{
	if (byte != '\n')
		return bad_byte("after the carriage return of a chunk size", byte);

	chunk->state = chunk->left ? DATA : TRAILER;
	chunk->digits = 0;
	chunk->extension = 0;
	return 0;
}

/* What may stand behind a complete extension. */
static int end_extension(struct h1_chunk *chunk, char byte)
{
	if (byte != '\r' && byte != ';')
		return bad_byte("in a chunk extension", byte);
	chunk->state = byte == ';' ? EXT_NAME : SIZE_LF;
	return 0;
}

/* chunk-ext of RFC 9112 7.1.1, without its "bad" white space. */
static int step_extension(struct h1_chunk *chunk, char byte)
{
	bool token = char_is(byte, CHAR_TOKEN);

	if (++chunk->extension > H1_CHUNK_EXTENSION_MAX ||
		++chunk->extensions > H1_CHUNK_EXTENSIONS_MAX)
		return fail(ERR_HEAD_TOO_LARGE, "the chunk extensions are too long");

	switch ((enum state)chunk->state) {
	case EXT_NAME:
		chunk->state = EXT_NAME_ON;
		return token ? 0 : bad_byte("in the name of a chunk extension", byte);
	case EXT_NAME_ON:
		if (token)
			return 0;
		if (byte != '=')
			return end_extension(chunk, byte);
		chunk->state = EXT_VALUE;
		return 0;
	case EXT_VALUE:
		chunk->state = byte == '"' ? EXT_QUOTED : EXT_TOKEN;
		return token || byte == '"' ? 0 : bad_byte("in a chunk extension", byte);
	case EXT_TOKEN: return token ? 0 : end_extension(chunk, byte);
	case EXT_QUOTED:
		if (byte == '"')
			chunk->state = EXT_AFTER;
		else if (byte == '\\')
			chunk->state = EXT_ESCAPED;
		else if (!char_is(byte, CHAR_QUOTED))
			return bad_byte("in a chunk extension", byte);
		return 0;
	case EXT_ESCAPED:
		chunk->state = EXT_QUOTED;
		return char_is(byte, CHAR_FIELD) ? 0 : bad_byte("in a chunk extension", byte);
	default: /* EXT_AFTER */ return end_extension(chunk, byte);
	}
}

/* The CRLF behind a chunk's data. */
static int step_data_end(struct h1_chunk *chunk, char byte)
{
	if (byte != (chunk->state == DATA_CR ? '\r' : '\n'))
		return bad_byte("where a chunk must end in CRLF", byte);

	chunk->state = chunk->state == DATA_CR ? DATA_LF : SIZE;
	return 0;
}

/* Counts a byte of the trailers against their limits. */
static int count_trailer(struct h1_chunk *chunk)
{
	if (++chunk->trailers > chunk->limits->head || ++chunk->line > chunk->limits->field + 2)
		return fail(ERR_HEAD_TOO_LARGE, "the trailers are too long");
	return 0;
}

static int begin_trailer(struct h1_chunk *chunk, char byte)
{
	if (byte == '\r') {
		chunk->state = LAST_LF;
		return 0;
	}
	if (!char_is(byte, CHAR_TOKEN))
		return bad_byte("at the start of a trailer field", byte);
	if (++chunk->fields > chunk->limits->fields)
		return fail(
			ERR_HEAD_TOO_LARGE, "more than %zu trailer fields", chunk->limits->fields);

	chunk->state = TRAILER_NAME;
	return 0;
}

static int step_trailer(struct h1_chunk *chunk, char byte)
{
	int r = count_trailer(chunk);

	if (r < 0)
		return r;

	switch ((enum state)chunk->state) {
	case TRAILER: return begin_trailer(chunk, byte);
	case TRAILER_NAME:
		if (byte == ':')
			chunk->state = TRAILER_VALUE;
		else if (!char_is(byte, CHAR_TOKEN))
			return bad_byte("in the name of a trailer field", byte);
		return 0;
	case TRAILER_VALUE:
		if (byte == '\r')
			chunk->state = TRAILER_LF;
		else if (!char_is(byte, CHAR_FIELD))
			return bad_byte("in the value of a trailer field", byte);
		return 0;
	default: /* TRAILER_LF, LAST_LF */
		if (byte != '\n')
			return bad_byte("after the carriage return of a trailer field", byte);
		chunk->state = chunk->state == LAST_LF ? DONE : TRAILER;
		chunk->line = 0;
		return 0;
	}
}

/* One byte of framing. */
static int step(struct h1_chunk *chunk, char byte)
{
	switch ((enum state)chunk->state) {
	case SIZE: return step_size(chunk, byte);
	case SIZE_LF: return step_size_lf(chunk, byte);
	case EXT_NAME ... EXT_AFTER: return step_extension(chunk, byte);
	case DATA_CR:
	case DATA_LF: return step_data_end(chunk, byte);
	default: return step_trailer(chunk, byte);
	}
}

/* Cuts as much of the chunk's data off the input as there is. */
static struct str take_data(struct h1_chunk *chunk, struct str *input)
{
	struct str data = str_first(*input, (size_t)MIN(chunk->left, (uint64_t)input->len));

	*input = str_from(*input, data.len);
	chunk->left -= data.len;
	if (chunk->left == 0)
		chunk->state = DATA_CR;
	return data;
}

int h1_chunk_next(struct h1_chunk *chunk, struct str *input, struct str *ret_data)
{
	CHECK(chunk->state != DONE);

	while (input->len) {
		int r;

		if (chunk->state == DATA) {
			*ret_data = take_data(chunk, input);
			return H1_CHUNK_DATA;
		}

		r = step(chunk, input->at[0]);
		if (r < 0)
			return r;
		input->at++;
		input->len--;
		if (chunk->state == DONE)
			return H1_CHUNK_DONE;
	}
	return H1_CHUNK_MORE;
}

size_t h1_chunk_head(char *at, size_t size)
{
	size_t digits = (67 - (size_t)__builtin_clzll(size | 1)) / 4;

	CHECK(size > 0);

	num_write_hex(at, size, digits);
	memcpy(at + digits, "\r\n", 2);
	return digits + 2;
}
