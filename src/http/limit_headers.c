/* Writes verdicts of limiters as header lines. Pure. */
#include "http/limit_headers.h"

static uint64_t seconds(uint64_t ns)
{
	return ns / SECOND + (ns % SECOND != 0);
}

static void append_number(struct buf *out, struct str before, uint64_t value)
{
	buf_append(out, before);
	buf_u64(out, value);
}

/* Names of limiters need no escapes. */
static void append_name(struct buf *out, struct str name, bool first)
{
	if (!first)
		buf_append(out, S(", "));
	buf_byte(out, '"');
	buf_append(out, name);
	buf_byte(out, '"');
}

static void append_policies(struct buf *out, const struct limit_verdict *verdicts, size_t count)
{
	buf_append(out, S("ratelimit-policy: "));
	for (size_t i = 0; i < count; i++) {
		append_name(out, verdicts[i].name, i == 0);
		append_number(out, S(";q="), verdicts[i].quota);
		if (verdicts[i].window_ns % SECOND == 0)
			append_number(out, S(";w="), verdicts[i].window_ns / SECOND);
	}
	buf_append(out, S("\r\nratelimit: "));
	for (size_t i = 0; i < count; i++) {
		append_name(out, verdicts[i].name, i == 0);
		append_number(out, S(";r="), verdicts[i].remaining);
		if (verdicts[i].more_ns)
			append_number(out, S(";t="), seconds(verdicts[i].more_ns));
	}
	buf_append(out, S("\r\n"));
}

/* True when `a` stops the client before `b` does. */
static bool binds_before(const struct limit_verdict *a, const struct limit_verdict *b)
{
	if (a->allowed != b->allowed)
		return !a->allowed;
	if (a->retry_after_ns != b->retry_after_ns)
		return a->retry_after_ns > b->retry_after_ns;
	if (a->remaining != b->remaining)
		return a->remaining < b->remaining;
	return a->more_ns > b->more_ns;
}

void limit_headers(
	struct buf *out, const struct limit_verdict *verdicts, size_t count, int64_t wall_us)
{
	const struct limit_verdict *binding = verdicts;
	uint64_t wall_ns = (uint64_t)wall_us * MICROSECOND;
	uint64_t wait_ns = 0;

	CHECK(count <= LIMIT_HEADERS_MAX);
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		if (binds_before(&verdicts[i], binding))
			binding = &verdicts[i];
		if (verdicts[i].retry_after_ns > wait_ns)
			wait_ns = verdicts[i].retry_after_ns;
	}

	append_policies(out, verdicts, count);
	append_number(out, S("x-ratelimit-limit: "), binding->limit);
	append_number(out, S("\r\nx-ratelimit-remaining: "), binding->remaining);
	append_number(out, S("\r\nx-ratelimit-reset: "), seconds(wall_ns + binding->full_ns));
	if (wait_ns > 0 && wait_ns < UINT64_MAX)
		append_number(out, S("\r\nretry-after: "), seconds(wait_ns));
	buf_append(out, S("\r\n"));
}
