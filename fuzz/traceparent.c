/*
 * The first line is a traceparent, the second a tracestate. What is accepted must survive being
 * written and read again, and a tracestate must come out valid, bounded and with our member first.
 */
#include "base/check.h"
#include "observe/trace.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parent(struct str header)
{
	struct trace trace, again;
	char at[TRACE_PARENT_LEN];

	if (!trace_parse(header, &trace))
		return;

	trace_write(at, &trace);
	CHECK(trace_parse(str_of(at, sizeof(at)), &again));
	CHECK(again.high == trace.high && again.low == trace.low && again.span == trace.span &&
		again.flags == trace.flags);
	CHECK(header.len >= sizeof(at) && memcmp(header.at + 2, at + 2, 51) == 0);
}

static void check_state(struct str state, size_t limit)
{
	static char at[TRACE_STATE_MAX];
	bool valid = trace_state_valid(state);
	struct str out = str_of(at, trace_state_write(at, limit, state, S("bh"), S("0123456789")));

	CHECK(out.len <= limit && trace_state_valid(out));
	CHECK(out.len == 0 || str_starts(out, S("bh=0123456789")));
	CHECK(limit < 13 || out.len > 0);

	out = str_of(at, trace_state_write(at, limit, state, S(""), S("")));
	CHECK(out.len <= limit && trace_state_valid(out) && (valid || out.len == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str state = str_of((const char *)data, size);
	struct str parent = str_cut(&state, '\n');

	check_parent(parent);
	check_state(state, TRACE_STATE_MIN);
	check_state(state, parent.len);
	check_state(state, TRACE_STATE_MAX);
	return 0;
}
