/* What is sent to a push address, how it is signed, and what an answer means. Pure. */
#include "modules/jobs/jobs_push.h"

#include "base/err.h"
#include "base/num.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "crypto/digest.h"
#include "json/reader.h"

static const struct str mark = S_INIT("whsec_");

enum {
	QUOTED_MAX = 500, /* bytes of an answer that go into the error */
};

/* --- signatures ------------------------------------------------------------------------------ */

void push_secret_write(char *at, const uint8_t secret[PUSH_SECRET_LEN])
{
	memcpy(at, mark.at, mark.len);
	(void)base64_write(
		BASE64_PADDED, at + mark.len, str_of((const char *)secret, PUSH_SECRET_LEN));
}

bool push_secret_read(struct str text, uint8_t ret[PUSH_SECRET_LEN])
{
	return str_starts(text, mark) &&
	       base64_read_exact(BASE64_PADDED, str_from(text, mark.len), ret, PUSH_SECRET_LEN);
}

size_t push_sign(const struct push_secrets *secrets, struct str id, struct str timestamp,
	struct str body, char *at)
{
	const struct str parts[] = { id, S("."), timestamp, S("."), body };
	size_t len = 0;

	for (size_t i = 0; i < secrets->count; i++) {
		uint8_t mac[SHA256_LEN];

		hmac_parts(DIGEST_SHA256, str_of((const char *)secrets->at[i], PUSH_SECRET_LEN),
			parts, LEN(parts), mac);
		if (len > 0)
			at[len++] = ' ';
		memcpy(at + len, "v1,", 3);
		len += 3;
		len += base64_write(
			BASE64_PADDED, at + len, str_of((const char *)mac, sizeof(mac)));
	}
	CHECK(len <= PUSH_SIGNATURES_MAX);
	return len;
}

/* --- the message ----------------------------------------------------------------------------- */

static void write_time(struct json_writer *json, struct str name, int64_t at_us)
{
	char text[TIME_RFC3339_LEN];

	time_write_rfc3339(text, at_us);
	json_write_key(json, name);
	json_write_string(json, str_of(text, sizeof(text)));
}

static void write_text(struct json_writer *json, struct str name, struct str text)
{
	json_write_key(json, name);
	json_write_string(json, text);
}

static void write_number(struct json_writer *json, struct str name, int64_t value)
{
	json_write_key(json, name);
	json_write_i64(json, value);
}

static void write_job(const struct push_message *message, struct json_writer *json)
{
	const struct taken *job = message->job;

	json_write_object(json);
	write_text(json, S("id"), job->id);
	write_text(json, S("tenantId"), job->tenant_id);
	write_text(json, S("queue"), message->queue);
	write_text(json, S("name"), job->name);
	json_write_key(json, S("payload"));
	json_write_raw(json, job->payload.json);
	write_number(json, S("attempt"), job->attempt);
	write_number(json, S("attempts"), job->attempts);
	write_number(json, S("priority"), job->priority);
	if (job->group_key.set)
		write_text(json, S("groupKey"), job->group_key.value);
	if (job->unique_key.set)
		write_text(json, S("uniqueKey"), job->unique_key.value);
	json_write_key(json, S("tags"));
	json_write_array(json);
	for (size_t i = 0; i < job->tags.count; i++)
		json_write_string(json, job->tags.at[i]);
	json_write_array_end(json);
	write_time(json, S("createdAt"), job->created_at);
	json_write_object_end(json);
}

/* The type is the job's name; the standard has dots where ours has a colon. */
void push_write(const struct push_message *message, struct json_writer *json)
{
	char type[JOB_NAME_MAX];
	struct str name = str_first(message->job->name, sizeof(type));

	for (size_t i = 0; i < name.len; i++)
		type[i] = name.at[i] == ':' ? '.' : name.at[i];
	json_write_object(json);
	write_text(json, S("type"), str_of(type, name.len));
	write_time(json, S("timestamp"), message->now_us);
	json_write_key(json, S("data"));
	write_job(message, json);
	json_write_object_end(json);
}

/* --- the answer ------------------------------------------------------------------------------ */

int64_t push_retry_after(struct str text, int64_t now_us)
{
	const int64_t least = (int64_t)(SECOND / MICROSECOND);
	const int64_t most = (int64_t)(24 * HOUR / MICROSECOND);
	uint64_t seconds;
	int64_t at_us;

	if (num_parse_u64(text, &seconds))
		return seconds > (uint64_t)most / 1000000 ? most
							  : MAX((int64_t)seconds * 1000000, least);
	if (!http_date_read(text, &at_us))
		return 0;
	return MAX(MIN(at_us - now_us, most), least);
}

/* Whether a body is one JSON value, and no more than a result may be. */
static bool is_result(struct str body, struct arena *arena)
{
	struct arena_mark at = arena_mark(arena);
	struct json_reader *reader = arena_alloc(arena, sizeof(*reader));
	bool good = reader && body.len > 0 && body.len <= JOB_RESULT_MAX;

	if (good) {
		json_reader_init(reader, body, arena, NULL);
		good = json_next(reader) > JSON_END && json_skip(reader) == 0 &&
		       json_next(reader) == JSON_END;
	}
	arena_back(arena, at);
	return good;
}

static bool says_json(struct str content_type)
{
	struct str rest = content_type;
	struct str type = str_trim(str_cut(&rest, ';'));

	return str_eq_nocase(type, S("application/json")) ||
	       (type.len > 5 && str_eq_nocase(str_from(type, type.len - 5), S("+json")));
}

static int write_message(const struct http_answer *answer, struct arena *arena, struct str *ret)
{
	struct str quoted = worker_cut(answer->body, QUOTED_MAX);

	if (!utf8_valid(quoted) || memchr(quoted.at ? quoted.at : "", 0, quoted.len))
		quoted = S("(no text)");
	*ret = arena_printf(arena, "the address has answered %d%s%.*s", answer->status,
		quoted.len ? ": " : "", STR_ARG(quoted));
	return ret->at ? 0 : -(int)err_last()->code;
}

int push_judge(
	const struct http_answer *answer, int64_t now_us, struct arena *arena, struct job_end *ret)
{
	bool throttles = answer->status == 429 || answer->status == 503;

	if (answer->status >= 200 && answer->status < 300) {
		ret->kind = END_COMPLETE;
		if (says_json(answer->content_type) && is_result(answer->body, arena))
			ret->result.json = answer->body;
		return 0;
	}
	ret->delay_us = throttles ? push_retry_after(answer->retry_after, now_us) : 0;
	ret->kind = ret->delay_us > 0 ? END_SNOOZE : answer->status == 410 ? END_DISCARD : END_FAIL;
	return write_message(answer, arena, &ret->message);
}
