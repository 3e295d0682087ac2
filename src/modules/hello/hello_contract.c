/* What goes in and out of the module. */
#include "modules/hello/hello.h"

/* clang-format off */
const struct schema greeting_schema = SCHEMA(greeting, "A word of welcome.",
	FIELD(greeting, message, "The word.", .flags = REQUIRED, .example = "Hello from Bulkhead"),
	FIELD(greeting, version, "Version of the program that answers.", .flags = REQUIRED, .example = "0.1.0"));

static const struct schema echo_address_schema = SCHEMA(echo_address, "Where somebody lives.",
	FIELD(echo_address, city, "Name of the city.", .flags = REQUIRED, RANGE(1, 80), .example = "Oslo"),
	FIELD(echo_address, zip, "Five digits.", .pattern = "[0-9]{5}", .example = "01234"));

const struct schema echo_schema = SCHEMA(echo, "Somebody, to see how input is checked.",
	FIELD(echo, name, "Full name.", .flags = REQUIRED, RANGE(1, 50), .example = "Ada Lovelace"),
	FIELD(echo, email, "E-mail address.", .flags = REQUIRED, .format = FORMAT_EMAIL,
		.example = "ada@example.com"),
	FIELD(echo, age, "Age in years.", RANGE(0, 150), .example = "36"),
	LIST(echo, tags, "Labels, each once.", .flags = UNIQUE, RANGE(0, 5),
		.item = RULES(.format = FORMAT_SLUG, .example = "maths")),
	FIELD(echo, address, "Where it is.", .nested = &echo_address_schema));
/* clang-format on */
