/* Weighs content codings and knows media types. Pure. */
#include "http/accept.h"

#include "base/check.h"
#include "http/chars.h"
#include "http/h1_parse.h"

enum { WEIGHT_ONE = 1000 };

struct str encoding_name(enum encoding encoding)
{
	static const struct str names[ENCODINGS] = {
		[ENCODING_IDENTITY] = S_INIT("identity"),
		[ENCODING_GZIP] = S_INIT("gzip"),
		[ENCODING_BR] = S_INIT("br"),
	};

	CHECK(encoding < ENCODINGS);
	return names[encoding];
}

/* qvalue: "0" or "1" with at most three decimals, RFC 9110 12.4.2. */
static bool parse_qvalue(struct str text, unsigned short *ret_weight)
{
	unsigned weight = 0;
	unsigned step = WEIGHT_ONE;

	if (text.len == 0 || text.len > strlen("0.000") || (text.len > 1 && text.at[1] != '.'))
		return false;

	for (size_t i = 0; i < text.len; i += i ? 1 : 2) {
		unsigned digit = (unsigned char)text.at[i] - '0';

		if (digit > 9)
			return false;
		weight += digit * step;
		step /= 10;
	}
	if (weight > WEIGHT_ONE)
		return false;

	*ret_weight = (unsigned short)weight;
	return true;
}

/* What stands behind a coding: nothing, or its weight. */
static bool parse_weight(struct str text, unsigned short *ret_weight)
{
	text = str_trim(text);
	if (text.len == 0) {
		*ret_weight = WEIGHT_ONE;
		return true;
	}
	if (text.at[0] != ';')
		return false;

	text = str_trim(str_from(text, 1));
	return str_eq_nocase(str_first(text, 2), S("q=")) &&
	       parse_qvalue(str_from(text, 2), ret_weight);
}

static void note(bool *named, unsigned short *kept, unsigned short weight)
{
	*kept = *named ? MIN(*kept, weight) : weight;
	*named = true;
}

static void note_coding(struct encoding_wish *wish, struct str coding, unsigned short weight)
{
	if (str_eq(coding, S("*")))
		note(&wish->any_named, &wish->any, weight);
	else if (str_eq_nocase(coding, S("x-gzip"))) /* RFC 9110 8.4.1.3 */
		note(&wish->named[ENCODING_GZIP], &wish->weight[ENCODING_GZIP], weight);
	for (enum encoding e = 0; e < ENCODINGS; e++)
		if (str_eq_nocase(coding, encoding_name(e)))
			note(&wish->named[e], &wish->weight[e], weight);
}

void encoding_wish_add(struct encoding_wish *wish, struct str value)
{
	struct str member;

	wish->given = true;
	while (h1_list_next(&value, &member)) {
		struct str coding = chars_cut_token(&member);
		unsigned short weight;

		if (coding.len == 0 || !parse_weight(member, &weight))
			wish->malformed = true;
		else
			note_coding(wish, coding, weight);
	}
}

enum encoding encoding_wish_choose(const struct encoding_wish *wish)
{
	enum encoding best = ENCODING_IDENTITY;
	unsigned most = 0;

	if (!wish->given || wish->malformed)
		return ENCODING_IDENTITY;

	for (enum encoding e = 0; e < ENCODINGS; e++) { /* in rising preference */
		unsigned weight = wish->named[e]    ? wish->weight[e]
				  : wish->any_named ? wish->any
						    : 0;

		if (weight > 0 && weight >= most) {
			best = e;
			most = weight;
		}
	}
	return best;
}

enum encoding accept_encoding(struct str value)
{
	struct encoding_wish wish = { 0 };

	if (value.at)
		encoding_wish_add(&wish, value);
	return encoding_wish_choose(&wish);
}

bool content_compressible(struct str content_type)
{
	static const struct str exact[] = {
		S_INIT("application/graphql"),
		S_INIT("application/javascript"),
		S_INIT("application/json"),
		S_INIT("application/ndjson"),
		S_INIT("application/openmetrics-text"),
		S_INIT("application/rtf"),
		S_INIT("application/sql"),
		S_INIT("application/wasm"),
		S_INIT("application/x-javascript"),
		S_INIT("application/x-ndjson"),
		S_INIT("application/x-www-form-urlencoded"),
		S_INIT("application/xml"),
		S_INIT("application/yaml"),
		S_INIT("font/otf"),
		S_INIT("font/ttf"),
		S_INIT("image/bmp"),
		S_INIT("image/svg+xml"),
		S_INIT("image/vnd.microsoft.icon"),
		S_INIT("image/x-icon"),
	};
	static const struct str suffixes[] = { S_INIT("+json"), S_INIT("+xml"), S_INIT("+yaml") };
	struct str type = str_trim(str_cut(&content_type, ';'));

	if (str_eq_nocase(str_first(type, 5), S("text/")))
		return !str_eq_nocase(type, S("text/event-stream"));
	for (size_t i = 0; i < LEN(exact); i++)
		if (str_eq_nocase(type, exact[i]))
			return true;
	for (size_t i = 0; i < LEN(suffixes); i++)
		if (type.len > suffixes[i].len &&
			str_eq_nocase(str_from(type, type.len - suffixes[i].len), suffixes[i]))
			return true;
	return false;
}
