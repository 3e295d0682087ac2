/* The ledger: its tables, the one transaction that writes them, and the look at what is left. */
#include "store/ledger_test.h"

#include "observe/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BALANCE = 1000, FILLER_MAX = 3000 };

/* --- tables -------------------------------------------------------------------------- */

static const char migrations[] =
	"-- up 1: a ledger\n"
	"CREATE TABLE main.account (\n"
	"	tenant_id uuid NOT NULL, id bigint NOT NULL, balance bigint NOT NULL,\n"
	"	PRIMARY KEY (tenant_id, id)\n"
	");\n"
	"CREATE TABLE main.half (\n"
	"	tenant_id uuid NOT NULL, id uuid NOT NULL, token bigint NOT NULL,\n"
	"	side bigint NOT NULL, number bigint NOT NULL, filler text NOT NULL,\n"
	"	PRIMARY KEY (tenant_id, id)\n"
	");\n"
	"CREATE TABLE main.counter (\n"
	"	tenant_id uuid NOT NULL, id bigint NOT NULL, number bigint NOT NULL,\n"
	"	PRIMARY KEY (tenant_id, id)\n"
	");\n";

struct entry {
	struct str half_id;
	int64_t token, side, number;
	struct str filler;
	int64_t account, amount;
};

static const struct schema entry_schema = SCHEMA(entry, "A part of a transaction.",
	FIELD(entry, half_id, "Id of the half.", .format = FORMAT_UUID),
	FIELD(entry, token, "Which transaction."), FIELD(entry, side, "Which half."),
	FIELD(entry, number, "Place in the order of commits."),
	FIELD(entry, filler, "Bytes.", RANGE(0, FILLER_MAX)), FIELD(entry, account, "Whose money."),
	FIELD(entry, amount, "How much more."));

static const struct statement account_put = STATEMENT("account_put",
	.sql = "INSERT INTO main.account (tenant_id, id, balance) "
	       "VALUES (:tenant, :account, :amount)",
	.in = &entry_schema);
static const struct statement account_add = STATEMENT("account_add",
	.sql = "UPDATE main.account SET balance = balance + :amount "
	       "WHERE tenant_id = :tenant AND id = :account",
	.in = &entry_schema, .expect = EXPECT_ONE);
static const struct statement account_sum = STATEMENT("account_sum",
	.sql = "SELECT CAST(sum(balance) AS bigint) AS amount FROM account "
	       "WHERE tenant_id = :tenant",
	.out = &entry_schema);
static const struct statement counter_put = STATEMENT("counter_put",
	.sql = "INSERT INTO main.counter (tenant_id, id, number) VALUES (:tenant, 1, 0)");
static const struct statement counter_next = STATEMENT("counter_next",
	.sql = "UPDATE main.counter SET number = number + 1 WHERE tenant_id = :tenant AND id = 1 "
	       "RETURNING number",
	.out = &entry_schema);
static const struct statement counter_get = STATEMENT("counter_get",
	.sql = "SELECT number FROM counter WHERE tenant_id = :tenant AND id = 1",
	.out = &entry_schema);
static const struct statement half_put = STATEMENT("half_put",
	.sql = "INSERT INTO main.half (tenant_id, id, token, side, number, filler) "
	       "VALUES (:tenant, :half_id, :token, :side, :number, :filler)",
	.in = &entry_schema);
static const struct statement half_all = STATEMENT("half_all",
	.sql = "SELECT token, side, number FROM half WHERE tenant_id = :tenant",
	.out = &entry_schema);

static const struct statement *const statements[] = { &account_put, &account_add, &account_sum,
	&counter_put, &counter_next, &counter_get, &half_put, &half_all };

const struct store_test_module ledger_modules[] = {
	{ "ledger", migrations, statements, LEN(statements) },
	{ NULL },
};

/* --- what is noted --------------------------------------------------------------------- */

void ledger_init(struct ledger *ledger, size_t token_count, bool numbered)
{
	CHECK(token_count <= LEDGER_TOKENS_MAX);
	*ledger = (struct ledger){ numbered, token_count, calloc(token_count, 1) };
	CHECK(ledger->notes);
}

void ledger_done(struct ledger *ledger)
{
	free(ledger->notes);
	ledger->notes = NULL;
}

void ledger_note(struct ledger *ledger, size_t token, enum tx_durability durability)
{
	CHECK(token < ledger->token_count);
	ledger->notes[token] = durability == TX_SOFT ? LEDGER_SOFT : LEDGER_DURABLE;
}

/* --- writing ------------------------------------------------------------------------------ */

static int found_in_tx(struct tx *tx, void *arg)
{
	int r = tx_exec(tx, &counter_put, NULL);

	(void)arg;
	for (int64_t i = 0; i < LEDGER_ACCOUNTS && r == 0; i++)
		r = tx_exec(tx, &account_put, &(struct entry){ .account = i, .amount = BALANCE });
	return r;
}

