/*
 * Writing entries. What identifies people (the address, PERSONAL members) stands in the entry as a
 * digest under a random salt; the values and the salts stand beside it, in columns that are not
 * sealed, so that they can be erased and the rest stays what it was.
 */
#include "modules/audit/audit_internal.h"

#include "crypto/base64.h"
#include "crypto/random.h"
#include "schema/encode.h"

/* --- who --------------------------------------------------------------------------------- */

struct audit_actor audit_actor_of(const struct req *req)
{
	const struct caller *caller = &req->caller;
	struct audit_actor actor = {
		.session = caller->session,
		.impersonator = caller->impersonator,
		.address = req->client_text,
		.request = req->id,
		.trace = req->log.trace_id,
	};

	switch (caller->kind) {
	case CALLER_NOBODY: actor.kind = AUDIT_NOBODY; break;
	case CALLER_USER:
		actor.kind = AUDIT_USER;
		actor.user = caller->id;
		break;
	case CALLER_PUBLISHABLE:
	case CALLER_SECRET:
		actor.kind = AUDIT_KEY;
		actor.key = caller->id;
		actor.user = caller->owner;
		break;
	}
	return actor;
}

/* --- states ------------------------------------------------------------------------------- */

/* An entry in the making. */
struct draft {
	struct schema_redactor redactor;
	struct audit_row row;
	struct buf before, after, personal;
	char salts[2][AUDIT_SALT_TEXT], address_digest[AUDIT_DIGEST_TEXT], seal[AUDIT_DIGEST_TEXT],
		id[UUID_TEXT_LEN];
};

static void put_personal(
	struct schema_redactor *redactor, struct str value, struct json_writer *writer)
{
	struct draft *draft = CONTAINER_OF(redactor, struct draft, redactor);
	char digest[AUDIT_DIGEST_TEXT];

	buf_byte(&draft->personal, AUDIT_SEPARATOR);
	buf_append(&draft->personal, value);
	draft->row.personal_count++;

	audit_digest(str_of(draft->salts[1], AUDIT_SALT_TEXT), value, digest);
	json_write_object(writer);
	json_write_key(writer, S("personal"));
	json_write_string(writer, str_of(digest, sizeof(digest)));
	json_write_object_end(writer);
}

/* What is kept of a state that is too long. */
static void omit(struct buf *state)
{
	uint8_t made[SHA256_LEN];
	char text[AUDIT_DIGEST_TEXT];
	size_t len = state->len;

	digest(DIGEST_SHA256, buf_str(state), made);
	(void)base64_write(BASE64_URL, text, str_of((const char *)made, sizeof(made)));
	buf_reset(state);
	buf_printf(state, "{\"omitted\":{\"bytes\":%zu,\"sha256\":\"%.*s\"}}", len,
		AUDIT_DIGEST_TEXT, text);
}

static int put_state(
	struct draft *draft, const struct schema *schema, const void *state, struct buf *out)
{
	int64_t count = draft->row.personal_count;
	size_t len = draft->personal.len;
	struct json_writer writer;
	int r;

	if (!state)
		return 0;
	json_writer_init(&writer, out);
	schema_redact(schema, state, &draft->redactor, &writer);
	r = json_writer_done(&writer);
	if (r == 0 && (out->len > AUDIT_STATE_MAX || draft->personal.len > AUDIT_STATE_MAX)) {
		omit(out);
		draft->personal.len = len;
		draft->row.personal_count = count;
	}
	return r < 0 ? r : draft->personal.failed ? draft->personal.failed : out->failed;
}

/* --- entries -------------------------------------------------------------------------------- */

static struct str make_salt(char at[AUDIT_SALT_TEXT])
{
	uint8_t bytes[AUDIT_SALT_LEN];

	random_bytes(bytes, sizeof(bytes));
	(void)base64_write(BASE64_URL, at, str_of((const char *)bytes, sizeof(bytes)));
	return str_of(at, AUDIT_SALT_TEXT);
}

