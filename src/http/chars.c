/* The table of byte classes. Each byte is listed once, with all its classes. */
#include "http/chars.h"

#define VALUE (CHAR_TARGET | CHAR_QUOTED | CHAR_FIELD)

const unsigned char char_classes[256] = {
	['\t'] = CHAR_QUOTED | CHAR_FIELD,
	[' '] = CHAR_QUOTED | CHAR_FIELD,
	['!'] = CHAR_TOKEN | VALUE,
	['"'] = CHAR_FIELD,
	['#'] = CHAR_TOKEN | CHAR_QUOTED | CHAR_FIELD,
	['$' ... '\''] = CHAR_TOKEN | VALUE,
	['('] = VALUE,
	[')'] = VALUE,
	['*' ... '+'] = CHAR_TOKEN | VALUE,
	[','] = VALUE,
	['-' ... '.'] = CHAR_TOKEN | CHAR_HOST | VALUE,
	['/'] = VALUE,
	['0' ... '9'] = CHAR_TOKEN | CHAR_HOST | VALUE,
	[':' ... ';'] = VALUE,
	['<'] = CHAR_QUOTED | CHAR_FIELD,
	['='] = VALUE,
	['>'] = CHAR_QUOTED | CHAR_FIELD,
	['?' ... '@'] = VALUE,
	['A' ... 'Z'] = CHAR_TOKEN | CHAR_HOST | VALUE,
	['['] = VALUE,
	['\\'] = CHAR_FIELD,
	[']'] = VALUE,
	['^'] = CHAR_TOKEN | VALUE,
	['_'] = CHAR_TOKEN | CHAR_HOST | VALUE,
	['`'] = CHAR_TOKEN | VALUE,
	['a' ... 'z'] = CHAR_TOKEN | CHAR_HOST | VALUE,
	['{'] = VALUE,
	['|'] = CHAR_TOKEN | VALUE,
	['}'] = VALUE,
	['~'] = CHAR_TOKEN | CHAR_HOST | VALUE,
	[0x80 ... 0xFF] = CHAR_QUOTED | CHAR_FIELD,
};

bool chars_all(struct str text, enum char_class class)
{
	for (size_t i = 0; i < text.len; i++)
		if (!char_is(text.at[i], class))
			return false;
	return true;
}

struct str chars_cut_token(struct str *rest)
{
	size_t len = 0;
	struct str token;

	while (len < rest->len && char_is(rest->at[len], CHAR_TOKEN))
		len++;

	token = str_first(*rest, len);
	*rest = str_from(*rest, len);
	return token;
}
