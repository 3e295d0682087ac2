/* What was found, for people and programs. */
#include "modules/audit/audit_internal.h"

#include "base/time_text.h"
#include "json/writer.h"

static const struct {
	const char *name, *text;
} kinds[FINDING_KINDS] = {
	[FINDING_KEY] = { "key",
		"nothing is sealed with this MASTER_KEY: it is another one's log, or "
		"the key is not that of the log" },
	[FINDING_EDITED] = { "edited", "an entry is not what was written" },
	[FINDING_ERASED] = { "erased", "personal data is missing, and nobody asked for that" },
	[FINDING_GAP] = { "gap", "entries are missing" },
	[FINDING_ORDER] = { "order", "an entry is not in its place" },
	[FINDING_END] = { "end", "the chain does not end where it should" },
	[FINDING_MARK] = { "mark", "the mark of the beginning or the end is not what was written" },
	[FINDING_DELETED] = { "deleted", "entries were not whole when their time was over" },
	[FINDING_HEAD] = { "head", "the chain is not the one that a head from elsewhere tells of" },
	[FINDING_FORGED] = { "forged", "a head from elsewhere is not of this installation" },
	[FINDING_UNREADABLE] = { "unreadable", "a row cannot be read" },
};

static bool of_tenant(const struct audit_finding *finding)
{
	return finding->kind != FINDING_KEY && finding->kind != FINDING_FORGED;
}

/* --- for people ------------------------------------------------------------------------------ */

static void write_finding(const struct audit_finding *finding, struct buf *out)
{
	char tenant[UUID_TEXT_LEN];

	buf_printf(out, "BROKEN (%s): %s", kinds[finding->kind].name, kinds[finding->kind].text);
	if (of_tenant(finding)) {
		uuid_write(tenant, &finding->tenant);
		buf_printf(out, "; tenant %.*s", UUID_TEXT_LEN, tenant);
	}
	if (finding->sequence)
		buf_printf(out, ", number %lld", (long long)finding->sequence);
	if (finding->id.len)
		buf_printf(out, ", entry %.*s", STR_ARG(finding->id));
	buf_byte(out, '\n');
}

static void write_text(const struct audit_report *report, struct buf *out)
{
	char time[TIME_RFC3339_LEN];

	for (size_t i = 0; i < report->count; i++)
		write_finding(&report->at[i], out);
	if (report->found > report->count)
		buf_printf(out, "... and %zu more\n", report->found - report->count);
	buf_printf(out, "%lld entries of %lld tenants", (long long)report->entries,
		(long long)report->tenants);
	if (report->heads)
		buf_printf(out, ", %lld heads from elsewhere", (long long)report->heads);
	if (report->erased)
		buf_printf(out, ", %lld without personal data", (long long)report->erased);
	buf_append(out, report->found ? S(": BROKEN\n") : S(": whole\n"));
	if (report->unchained) {
		time_write_rfc3339(time, report->oldest_unchained);
		buf_printf(out, "%lld entries are not chained yet, the oldest of %.*s\n",
			(long long)report->unchained, (int)sizeof(time), time);
	}
}

/* --- JSON ----------------------------------------------------------------- */

static void write_number(struct json_writer *json, struct str name, int64_t value)
{
	json_write_key(json, name);
	json_write_i64(json, value);
}

static void write_string(struct json_writer *json, struct str name, struct str value)
{
	json_write_key(json, name);
	json_write_string(json, value);
}

static void write_finding_json(const struct audit_finding *finding, struct json_writer *json)
{
	char tenant[UUID_TEXT_LEN];

	json_write_object(json);
	write_string(json, S("kind"), str_from_c(kinds[finding->kind].name));
	write_string(json, S("text"), str_from_c(kinds[finding->kind].text));
	if (of_tenant(finding)) {
		uuid_write(tenant, &finding->tenant);
		write_string(json, S("tenant"), str_of(tenant, sizeof(tenant)));
	}
	if (finding->sequence)
		write_number(json, S("sequence"), finding->sequence);
	if (finding->id.len)
		write_string(json, S("entry"), finding->id);
	json_write_object_end(json);
}

static void write_json(const struct audit_report *report, struct buf *out)
{
	struct json_writer json;
	char time[TIME_RFC3339_LEN];
	int r;

	json_writer_init(&json, out);
	json_write_object(&json);
	json_write_key(&json, S("whole"));
	json_write_bool(&json, report->found == 0);
	write_number(&json, S("tenants"), report->tenants);
	write_number(&json, S("entries"), report->entries);
	write_number(&json, S("withoutPersonalData"), report->erased);
	write_number(&json, S("heads"), report->heads);
	write_number(&json, S("unchained"), report->unchained);
	if (report->unchained) {
		time_write_rfc3339(time, report->oldest_unchained);
		write_string(&json, S("oldestUnchained"), str_of(time, sizeof(time)));
	}
	write_number(&json, S("found"), (int64_t)report->found);
	json_write_key(&json, S("findings"));
	json_write_array(&json);
	for (size_t i = 0; i < report->count; i++)
		write_finding_json(&report->at[i], &json);
	json_write_array_end(&json);
	json_write_object_end(&json);
	r = json_writer_done(&json);
	(void)r; /* sticks in the buffer */
	buf_byte(out, '\n');
}

void audit_report_write(const struct audit_report *report, bool json, struct buf *out)
{
	if (json)
		write_json(report, out);
	else
		write_text(report, out);
}