void ledger_found(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);

	if (!EXPECT_INT(db_write(&db, found_in_tx, NULL), 0)) {
		fprintf(stderr, "  %s\n", err_text());
		test_end();
	}
}

struct transfer {
	const struct ledger *ledger;
	int64_t token;
	uint64_t random;
};

/* The ids are new in each attempt: a transaction that was committed twice shows. */
static int put_half(struct tx *tx, const struct entry *entry, int64_t side)
{
	char text[UUID_TEXT_LEN];
	struct entry half = *entry;
	struct uuid id;

	uuid_v7(&id, clock_wall_us());
	uuid_write(text, &id);
	half.half_id = str_of(text, sizeof(text));
	half.side = side;
	return tx_exec(tx, &half_put, &half);
}

static int transfer_in_tx(struct tx *tx, void *arg)
{
	static const char filler[FILLER_MAX] = { [0 ... FILLER_MAX - 1] = 'f' };
	const struct transfer *transfer = arg;
	uint64_t random = transfer->random;
	int64_t amount = (int64_t)(random % 50), to = (int64_t)(random >> 40) % LEDGER_ACCOUNTS;
	struct entry entry = { .token = transfer->token,
		.amount = -amount,
		.account = (int64_t)(random >> 16) % LEDGER_ACCOUNTS,
		.filler = str_of(filler, random % 8 ? (random >> 8) % 200 : FILLER_MAX) };
	struct entry numbered;
	int r = 0;

	if (transfer->ledger->numbered) {
		r = tx_one(tx, &counter_next, NULL, &numbered);
		entry.number = numbered.number;
	}
	if (r == 0)
		r = tx_exec(tx, &account_add, &entry);
	if (r == 0)
		r = put_half(tx, &entry, 0);
	entry.amount = amount;
	entry.account = to;
	if (r == 0)
		r = tx_exec(tx, &account_add, &entry);
	return r == 0 ? put_half(tx, &entry, 1) : r;
}

int ledger_write(const struct db *db, const struct ledger *ledger, size_t token,
	enum tx_durability durability, uint64_t random)
{
	struct tx_options options = { .name = "transfer", .durability = durability };
	struct transfer transfer = { ledger, (int64_t)token, random };

	/* It keeps its promises without, and on so small a table everybody would conflict. */
	if (!ledger->numbered && random >> 63)
		options.isolation = TX_READ_COMMITTED;
	return db_write_with(db, &options, transfer_in_tx, &transfer);
}

/* --- looking -------------------------------------------------------------------------------- */

struct found {
	size_t sides[2];
	int64_t number[2];
};

struct look {
	const struct ledger *ledger;
	struct found *found; /* by token */
	struct entry row;
	int64_t counter;
	int64_t money;
	bool stranger; /* a half that nobody wrote */
};

static int look_at_half(void *row, void *arg)
{
	const struct entry *entry = row;
	struct look *look = arg;

	if (entry->token < 0 || (size_t)entry->token >= look->ledger->token_count ||
		entry->side < 0 || entry->side > 1) {
		look->stranger = true;
		return 0;
	}
	look->found[entry->token].sides[entry->side]++;
	look->found[entry->token].number[entry->side] = entry->number;
	return 0;
}

static int look_in_tx(struct tx *tx, void *arg)
{
	struct look *look = arg;
	struct entry entry;
	int r;

	memset(look->found, 0, look->ledger->token_count * sizeof(*look->found));
	r = tx_one(tx, &account_sum, NULL, &entry);
	if (r < 0)
		return r;
	look->money = entry.amount;
	r = tx_one(tx, &counter_get, NULL, &entry);
	if (r < 0)
		return r;
	look->counter = entry.number;
	return tx_each(tx, &half_all, NULL, &look->row, look_at_half, look);
}

static enum ledger_verdict wrong(char *why, enum ledger_verdict verdict, const char *format, ...)
	PRINTF_LIKE(3, 4);
static enum ledger_verdict wrong(char *why, enum ledger_verdict verdict, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, LEDGER_WHY_MAX, format, args);
	va_end(args);
	return verdict;
}

/* The numbers are 1 to the counter's, each once. */
static bool without_gap(const struct look *look, size_t tokens)
{
	bool *seen = calloc(tokens + 1, sizeof(*seen));
	bool whole = look->counter == (int64_t)tokens;

	CHECK(seen);
	for (size_t i = 0; i < look->ledger->token_count && whole; i++) {
		int64_t number = look->found[i].number[0];

		if (!look->found[i].sides[0])
			continue;
		whole = number >= 1 && number <= (int64_t)tokens && !seen[number] &&
			look->found[i].number[1] == number;
		if (whole)
			seen[number] = true;
	}
	free(seen);
	return whole;
}

static enum ledger_verdict judge(const struct look *look, char *why)
{
	const struct ledger *ledger = look->ledger;
	size_t tokens = 0;

