/* UTF-8, checked by table 3-7 of the Unicode standard. ASCII runs are skipped eight bytes at a
 * time. */
#include "base/utf8.h"

#include "base/check.h"

/* Length of the ASCII run at the start. */
static size_t ascii_run(struct str text)
{
	size_t i = 0;

	for (; i + 8 <= text.len; i += 8) {
		uint64_t eight;

		memcpy(&eight, text.at + i, 8);
		if (eight & 0x8080808080808080u)
			break;
	}
	while (i < text.len && (unsigned char)text.at[i] < 0x80)
		i++;
	return i;
}

static bool continues(unsigned char byte)
{
	return (byte & 0xC0) == 0x80;
}

size_t utf8_read(struct str text, uint32_t *ret_point)
{
	const unsigned char *at = (const unsigned char *)text.at;

	if (text.len == 0)
		return 0;
	if (at[0] < 0x80) {
		*ret_point = at[0];
		return 1;
	}
	if (at[0] >= 0xC2 && at[0] <= 0xDF && text.len >= 2 && continues(at[1])) {
		*ret_point = (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu);
		return 2;
	}
	if ((at[0] & 0xF0) == 0xE0 && text.len >= 3 && continues(at[1]) && continues(at[2])) {
		uint32_t point = (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);

		if (point < 0x800 || (point >= 0xD800 && point <= 0xDFFF))
			return 0;
		*ret_point = point;
		return 3;
	}
	if (at[0] >= 0xF0 && at[0] <= 0xF4 && text.len >= 4 && continues(at[1]) &&
		continues(at[2]) && continues(at[3])) {
		uint32_t point = (at[0] & 0x07u) << 18 | (at[1] & 0x3Fu) << 12 |
				 (at[2] & 0x3Fu) << 6 | (at[3] & 0x3Fu);

		if (point < 0x10000 || point > 0x10FFFF)
			return 0;
		*ret_point = point;
		return 4;
	}
	return 0;
}

bool utf8_valid(struct str text)
{
	for (;;) {
		uint32_t point;
		size_t len;

		text = str_from(text, ascii_run(text));
		if (text.len == 0)
			return true;

		len = utf8_read(text, &point);
		if (len == 0)
			return false;
		text = str_from(text, len);
	}
}

size_t utf8_write(char *at, uint32_t point)
{
	CHECK(point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF));

	if (point < 0x80) {
		at[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		at[0] = (char)(0xC0 | point >> 6);
		at[1] = (char)(0x80 | (point & 0x3F));
		return 2;
	}
	if (point < 0x10000) {
		at[0] = (char)(0xE0 | point >> 12);
		at[1] = (char)(0x80 | (point >> 6 & 0x3F));
		at[2] = (char)(0x80 | (point & 0x3F));
		return 3;
	}
	at[0] = (char)(0xF0 | point >> 18);
	at[1] = (char)(0x80 | (point >> 12 & 0x3F));
	at[2] = (char)(0x80 | (point >> 6 & 0x3F));
	at[3] = (char)(0x80 | (point & 0x3F));
	return 4;
}

size_t utf8_length(struct str text)
{
	size_t points = 0;

	for (size_t i = 0; i < text.len; i++)
		points += !continues((unsigned char)text.at[i]);
	return points;
}
