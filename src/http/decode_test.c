/* Decoders for tests. The brotli decoder is loaded at run time, since only tests need it. */
#include "http/decode_test.h"

#include "base/test.h"

#include <dlfcn.h>
#include <stdint.h>
#include <zlib.h>

static void decode_gzip(struct str packed, struct buf *plain)
{
	z_stream stream = { .next_in = (unsigned char *)packed.at,
		.avail_in = (unsigned)packed.len };
	int r;

	REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
	do {
		REQUIRE(buf_room(plain, 4096));
		stream.next_out = (unsigned char *)plain->at + plain->len;
		stream.avail_out = 4096;
		r = inflate(&stream, Z_SYNC_FLUSH);
		plain->len += 4096 - stream.avail_out;
	} while (r == Z_OK && (stream.avail_in || stream.avail_out == 0));
	(void)inflateEnd(&stream);
}

/* BrotliDecoderCreateInstance and the calls that go with it. */
struct decoder {
	void *(*create)(void *(*)(void *, size_t), void (*)(void *, void *), void *);
	void (*destroy)(void *);
	int (*decompress)(void *, size_t *, const uint8_t **, size_t *, uint8_t **, size_t *);
};

static struct decoder load_decoder(void)
{
	void *library = dlopen("libbrotlidec.so.1", RTLD_NOW);
	struct decoder decoder;

	if (!library)
		test_skip("libbrotlidec.so.1 is not there");
	*(void **)&decoder.create = dlsym(library, "BrotliDecoderCreateInstance");
	*(void **)&decoder.destroy = dlsym(library, "BrotliDecoderDestroyInstance");
	*(void **)&decoder.decompress = dlsym(library, "BrotliDecoderDecompressStream");
	REQUIRE(decoder.create && decoder.destroy && decoder.decompress);
	return decoder;
}

static void decode_br(struct str packed, struct buf *plain)
{
	enum { ERROR = 0 };
	struct decoder decoder = load_decoder();
	void *state = decoder.create(NULL, NULL, NULL);
	const uint8_t *in = (const uint8_t *)packed.at;
	size_t room;
	int r;

	REQUIRE(state);
	do {
		uint8_t *out;

		room = 4096;
		REQUIRE(buf_room(plain, room));
		out = (uint8_t *)plain->at + plain->len;
		r = decoder.decompress(state, &packed.len, &in, &room, &out, NULL);
		REQUIRE(r != ERROR);
		plain->len += 4096 - room;
	} while (room == 0);
	decoder.destroy(state);
}

void decode(enum encoding encoding, struct str packed, struct buf *plain)
{
	if (encoding == ENCODING_GZIP)
		decode_gzip(packed, plain);
	else
		decode_br(packed, plain);
}
