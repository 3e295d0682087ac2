/* Accept-Encoding and media types, as tables. */
#include "http/accept.h"

#include "base/test.h"

TEST(accept_encodings)
{
	static const struct {
		struct str value;
		enum encoding encoding;
	} cases[] = {
		{ { NULL, 0 }, ENCODING_IDENTITY },
		{ S_INIT(""), ENCODING_IDENTITY },
		{ S_INIT("gzip"), ENCODING_GZIP },
		{ S_INIT("GZip"), ENCODING_GZIP },
		{ S_INIT("x-gzip"), ENCODING_GZIP },
		{ S_INIT("br"), ENCODING_BR },
		{ S_INIT("gzip, deflate, br"), ENCODING_BR },
		{ S_INIT("gzip, deflate, br, zstd"), ENCODING_BR },
		{ S_INIT("br;q=1.0, gzip;q=0.8, *;q=0.1"), ENCODING_BR },
		{ S_INIT("gzip;q=1.0, br;q=0.9"), ENCODING_GZIP },
		{ S_INIT("br;q=0.999, gzip"), ENCODING_GZIP },
		{ S_INIT("gzip;q=0.5, br;q=0.500"), ENCODING_BR },
		{ S_INIT("gzip ; q=0.5"), ENCODING_GZIP },
		{ S_INIT("gzip;Q=0.5"), ENCODING_GZIP },
		{ S_INIT("gzip;q=0.001"), ENCODING_GZIP },
		{ S_INIT("gzip;q=0"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q=0.000, br;q=0."), ENCODING_IDENTITY },
		{ S_INIT("*"), ENCODING_BR },
		{ S_INIT("*;q=0"), ENCODING_IDENTITY },
		{ S_INIT("br;q=0, *"), ENCODING_GZIP },
		{ S_INIT("br;q=0, gzip;q=0, *"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q=0.2, *;q=0.1"), ENCODING_GZIP },
		{ S_INIT("identity"), ENCODING_IDENTITY },
		{ S_INIT("identity, gzip"), ENCODING_GZIP },
		{ S_INIT("identity;q=1, gzip;q=0.5"), ENCODING_IDENTITY },
		{ S_INIT("identity;q=0.5, gzip;q=0.5"), ENCODING_GZIP },
		{ S_INIT("identity;q=0"), ENCODING_IDENTITY },
		{ S_INIT("identity;q=0, *"), ENCODING_BR },
		{ S_INIT("identity;q=0, gzip;q=0.1"), ENCODING_GZIP },
		{ S_INIT("deflate, compress"), ENCODING_IDENTITY },
		{ S_INIT(",, gzip ,"), ENCODING_GZIP },
		{ S_INIT("gzip, gzip;q=0"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q=0, x-gzip"), ENCODING_IDENTITY },

		{ S_INIT("gzip;q=2"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q=1.001"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q=0.1234"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q=-1"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q=.5"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q=05"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q="), ENCODING_IDENTITY },
		{ S_INIT("gzip;q"), ENCODING_IDENTITY },
		{ S_INIT("gzip;"), ENCODING_IDENTITY },
		{ S_INIT("gzip;q=1;a=b"), ENCODING_IDENTITY },
		{ S_INIT("gzip;a=b"), ENCODING_IDENTITY },
		{ S_INIT("gzip q=1"), ENCODING_IDENTITY },
		{ S_INIT("gzip br"), ENCODING_IDENTITY },
		{ S_INIT("\"gzip\""), ENCODING_IDENTITY },
		{ S_INIT(";q=1"), ENCODING_IDENTITY },
		{ S_INIT("gzip, br;q=x"), ENCODING_IDENTITY },
		{ S_INIT("gzip\0"), ENCODING_IDENTITY },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		test_note(accept_encoding(cases[i].value) == cases[i].encoding, __FILE__, __LINE__,
			"\"%.*s\"", STR_ARG(cases[i].value));
}

TEST(accept_encoding_over_several_lines)
{
	struct encoding_wish wish = { 0 };

	EXPECT_INT(encoding_wish_choose(&wish), ENCODING_IDENTITY);
	encoding_wish_add(&wish, S("br;q=0.5"));
	EXPECT_INT(encoding_wish_choose(&wish), ENCODING_BR);
	encoding_wish_add(&wish, S("gzip"));
	EXPECT_INT(encoding_wish_choose(&wish), ENCODING_GZIP);
	encoding_wish_add(&wish, S("gzip;"));
	EXPECT_INT(encoding_wish_choose(&wish), ENCODING_IDENTITY);
	EXPECT_STR(encoding_name(ENCODING_BR), S("br"));
}

TEST(content_types_that_shrink)
{
	static const struct {
		struct str type;
		bool shrinks;
	} cases[] = {
		{ S_INIT("application/json"), true },
		{ S_INIT("application/json; charset=utf-8"), true },
		{ S_INIT("Application/JSON ;x"), true },
		{ S_INIT("application/problem+json"), true },
		{ S_INIT("image/svg+xml"), true },
		{ S_INIT("text/html"), true },
		{ S_INIT("TEXT/plain;charset=utf-8"), true },
		{ S_INIT("application/x-ndjson"), true },
		{ S_INIT("application/wasm"), true },
		{ S_INIT("text/event-stream"), false },
		{ S_INIT("text/event-stream; charset=utf-8"), false },
		{ S_INIT("image/png"), false },
		{ S_INIT("video/mp4"), false },
		{ S_INIT("application/zip"), false },
		{ S_INIT("application/gzip"), false },
		{ S_INIT("application/octet-stream"), false },
		{ S_INIT("font/woff2"), false },
		{ S_INIT("text"), false },
		{ S_INIT("+json"), false },
		{ S_INIT(""), false },
		{ { NULL, 0 }, false },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		test_note(content_compressible(cases[i].type) == cases[i].shrinks, __FILE__,
			__LINE__, "\"%.*s\"", STR_ARG(cases[i].type));
}
