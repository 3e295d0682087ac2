/*
 * Accept-Encoding and Content-Type. A list has the same meaning as one field, as one field for each
 * member, and whatever else it says, a coding that is not named is never chosen.
 */
#include "http/accept.h"

#include "base/check.h"
#include "http/h1_parse.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* True when the text occurs in any case. */
static bool mentions(struct str text, struct str word)
{
	for (size_t i = 0; i + word.len <= text.len; i++)
		if (str_eq_nocase(str_first(str_from(text, i), word.len), word))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct str text = str_of((const char *)bytes, size);
	enum encoding chosen = accept_encoding(text);
	struct encoding_wish wish = { 0 };
	struct str rest = text, member;

	while (h1_list_next(&rest, &member)) {
		CHECK(member.len > 0 && member.at >= text.at);
		encoding_wish_add(&wish, member);
	}
	CHECK(encoding_wish_choose(&wish) == chosen);
	if (chosen != ENCODING_IDENTITY)
		CHECK(mentions(text, encoding_name(chosen)) || str_find_byte(text, '*') >= 0);
	(void)content_compressible(text);
	return 0;
}
