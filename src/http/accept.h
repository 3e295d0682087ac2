/*
 * Which content coding an answer gets: what the client takes (Accept-Encoding, RFC 9110 12.5.3) and
 * what is worth compressing.
 */
#ifndef HTTP_ACCEPT_H
#define HTTP_ACCEPT_H

#include "base/str.h"

#pragma GCC visibility push(default)

enum encoding { ENCODING_IDENTITY, ENCODING_GZIP, ENCODING_BR, ENCODINGS };

/* The name for Content-Encoding: "gzip", "br"; "identity" is never sent. */
struct str encoding_name(enum encoding encoding);

/* What the client said so far; zero is a request without the field. */
struct encoding_wish {
	bool given;                       /* there was a field */
	bool malformed;                   /* ... that broke the grammar */
	bool any_named;                   /* "*" was in it */
	bool named[ENCODINGS];            /* this coding was */
	unsigned short any;               /* weight of "*", in thousandths */
	unsigned short weight[ENCODINGS]; /* weights of the named ones */
};

/* Takes one Accept-Encoding value; a coding named twice keeps its lower weight. */
void encoding_wish_add(struct encoding_wish *wish, struct str value);

/*
 * The coding to use: the heaviest one, on equal weights br before gzip before identity. Identity
 * that is not named weighs less than anything named. Identity when the field is missing or
 * malformed, or when the client takes nothing that we speak (RFC 9110 12.5.3 prefers that to 406).
 */
enum encoding encoding_wish_choose(const struct encoding_wish *wish);

/* Both in one, for a request with one Accept-Encoding field; .at is NULL without one. */
enum encoding accept_encoding(struct str value);

/*
 * True when bodies of this Content-Type (parameters are ignored) shrink: text, JSON, XML, scripts,
 * SVG, wasm, plain fonts. False for what is compressed already, for what is not known, and for
 * text/event-stream, whose events must not wait in an encoder.
 */
bool content_compressible(struct str content_type);

#pragma GCC visibility pop

#endif