	if (look->stranger)
		return wrong(why, LEDGER_BROKEN, "there is a token that nobody wrote");
	if (look->money != (int64_t)LEDGER_ACCOUNTS * BALANCE)
		return wrong(why, LEDGER_BROKEN, "the money is %lld", (long long)look->money);
	for (size_t i = 0; i < ledger->token_count; i++) {
		const struct found *found = &look->found[i];

		if (found->sides[0] > 1 || found->sides[0] != found->sides[1])
			return wrong(why, LEDGER_BROKEN, "token %zu has %zu and %zu halves", i,
				found->sides[0], found->sides[1]);
		tokens += found->sides[0];
	}
	if (ledger->numbered && !without_gap(look, tokens))
		return wrong(why, LEDGER_BROKEN, "the %zu tokens are not the first ones", tokens);
	for (size_t i = 0; i < ledger->token_count; i++)
		if (ledger->notes[i] == LEDGER_DURABLE && !look->found[i].sides[0])
			return wrong(
				why, LEDGER_FORGOTTEN, "token %zu of %zu is not there", i, tokens);
	return LEDGER_WHOLE;
}

enum ledger_verdict ledger_check(struct store_test *test, const struct ledger *ledger, char *why)
{
	struct db db = store_test_tenant(test, 1);
	struct look look = { .ledger = ledger };
	enum ledger_verdict verdict;

	look.found = calloc(ledger->token_count, sizeof(*look.found));
	CHECK(look.found);
	if (db_read(&db, look_in_tx, &look) < 0)
		verdict = wrong(why, LEDGER_BROKEN, "it cannot be read: %s", err_text());
	else
		verdict = judge(&look, why);
	free(look.found);
	return verdict;
}

/* --- it finds what it is for ----------------------------------------------------------------- */

static const struct statement half_drop = STATEMENT("half_drop",
	.sql = "DELETE FROM main.half WHERE tenant_id = :tenant AND token = :token AND side = "
	       ":side",
	.in = &entry_schema, .expect = EXPECT_ONE);

static const struct statement *const spoiling[] = { &half_drop };

static const struct store_test_module spoiled_modules[] = {
	{ "ledger", migrations, statements, LEN(statements) },
	{ "spoiling", NULL, spoiling, LEN(spoiling) },
	{ NULL },
};

/* Spoils one thing of a sound ledger. */
static int spoil_in_tx(struct tx *tx, void *arg)
{
	struct entry entry = { .token = 1, .number = 2, .amount = 1 };

	switch (*(const int *)arg) {
	case 0: return tx_exec(tx, &half_drop, &entry);
	case 1: return put_half(tx, &entry, 1);
	case 2: return tx_exec(tx, &account_add, &entry);
	case 3: return tx_one(tx, &counter_next, NULL, &entry);
	default: entry.token = 7; return put_half(tx, &entry, 0);
	}
}

STORE_TEST_WITH(ledger_that_is_spoiled_is_seen, spoiled_modules, NULL)
{
	struct db db = store_test_tenant(test, 1);
	char why[LEDGER_WHY_MAX];
	struct ledger ledger;

	ledger_init(&ledger, 10, true);
	ledger_found(test);
	for (size_t token = 0; token < 3; token++) {
		REQUIRE(ledger_write(&db, &ledger, token, TX_DURABLE, token) == 0);
		ledger_note(&ledger, token, TX_DURABLE);
	}
	EXPECT_INT(ledger_check(test, &ledger, why), LEDGER_WHOLE);
	ledger_note(&ledger, 5, TX_SOFT);
	EXPECT_INT(ledger_check(test, &ledger, why), LEDGER_WHOLE);
	ledger_note(&ledger, 5, TX_DURABLE);
	EXPECT_INT(ledger_check(test, &ledger, why), LEDGER_FORGOTTEN);
	ledger_done(&ledger);
}

static void spoil(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	char why[LEDGER_WHY_MAX];
	struct ledger ledger;

	ledger_init(&ledger, 10, true);
	ledger_found(test);
	for (size_t token = 0; token < 3; token++)
		REQUIRE(ledger_write(&db, &ledger, token, TX_DURABLE, token) == 0);
	EXPECT_INT(ledger_check(test, &ledger, why), LEDGER_WHOLE);
	REQUIRE(db_write(&db, spoil_in_tx, test->arg) == 0);
	EXPECT_INT(ledger_check(test, &ledger, why), LEDGER_BROKEN);
	ledger_done(&ledger);
}

TEST(ledger_that_is_broken_is_seen)
{
	for (int i = 0; i < 5; i++) {
		struct store_test test = { .arg = &i };

		store_test_folder(&test, ENGINE_SQLITE);
		store_test_migrate(&test, spoiled_modules);
		REQUIRE(store_test_open(&test, spoiled_modules) == 0);
		store_test_work(&test, spoil);
		store_test_close(&test);
		store_test_remove(&test);
	}
}