static void begin(struct draft *draft, const struct tx *tx, const struct audit_actor *actor,
	const struct audit_entry *entry)
{
	struct uuid id;

	*draft = (struct draft){ .redactor.personal = put_personal };
	buf_init(&draft->redactor.value, AUDIT_STATE_INPUT);
	buf_init(&draft->before, AUDIT_STATE_INPUT);
	buf_init(&draft->after, AUDIT_STATE_INPUT);
	buf_init(&draft->personal, AUDIT_STATE_INPUT);

	uuid_v7(&id, tx_now_us(tx));
	uuid_write(draft->id, &id);
	draft->row = (struct audit_row){
		.id = str_of(draft->id, UUID_TEXT_LEN),
		.kind = actor->kind,
		.user_id = actor->user,
		.key_id = actor->key,
		.session_id = actor->session,
		.impersonator_id = actor->impersonator,
		.address = actor->address,
		.action = entry->action,
		.target_type = entry->type,
		.target_id = entry->id,
		.security = entry->security,
		.request_id = actor->request,
		.trace_id = actor->trace,
		.created_at = tx_now_us(tx),
	};
}

static void end(struct draft *draft)
{
	buf_done(&draft->redactor.value);
	buf_done(&draft->before);
	buf_done(&draft->after);
	buf_done(&draft->personal);
}

/* Whom personal values tell of. */
static struct str person_of(const struct audit_row *row, const struct audit_entry *entry)
{
	struct uuid id;

	if (entry->person.len)
		return entry->person;
	if (str_eq(entry->type, S("user")) && uuid_parse(entry->id, &id))
		return entry->id;
	return row->user_id;
}

static int fill(struct draft *draft, const struct audit_entry *entry)
{
	struct audit_row *row = &draft->row;
	struct str salt = make_salt(draft->salts[1]);
	int r = put_state(draft, entry->schema, entry->before, &draft->before);

	if (r == 0)
		r = put_state(draft, entry->schema, entry->after, &draft->after);
	if (r < 0)
		return r;
	row->state_before = buf_str(&draft->before);
	row->state_after = buf_str(&draft->after);
	if (row->personal_count > 0) {
		row->personal = buf_str(&draft->personal);
		row->personal_salt = salt;
	}
	if (row->address.len) {
		row->address_salt = make_salt(draft->salts[0]);
		audit_digest(row->address_salt, row->address, draft->address_digest);
		row->address_digest = str_of(draft->address_digest, AUDIT_DIGEST_TEXT);
	}
	if (row->personal_count > 0 || row->kind == AUDIT_NOBODY)
		row->person_id = person_of(row, entry);
	return 0;
}

static bool fits(const struct audit_row *row)
{
	return row->action.len <= AUDIT_ACTION_MAX && row->target_type.len <= AUDIT_TYPE_MAX &&
	       row->target_id.len <= AUDIT_ID_MAX && row->address.len <= AUDIT_ADDRESS_MAX &&
	       row->request_id.len <= AUDIT_REQUEST_MAX && row->trace_id.len <= AUDIT_REQUEST_MAX;
}

int tx_audit(struct tx *tx, const struct audit_actor *actor, const struct audit_entry *entry)
{
	struct draft draft;
	int r;

	CHECK(entry->action.len && (entry->schema || !(entry->before || entry->after)));
	begin(&draft, tx, actor, entry);
	r = fits(&draft.row) ? fill(&draft, entry)
			     : fail(ERR_TOO_LARGE, "a text of the audit entry is too long");
	if (r == 0) {
		audit_seal(0, tx_tenant(tx), &draft.row, draft.seal);
		draft.row.seal = str_of(draft.seal, AUDIT_DIGEST_TEXT);
		r = tx_exec(tx, &audit_insert, &draft.row);
	}
	end(&draft);
	return r;
}
