/* The tables of sample_test.h, written as a module would. */
#include "schema/sample_test.h"

/* clang-format off */
const struct schema flag_schema = SCHEMA(flag, "A feature flag.",
	FIELD(flag, key, "Name used in code.", .flags = REQUIRED, RANGE(1, 64),
		.pattern = "[a-z0-9-]+", .example = "dark-mode"),
	FIELD(flag, description, "What turning it on does.", RANGE(0, 500), .flags = MULTILINE),
	FIELD(flag, enabled, "Master switch; off wins over everything.", .if_missing = "true"),
	FIELD(flag, rollout, "Percent of callers that get it.", RANGE(0, 100), .if_missing = "100"),
	FIELD(flag, state, "Where it is in its life.", CHOICES("draft", "live", "closed")),
	FIELD(flag, weight, "Share among variants.", BOUNDS(0, 1), .if_missing = "0.5"),
	FIELD(flag, created_at, "When it was made.", .format = FORMAT_DATE_TIME, .flags = READ_ONLY),
	FIELD(flag, version, "Grows by one on each change.", .flags = READ_ONLY));

const struct schema flag_patch_schema = SCHEMA(flag_patch, "Members to change.",
	FIELD(flag_patch, description, "What it does.", .flags = NULLABLE, RANGE(0, 500)),
	FIELD(flag_patch, enabled, "Master switch.", .flags = NULLABLE),
	FIELD(flag_patch, rollout, "Percent of callers that get it.", RANGE(0, 100)),
	FIELD(flag_patch, weight, "Share among variants.", .flags = NULLABLE, BOUNDS(0, 1)),
	FIELD(flag_patch, state, "Where it is in its life.", .flags = NULLABLE,
		CHOICES("draft", "live", "closed")),
	FIELD(flag_patch, ends_at, "When it goes off.", .flags = NULLABLE,
		.format = FORMAT_DATE_TIME));

const struct schema address_schema = SCHEMA(address, "A postal address.",
	FIELD(address, street, "Street and number.", .flags = REQUIRED, RANGE(1, 100)),
	FIELD(address, country, "ISO 3166 code.", .flags = REQUIRED, .pattern = "[A-Z]{2}",
		RANGE(2, 2)));

const struct schema line_schema = SCHEMA(line, "One line of an order.",
	FIELD(line, sku, "What.", .flags = REQUIRED, .format = FORMAT_SLUG),
	FIELD(line, quantity, "How many.", .flags = REQUIRED, RANGE(1, 1000)),
	FIELD(line, email, "Whom to tell.", .format = FORMAT_EMAIL));

const struct schema order_schema = SCHEMA(order, "An order.",
	FIELD(order, id, "Its id.", .format = FORMAT_UUID),
	FIELD(order, password, "To open it later.", .flags = WRITE_ONLY | SECRET, RANGE(0, 128)),
	FIELD(order, api_key, "For the shop's own programs.", .flags = SECRET),
	FIELD(order, billing, "Who pays.", .flags = REQUIRED, .nested = &address_schema),
	FIELD(order, shipping, "Where it goes.", .flags = NULLABLE, .nested = &address_schema),
	LIST(order, lines, "What is ordered.", .flags = REQUIRED, RANGE(1, 5), .nested = &line_schema),
	LIST(order, tags, "Labels.", .flags = UNIQUE, RANGE(0, 10), .item = RULES(RANGE(1, 10))),
	LIST(order, numbers, "Lucky numbers.", .flags = UNIQUE, .item = RULES(RANGE(-5, 5))),
	MAP(order, labels, "Free labels.", RANGE(0, 3), .key = RULES(RANGE(1, 8), .pattern = "[a-z]+"),
		.item = RULES(RANGE(0, 20))),
	MAP(order, places, "Named addresses.", .item = RULES(.nested = &address_schema)),
	FIELD(order, extra, "Anything.", RANGE(0, 40)),
	FIELD(order, website, "Of the shop.", .format = FORMAT_URI),
	FIELD(order, note, "For people.", .flags = ANY_TEXT));

const struct schema circle_schema = SCHEMA(circle, "Round.",
	FIELD(circle, radius, "From the middle.", .flags = REQUIRED, BOUNDS(0, 1000)));

const struct schema square_schema = SCHEMA(square, "Not round.",
	FIELD(square, side, "Of all four.", .flags = REQUIRED, BOUNDS(0, 1000)),
	FIELD(square, colour, "To fill it with.", CHOICES("red", "green"), .if_missing = "green"));

const struct schema shape_schema = UNION(shape, kind, "A shape.",
	CASE(shape, circle, &circle_schema),
	CASE(shape, square, &square_schema),
	BARE_CASE(nothing));

const struct schema drawing_schema = SCHEMA(drawing, "Shapes.",
	FIELD(drawing, main, "In front.", .flags = REQUIRED, .nested = &shape_schema),
	LIST(drawing, shapes, "Behind.", .nested = &shape_schema));

const struct schema comment_schema = SCHEMA(comment, "A comment with its answers.",
	FIELD(comment, text, "What was said.", .flags = REQUIRED),
	LIST(comment, replies, "Answers.", .nested = &comment_schema));

const struct schema search_schema = SCHEMA(search, "What to look for.",
	FIELD(search, tenant, "Whose.", .from = FROM_PATH, .format = FORMAT_SLUG),
	FIELD(search, page_size, "At most so many.", .from = FROM_QUERY, RANGE(1, 100),
		.if_missing = "20"),
	FIELD(search, archived, "Also old ones.", .from = FROM_QUERY),
	LIST(search, states, "In one of these states.", .from = FROM_QUERY, RANGE(0, 2),
		.item = RULES(CHOICES("draft", "live", "closed"))),
	LIST(search, tag, "With these tags.", .from = FROM_QUERY, .flags = UNIQUE, RANGE(0, 3)),
	FIELD(search, idempotency_key, "To try again safely.", .from = FROM_HEADER, RANGE(1, 20)),
	FIELD(search, least, "Least weight.", .from = FROM_QUERY, BOUNDS(0, 1)),
	FIELD(search, query, "Words.", .flags = REQUIRED, RANGE(1, 50)));
/* clang-format on */

const struct schema *const sample_schemas[] = { &flag_schema, &flag_patch_schema, &address_schema,
	&line_schema, &order_schema, &circle_schema, &square_schema, &shape_schema, &drawing_schema,
	&comment_schema, &search_schema };
const size_t sample_count = LEN(sample_schemas);
