/* Seals, heads and CSV, without rows. */
#include "modules/audit/audit_test.h"

#include "schema/encode.h"

/* --- CSV -------------------------------------------------------------------------------- */

TEST(audit_csv_cells)
{
	static const struct {
		const char *text, *cell;
	} cases[] = {
		{ "", "" },
		{ "a", "\"a\"" },
		{ "a,b", "\"a,b\"" },
		{ "say \"x\"", "\"say \"\"x\"\"\"" },
		{ "\"", "\"\"\"\"" },
		{ "two\r\nlines", "\"two\r\nlines\"" },
		{ "=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\"" },
		{ "+1", "\"'+1\"" },
		{ "-1", "\"'-1\"" },
		{ "@SUM(A1)", "\"'@SUM(A1)\"" },
		{ "\t=1", "\"'\t=1\"" },
		{ "\r=1", "\"'\r=1\"" },
		{ "\n=1", "\"'\n=1\"" },
		{ "a=1", "\"a=1\"" },
		{ "{\"a\":1}", "\"{\"\"a\"\":1}\"" },
	};
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < LEN(cases); i++) {
		buf_reset(&out);
		audit_csv_text(str_from_c(cases[i].text), &out);
		EXPECT_STR(buf_str(&out), str_from_c(cases[i].cell));
	}
	buf_done(&out);
}

/* One cell for each name, in each record. */
TEST(audit_csv_records)
{
	struct audit_item item = { .id = S("1"),
		.sequence = { .set = true, .value = 7 },
		.kind = AUDIT_KEY,
		.action = S("=x"),
		.security = true,
		.created_at = INT64_C(1700000000123456) };
	struct buf names, row;
	size_t commas = 0, wanted = 0;

	buf_init(&names, 1000);
	buf_init(&row, 1000);
	audit_csv_names(&names);
	audit_csv_row(&item, &row);
	for (size_t i = 0; i < names.len; i++)
		wanted += names.at[i] == ',';
	for (size_t i = 0; i < row.len; i++)
		commas += row.at[i] == ',';
	EXPECT_INT(commas, wanted);
	EXPECT_STR(buf_str(&row),
		S("\"1\",7,\"2023-11-14T22:13:20.123Z\",\"key\",,,,,,\"'=x\",,,\"true\",,,,\r\n"));
	buf_done(&names);
	buf_done(&row);
}

/* --- redaction ------------------------------------------------------------------------------ */

struct pet {
	struct str name, chip;
};

struct owner {
	struct str name, password, token;
	struct opt_str nickname, phone;
	struct pet pet;
	LIST_OF(struct pet) pets;
};

/* clang-format off */
static const struct schema pet_schema = SCHEMA(pet, "A pet.",
	FIELD(pet, name, "Called."), FIELD(pet, chip, "Tells whose.", .flags = PERSONAL));
static const struct schema owner_schema = SCHEMA(owner, "An owner.",
	FIELD(owner, name, "Called.", .flags = PERSONAL),
	FIELD(owner, password, "Never told.", .flags = SECRET),
	FIELD(owner, token, "Goes in only.", .flags = WRITE_ONLY),
	FIELD(owner, nickname, "May be null.", .flags = PERSONAL | NULLABLE),
	FIELD(owner, phone, "May be missing.", .flags = PERSONAL),
	FIELD(owner, pet, "The first one.", .nested = &pet_schema, .flags = PERSONAL),
	LIST(owner, pets, "All.", .item = RULES(.nested = &pet_schema)));
/* clang-format on */

struct taking {
	struct schema_redactor redactor;
	struct buf taken;
};

static void take(struct schema_redactor *redactor, struct str json, struct json_writer *writer)
{
	struct taking *taking = CONTAINER_OF(redactor, struct taking, redactor);

	buf_append(&taking->taken, json);
	buf_byte(&taking->taken, ';');
	json_write_string(writer, S("*"));
}

TEST(audit_redaction)
{
	struct pet pets[] = { { S("rex"), S("c1") }, { S("mia"), S("c2") } };
	struct owner owner = { .name = S("ada"),
		.password = S("xyzzy"),
		.token = S("plugh"),
		.nickname = { .set = true, .null = true },
		.pet = pets[0],
		.pets = { pets, LEN(pets) } };
	struct taking taking = { .redactor.personal = take };
	struct json_writer writer;
	struct buf out;

	REQUIRE(schema_compile(&owner_schema) == 0);
	buf_init(&out, 1000);
	buf_init(&taking.taken, 1000);
	buf_init(&taking.redactor.value, 1000);
	json_writer_init(&writer, &out);
	schema_redact(&owner_schema, &owner, &taking.redactor, &writer);
	EXPECT_INT(json_writer_done(&writer), 0);
	EXPECT_STR(buf_str(&out),
		S("{\"name\":\"*\",\"nickname\":\"*\",\"pet\":\"*\",\"pets\":[{\"name\":\"rex\","
		  "\"chip\":\"*\"},{\"name\":\"mia\",\"chip\":\"*\"}]}"));
	EXPECT_STR(buf_str(&taking.taken),
		S("\"ada\";null;{\"name\":\"rex\",\"chip\":\"c1\"};\"c1\";\"c2\";"));

	taking.redactor.value.limit = 3; /* a value that does not fit fails all of it */
	buf_done(&taking.redactor.value);
	buf_reset(&out);
	json_writer_init(&writer, &out);
	schema_redact(&owner_schema, &owner, &taking.redactor, &writer);
	EXPECT_INT(json_writer_done(&writer), -ERR_TOO_LARGE);
	buf_done(&taking.redactor.value);
	buf_done(&taking.taken);
	buf_done(&out);
	schema_release(&owner_schema);
}

