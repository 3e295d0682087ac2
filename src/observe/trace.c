/* Readers and writers of the two headers. Everything here is input until it has been checked. */
#include "observe/trace.h"

#include "base/check.h"
#include "base/num.h"

enum {
	KEY_MAX = 256,
	VALUE_MAX = 256,
	LARGE_MEMBER = 128, /* a longer one is the first to go */
};

/* --- traceparent ---------------------------------------------------------- */

/* Lower-case hex digits only, as many as the text has (at most 16). */
static bool parse_hex(struct str text, uint64_t *ret)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] >= 'A' && text.at[i] <= 'F')
			return false;
	return num_parse_hex(text, ret);
}

bool trace_parse(struct str header, struct trace *ret)
{
	uint64_t version, high, low, span, flags;

	if (header.len < TRACE_PARENT_LEN || header.at[2] != '-' || header.at[35] != '-' ||
		header.at[52] != '-')
		return false;
	if (!parse_hex(str_of(header.at, 2), &version) ||
		!parse_hex(str_of(header.at + 3, 16), &high) ||
		!parse_hex(str_of(header.at + 19, 16), &low) ||
		!parse_hex(str_of(header.at + 36, 16), &span) ||
		!parse_hex(str_of(header.at + 53, 2), &flags))
		return false;

	if (version == 0xFF || (high == 0 && low == 0) || span == 0)
		return false;
	if (header.len > TRACE_PARENT_LEN && (version == 0 || header.at[TRACE_PARENT_LEN] != '-'))
		return false;

	*ret = (struct trace){ .high = high,
		.low = low,
		.span = span,
		.flags = (uint8_t)(flags & (TRACE_SAMPLED | TRACE_RANDOM)) };
	return true;
}

/* Zero is not an id. */
static uint64_t not_zero(uint64_t random)
{
	return random ? random : 1;
}

struct trace trace_start(const uint8_t random[TRACE_RANDOM_LEN], bool sampled)
{
	uint64_t parts[3];

	memcpy(parts, random, sizeof(parts));
	return (struct trace){ .high = parts[0],
		.low = not_zero(parts[1]),
		.span = not_zero(parts[2]),
		.flags = (uint8_t)(TRACE_RANDOM | (sampled ? TRACE_SAMPLED : 0)) };
}

struct trace trace_child(const struct trace *parent, uint64_t random)
{
	struct trace child = *parent;

	child.span = not_zero(random);
	return child;
}

void trace_write_id(char *at, const struct trace *trace)
{
	num_write_hex(at, trace->high, 16);
	num_write_hex(at + 16, trace->low, 16);
}

void trace_write_span(char *at, uint64_t span)
{
	num_write_hex(at, span, 16);
}

void trace_write(char *at, const struct trace *trace)
{
	memcpy(at, "00-", 3);
	trace_write_id(at + 3, trace);
	at[35] = '-';
	trace_write_span(at + 36, trace->span);
	at[52] = '-';
	num_write_hex(at + 53, trace->flags & (TRACE_SAMPLED | TRACE_RANDOM), 2);
}

/* --- tracestate ----------------------------------------------------------- */

static bool key_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_' ||
	       byte == '-' || byte == '*' || byte == '/' || byte == '@';
}

static bool key_ok(struct str key)
{
	if (key.len == 0 || key.len > KEY_MAX)
		return false;

	for (size_t i = 0; i < key.len; i++)
		if (!key_byte(key.at[i]))
			return false;
	return (key.at[0] >= 'a' && key.at[0] <= 'z') || (key.at[0] >= '0' && key.at[0] <= '9');
}

static bool value_ok(struct str value)
{
	if (value.len == 0 || value.len > VALUE_MAX || value.at[value.len - 1] == ' ')
		return false;

	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] < 0x20 || value.at[i] > 0x7E || value.at[i] == ',' ||
			value.at[i] == '=')
			return false;
	return true;
}

/* The members that are not empty. */
struct members {
	struct str at[TRACE_STATE_MEMBERS];
	size_t count;
};

static struct str member_key(struct str member)
{
	return str_cut(&member, '=');
}

static bool has_key(const struct members *members, struct str key)
{
	for (size_t i = 0; i < members->count; i++)
		if (str_eq(member_key(members->at[i]), key))
			return true;
	return false;
}

/* Takes a valid tracestate apart; false when it is not. */
static bool read_members(struct str state, struct members *ret)
{
	ret->count = 0;
	if (state.len > TRACE_STATE_MAX)
		return false;

	while (state.at) {
		struct str member = str_trim(str_cut(&state, ','));
		struct str value = member, key = str_cut(&value, '=');

		if (member.len == 0)
			continue;
		if (!key_ok(key) || !value_ok(value) || has_key(ret, key) ||
			ret->count == TRACE_STATE_MEMBERS)
			return false;
		ret->at[ret->count++] = member;
	}
	return true;
}

bool trace_state_valid(struct str state)
{
	struct members members;

	return read_members(state, &members);
}

static void remove_member(struct members *members, size_t index)
{
	members->count--;
	memmove(&members->at[index], &members->at[index + 1],
		(members->count - index) * sizeof(*members->at));
}

static void remove_key(struct members *members, struct str key)
{
	for (size_t i = 0; i < members->count; i++)
		if (str_eq(member_key(members->at[i]), key)) {
			remove_member(members, i);
			return;
		}
}

/* Bytes of all members with their commas. */
static size_t members_len(const struct members *members)
{
	size_t len = members->count ? members->count - 1 : 0;

	for (size_t i = 0; i < members->count; i++)
		len += members->at[i].len;
	return len;
}

/* Removes members until the rest fits into `size` bytes. */
static void shorten(struct members *members, size_t size)
{
	for (size_t i = members->count; i-- > 0 && members_len(members) > size;)
		if (members->at[i].len > LARGE_MEMBER)
			remove_member(members, i);
	while (members->count && members_len(members) > size)
		members->count--;
}

static size_t write_members(char *at, const struct members *members)
{
	size_t len = 0;

	for (size_t i = 0; i < members->count; i++) {
		if (len)
			at[len++] = ',';
		memcpy(at + len, members->at[i].at, members->at[i].len);
		len += members->at[i].len;
	}
	return len;
}

size_t trace_state_write(char *at, size_t size, struct str state, struct str key, struct str value)
{
	struct members members;
	size_t len = 0;

	if (!read_members(state, &members))
		members.count = 0;

	if (key.len) {
		CHECK(key_ok(key) && value_ok(value));
		remove_key(&members, key);
		if (members.count == TRACE_STATE_MEMBERS)
			members.count--;
		if (key.len + 1 + value.len > size)
			return 0;
		memcpy(at, key.at, key.len);
		at[key.len] = '=';
		memcpy(at + key.len + 1, value.at, value.len);
		len = key.len + 1 + value.len;
	}

	if (len == 0) {
		shorten(&members, size);
		return write_members(at, &members);
	}

	shorten(&members, size - len > 0 ? size - len - 1 : 0);
	if (members.count) {
		at[len++] = ',';
		len += write_members(at + len, &members);
	}
	return len;
}
