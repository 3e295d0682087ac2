/*
 * Entries as CSV (RFC 4180). Every text is quoted, whatever it contains. Spreadsheets take a cell
 * that begins with one of = + - @, a tab or a line break for a formula; a quote in front makes it a
 * text.
 */
#include "modules/audit/audit_internal.h"

#include "base/time_text.h"

void audit_csv_text(struct str text, struct buf *out)
{
	static const struct str formulas = S_INIT("=+-@\t\r\n");

	if (text.len == 0)
		return;
	buf_byte(out, '"');
	if (str_find_byte(formulas, text.at[0]) >= 0)
		buf_byte(out, '\'');
	while (text.at) {
		struct str part = str_cut(&text, '"');

		buf_append(out, part);
		if (text.at)
			buf_append(out, S("\"\""));
	}
	buf_byte(out, '"');
}

void audit_csv_names(struct buf *out)
{
	buf_append(out,
		S("id,sequence,createdAt,kind,userId,keyId,sessionId,impersonatorId,address,action,"
		  "targetType,targetId,security,before,after,requestId,traceId\r\n"));
}

void audit_csv_row(const struct audit_item *item, struct buf *out)
{
	static const struct str kinds[] = { S_INIT("program"), S_INIT("nobody"), S_INIT("user"),
		S_INIT("key") };
	const struct str front[] = { kinds[item->kind], item->user_id, item->key_id,
		item->session_id, item->impersonator_id, item->address, item->action,
		item->target_type, item->target_id, item->security ? S("true") : S("false"),
		item->before.json, item->after.json, item->request_id, item->trace_id };
	char time[TIME_RFC3339_LEN];

	time_write_rfc3339(time, item->created_at);
	audit_csv_text(item->id, out);
	buf_byte(out, ',');
	if (item->sequence.set)
		buf_i64(out, item->sequence.value);
	buf_byte(out, ',');
	audit_csv_text(str_of(time, sizeof(time)), out);
	for (size_t i = 0; i < LEN(front); i++) {
		buf_byte(out, ',');
		audit_csv_text(front[i], out);
	}
	buf_append(out, S("\r\n"));
}