/* --- heads ------------------------------------------------------------------------------- */

static struct str make_head(char at[AUDIT_HEAD_TEXT], int64_t sequence)
{
	struct audit_mark head = { .kind = AUDIT_HEAD, .sequence = sequence, .marked_at = 5 };
	static char seal[AUDIT_DIGEST_TEXT], chain[AUDIT_DIGEST_TEXT];
	struct uuid tenant = { { 1 } };

	audit_chain_begin(0, &tenant, chain);
	head.chain = str_of(chain, sizeof(chain));
	audit_mark_seal(0, &tenant, &head, seal);
	head.seal = str_of(seal, sizeof(seal));
	return audit_head_write(at, &tenant, &head);
}

TEST(audit_head_is_read_back)
{
	char at[AUDIT_HEAD_TEXT], changed[AUDIT_HEAD_TEXT];
	struct audit_mark head;
	struct uuid tenant;
	struct str text;

	audit_keys_set(NULL, NULL);
	text = make_head(at, INT64_MAX);
	EXPECT(audit_head_read(text, &tenant, &head));
	EXPECT_INT(tenant.bytes[0], 1);
	EXPECT_INT(head.sequence, INT64_MAX);
	EXPECT_INT(head.marked_at, 5);
	EXPECT(audit_mark_sound(&tenant, &head));
	for (size_t i = 0; i < text.len; i++) {
		memcpy(changed, at, text.len);
		changed[i] = changed[i] == '4' ? '5' : '4';
		EXPECT(!audit_head_read(str_of(changed, text.len), &tenant, &head) ||
			!audit_mark_sound(&tenant, &head));
		EXPECT(!audit_head_read(str_of(at, i), &tenant, &head));
	}
}

/* Heads are found in any text, in pieces of any length. */
TEST(audit_heads_are_found)
{
	char at[AUDIT_HEAD_TEXT];
	struct buf text;

	audit_keys_set(NULL, NULL);
	buf_init(&text, 100000);
	buf_append(&text, S("audit-head audit-head:1 audit-head:2: {\"head\":\""));
	for (int64_t i = 1; i <= 40; i++) {
		buf_append(&text, make_head(at, i));
		buf_append(&text, i % 2 ? S("\"}\n\"# ") : S(" "));
	}
	buf_append(&text, S("audit-head:1:forged\n"));
	buf_append(&text, make_head(at, 41));
	for (size_t piece = 1; piece < 2000; piece = piece * 3 / 2 + 1) {
		struct audit_heads heads = { 0 };
		size_t from = 0, to = 0, done;

		while (to < text.len || from < text.len) {
			to = MIN(to + piece, text.len);
			REQUIRE(audit_heads_add(&heads, str_of(text.at + from, to - from),
					to == text.len, &done) == 0);
			from += done;
			REQUIRE(to < text.len || from == text.len);
		}
		EXPECT_INT(heads.count, 41);
		EXPECT_INT(heads.forged, 1);
		for (size_t i = 0; i < heads.count; i++)
			EXPECT_INT(heads.at[i].sequence, (int64_t)i + 1);
		audit_heads_done(&heads);
	}
	buf_done(&text);
}

/* --- seals --------------------------------------------------------------------------------- */

/* No two different entries have the same bytes under their seals. */
TEST(audit_seal_depends_on_all)
{
	static const struct str other = S_INIT("01900000-0000-7000-8000-0000000000ff");
	struct audit_row row = { .id = S("01900000-0000-7000-8000-000000000001"),
		.action = S("ab"),
		.target_type = S("c") };
	struct str *const texts[] = { &row.id, &row.user_id, &row.key_id, &row.session_id,
		&row.impersonator_id, &row.person_id, &row.address_digest, &row.action,
		&row.target_type, &row.target_id, &row.state_before, &row.state_after,
		&row.request_id, &row.trace_id };
	char first[AUDIT_DIGEST_TEXT], made[AUDIT_DIGEST_TEXT];
	struct uuid tenant = { { 1 } }, another = { { 2 } };

	audit_keys_set(NULL, NULL);
	audit_seal(0, &tenant, &row, first);
	for (size_t i = 0; i < LEN(texts); i++) {
		struct str was = *texts[i];

		*texts[i] = other;
		audit_seal(0, &tenant, &row, made);
		EXPECT(memcmp(made, first, sizeof(made)) != 0);
		*texts[i] = was;
	}
	row.action = S("a"); /* moved across a border */
	row.target_type = S("bc");
	audit_seal(0, &tenant, &row, made);
	EXPECT(memcmp(made, first, sizeof(made)) != 0);
	row.action = S("ab");
	row.target_type = S("c");
	audit_seal(0, &another, &row, made);
	EXPECT(memcmp(made, first, sizeof(made)) != 0);
	audit_seal(0, &tenant, &row, made);
	EXPECT(memcmp(made, first, sizeof(made)) == 0);
}
